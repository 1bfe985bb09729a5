using MathNet.Numerics.Distributions;

namespace OnnxLowRank.Statistics;

/// <summary>Medians, whatever the distribution: of times, which have long tails.</summary>
static class MedianInterval
{
    /// <summary>The median of independent values and the interval between two order statistics that covers the true one with at least 1 − α.</summary>
    /// <param name="values">At least one, in any order; no NaN.</param>
    /// <param name="alpha">The chance of missing, 0.05 for 95 %.</param>
    /// <returns>Infinite ends when there are too few values: five or fewer for 95 %.</returns>
    /// <exception cref="ArgumentException">There are no values, or alpha is not in (0, 1).</exception>
    /// <remarks>
    /// The number of values below the true median is binomial with p = 1/2 (the sign test), so [x(k), x(n + 1 − k)] misses it with a chance of
    /// 2·P(X ≤ k − 1); k is the largest for which that is at most α.
    /// </remarks>
    public static Interval Of(ReadOnlySpan<double> values, double alpha)
    {
        double tail = Interval.Tail(alpha);
        double[] sorted = [.. values];
        Array.Sort(sorted);
        int n = sorted.Length, k = 0;
        while (k < n / 2 && Binomial.CDF(0.5, n, k) <= tail)
        {
            k++;
        }
        double median = Quantile.Of(sorted, 0.5);
        return k == 0 ? new(median, double.NegativeInfinity, double.PositiveInfinity) : new(median, sorted[k - 1], sorted[n - k]);
    }
}
