using System.Globalization;

namespace OnnxLowRank;

/// <summary>One of several jobs that share the samples: it takes every <paramref name="Count"/>-th run of them.</summary>
/// <param name="Number">1 … <paramref name="Count"/>.</param>
/// <param name="Count">How many jobs there are.</param>
public readonly record struct Shard(int Number, int Count)
{
    const string Task = "SLURM_ARRAY_TASK_ID", Tasks = "SLURM_ARRAY_TASK_COUNT", First = "SLURM_ARRAY_TASK_MIN", Step = "SLURM_ARRAY_TASK_STEP", Pod = "JOB_COMPLETION_INDEX";

    /// <summary>All samples.</summary>
    public static Shard Whole => new(1, 1);

    /// <summary>
    /// Reads I/N; or env, the place of a task in its Slurm array; or env/N, where SLURM_ARRAY_TASK_ID or JOB_COMPLETION_INDEX (Kubernetes'
    /// Indexed Jobs) counts from 0 to N − 1.
    /// </summary>
    /// <exception cref="OptionException">It is none of these, or the environment says nothing of the kind.</exception>
    public static Shard Parse(string text) => Parse(text, Environment.GetEnvironmentVariable);

    internal static Shard Parse(string text, Func<string, string?> variable)
    {
        string[] parts = text.Split('/');
        return text == "env" ? OfSlurmArray(variable)
            : parts.Length != 2 || Whole32(parts[1]) is not ({ } count and >= 1) ? throw new OptionException($"--shard '{text}' is not I/N such as 3/16, env or env/N")
            : parts[0] == "env" ? OfIndex(variable, count)
            : Whole32(parts[0]) is { } number && number >= 1 && number <= count ? new(number, count)
            : throw new OptionException($"--shard '{text}': shards are 1/{count} … {count}/{count}");
    }

    static Shard OfSlurmArray(Func<string, string?> variable)
    {
        if (string.IsNullOrEmpty(variable(Task)))
        {
            throw new OptionException(string.IsNullOrEmpty(variable(Pod))
                ? $"--shard env: neither {Task} nor {Pod} is set; is this a job of an array?"
                : $"--shard env: {Pod} does not tell how many jobs there are; --shard env/N does");
        }
        int Number(string name, int? otherwise = null) => Whole32(variable(name)) ?? (string.IsNullOrEmpty(variable(name)) ? otherwise : null)
            ?? throw new OptionException($"--shard env: {name} is '{variable(name)}', not a whole number");
        int count = Number(Tasks), step = Math.Max(1, Number(Step, otherwise: 1)), behind = Number(Task) - Number(First);
        return behind >= 0 && behind % step == 0 && behind / step < count
            ? new(behind / step + 1, count)
            : throw new OptionException($"--shard env: task {variable(Task)} has no place among {count} from {variable(First)} in steps of {step}; --shard env/N takes tasks 0 … N − 1");
    }

    static Shard OfIndex(Func<string, string?> variable, int count)
    {
        string name = string.IsNullOrEmpty(variable(Task)) ? Pod : Task;
        string? index = variable(name);
        return string.IsNullOrEmpty(index) ? throw new OptionException($"--shard env/{count}: neither {Task} nor {Pod} is set; is this a job of an array?")
            : Whole32(index) is { } known && known < count ? new(known + 1, count)
            : throw new OptionException($"--shard env/{count}: {name} is '{index}', not one of 0 … {count - 1}");
    }

    static int? Whole32(string? text) => int.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out int number) ? number : null;

    /// <summary>As the command line has it.</summary>
    public override string ToString() => $"{Number}/{Count}";
}
