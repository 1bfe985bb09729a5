namespace OnnxLowRank.Tests;

/// <summary>What is made of known times.</summary>
public class BenchmarkSettingTests
{
    /// <summary>Ten rounds of a turn of two runs each; a slow machine is slow for both models of a round.</summary>
    static List<double[][]> Rounds(double ratio) =>
        [.. Enumerable.Range(1, 10).Select(round => new double[][] { [round, round + 1], [round * ratio, (round + 1) * ratio] })];

    [Fact]
    public void Quantiles_and_throughput_are_of_all_runs()
    {
        var setting = BenchmarkSetting.Of(threads: 2, batch: 8, models: [0, 1], Rounds(2));

        Assert.Equal((2, 8, 10), (setting.Threads, setting.Batch, setting.Rounds));
        var a = setting.Times[0];
        Assert.Equal((0, 20, 1, 6), (a.Model, a.Runs, a.MinMilliseconds, a.MedianMilliseconds)); // 1 2 2 3 3 … 10 10 11
        Assert.Equal(10, a.P90Milliseconds, 1e-9); // at 17.1 of 19: both 10
        Assert.Equal(10.81, a.P99Milliseconds, 1e-9); // at 18.81, between 10 and 11
        Assert.Equal(1000 * 8 * 20 / 120.0, a.SamplesPerSecond, 1e-9); // 160 samples in 120 ms
    }

    [Fact]
    public void A_noise_that_both_models_meet_leaves_the_ratio_alone()
    {
        var b = BenchmarkSetting.Of(1, 1, [0, 1], Rounds(2)).Times[1];

        Assert.Equal((2, 2, 2), (b.Ratio, b.RatioLow, b.RatioHigh));
        Assert.Equal(12, b.MedianMilliseconds);
    }

    [Fact]
    public void Runs_that_were_held_up_leave_the_ratio_alone()
    {
        List<double[][]> rounds = [.. Enumerable.Range(0, 10).Select(round => new double[][] { [4, 40, 40], [50, round == 3 ? 1 : 2, 50] })];

        var b = BenchmarkSetting.Of(1, 1, [0, 1], rounds).Times[1];

        Assert.Equal((0.5, 0.5, 0.5), (b.Ratio, b.RatioLow, b.RatioHigh)); // not 50/40, and not the lucky round's 0.25
        Assert.Equal((1, 50), (b.MinMilliseconds, b.MedianMilliseconds));
    }

    /// <summary>Over many sets of times of one and the same model: 95 % of the intervals, and no far fewer than all.</summary>
    [Fact]
    public void A_model_against_itself_has_an_interval_around_one()
    {
        const int Tries = 400;
        var random = new Random(5);
        double[] Turn(double noise) => [.. Enumerable.Range(0, 3).Select(_ => noise * (1 + 0.1 * -Math.Log(1 - random.NextDouble())))];
        int covered = 0;
        for (int t = 0; t < Tries; t++)
        {
            List<double[][]> rounds = [.. Enumerable.Range(0, 30).Select(_ => 1 + random.NextDouble()).Select(noise => new[] { Turn(noise), Turn(noise) })];
            var b = BenchmarkSetting.Of(1, 1, [0, 1], rounds).Times[1];
            Assert.True(b.RatioLow <= b.Ratio && b.Ratio <= b.RatioHigh);
            covered += b.RatioLow <= 1 && 1 <= b.RatioHigh ? 1 : 0;
        }

        Assert.InRange(covered, 0.93 * Tries, 0.995 * Tries); // four standard errors below 0.957, which k = 10 of n = 30 gives
    }

    [Fact]
    public void There_is_no_ratio_where_the_first_model_is_missing()
    {
        var setting = BenchmarkSetting.Of(1, 8, models: [1, 2], Rounds(2));

        Assert.Equal([1, 2], setting.Times.Select(times => times.Model));
        Assert.All(setting.Times, times => Assert.Null(times.Ratio ?? times.RatioLow ?? times.RatioHigh));
    }
}
