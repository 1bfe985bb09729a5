namespace OnnxLowRank.Statistics;

/// <summary>Whether a loss is within a limit, answered before all samples have run where the answer is clear.</summary>
static class SequentialTest
{
    /// <summary>Of being wrong to stop early, in one test.</summary>
    const double Alpha = 0.01;

    /// <summary>Shares of the samples after which the interval is looked at.</summary>
    static readonly double[] s_looks = [0.125, 0.25, 0.5];

    /// <summary>How it ended.</summary>
    /// <param name="Loss">The estimate on the samples that ran.</param>
    /// <param name="Samples">How many did.</param>
    public readonly record struct Answer(bool IsWithin, double Loss, int Samples);

    /// <summary>
    /// Whether the estimate on all samples is at most <paramref name="limit"/>; or, at a look before that, whether the interval lies on one
    /// side of it. Every look has its part of <see cref="Alpha"/> (Bonferroni), so that together they mislead no more often than that.
    /// </summary>
    /// <param name="samples">All samples, in random order.</param>
    /// <param name="run">Samples that are run at once: looks are at whole runs.</param>
    /// <param name="measure">From how many samples on, up to how many, and α → the interval of the loss on all samples so far.</param>
    public static Answer IsWithin(double limit, int samples, int run, Func<int, int, double, Interval> measure)
    {
        int[] looks = [.. s_looks.Select(share => (int)Math.Ceiling(share * samples / run) * run).Where(end => end < samples).Distinct()];
        int done = 0;
        foreach (int end in looks)
        {
            var soFar = measure(done, end, Alpha / looks.Length);
            done = end;
            if (soFar.Low > limit || soFar.High <= limit)
            {
                return new(soFar.High <= limit, soFar.Estimate, end);
            }
        }
        double loss = measure(done, samples, Alpha).Estimate;
        return new(loss <= limit, loss, samples);
    }
}
