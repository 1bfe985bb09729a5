namespace OnnxLowRank.Tests;

/// <summary>Which of several jobs one is: typed, or as a cluster's environment has it.</summary>
public class ShardTests
{
    static Shard Parse(string text, params string[] environment)
    {
        var variables = environment.Select(line => line.Split('=')).ToDictionary(pair => pair[0], pair => pair[1]);
        return Shard.Parse(text, variables.GetValueOrDefault);
    }

    [Theory]
    [InlineData("1/1", 1, 1)]
    [InlineData("3/16", 3, 16)]
    [InlineData("env", 4, 16, "SLURM_ARRAY_TASK_ID=3", "SLURM_ARRAY_TASK_MIN=0", "SLURM_ARRAY_TASK_STEP=1", "SLURM_ARRAY_TASK_COUNT=16")]
    [InlineData("env", 3, 16, "SLURM_ARRAY_TASK_ID=3", "SLURM_ARRAY_TASK_MIN=1", "SLURM_ARRAY_TASK_STEP=1", "SLURM_ARRAY_TASK_COUNT=16")]
    [InlineData("env", 2, 4, "SLURM_ARRAY_TASK_ID=8", "SLURM_ARRAY_TASK_MIN=4", "SLURM_ARRAY_TASK_STEP=4", "SLURM_ARRAY_TASK_COUNT=4")]
    [InlineData("env", 2, 2, "SLURM_ARRAY_TASK_ID=1", "SLURM_ARRAY_TASK_MIN=0", "SLURM_ARRAY_TASK_COUNT=2")]
    [InlineData("env/16", 1, 16, "JOB_COMPLETION_INDEX=0")]
    [InlineData("env/16", 16, 16, "JOB_COMPLETION_INDEX=15")]
    [InlineData("env/16", 4, 16, "SLURM_ARRAY_TASK_ID=3", "SLURM_ARRAY_TASK_MIN=3", "SLURM_ARRAY_TASK_COUNT=1")] // one task of an array, run again alone
    public void It_is_read(string text, int number, int count, params string[] environment) => Assert.Equal(new(number, count), Parse(text, environment));

    [Theory]
    [InlineData("0/4", "1/4 … 4/4")]
    [InlineData("5/4", "1/4 … 4/4")]
    [InlineData("4", "not I/N")]
    [InlineData("1/0", "not I/N")]
    [InlineData("-1/4", "1/4 … 4/4")]
    [InlineData("1/2/3", "not I/N")]
    [InlineData("env/x", "not I/N")]
    [InlineData("env", "neither SLURM_ARRAY_TASK_ID nor JOB_COMPLETION_INDEX is set")]
    [InlineData("env/4", "neither SLURM_ARRAY_TASK_ID nor JOB_COMPLETION_INDEX is set")]
    [InlineData("env", "--shard env/N does", "JOB_COMPLETION_INDEX=3")]
    [InlineData("env/4", "JOB_COMPLETION_INDEX is '4', not one of 0 … 3", "JOB_COMPLETION_INDEX=4")]
    [InlineData("env", "SLURM_ARRAY_TASK_COUNT is ''", "SLURM_ARRAY_TASK_ID=3", "SLURM_ARRAY_TASK_MIN=0")]
    [InlineData("env", "SLURM_ARRAY_TASK_ID is 'x'", "SLURM_ARRAY_TASK_ID=x", "SLURM_ARRAY_TASK_MIN=0", "SLURM_ARRAY_TASK_COUNT=2")]
    [InlineData("env", "task 7 has no place among 3", "SLURM_ARRAY_TASK_ID=7", "SLURM_ARRAY_TASK_MIN=1", "SLURM_ARRAY_TASK_COUNT=3")] // --array=1,2,7
    public void What_is_none_is_refused(string text, string message, params string[] environment) =>
        Assert.Contains(message, Assert.Throws<OptionException>(() => Parse(text, environment)).Message);
}
