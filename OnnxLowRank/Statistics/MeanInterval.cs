using MathNet.Numerics;

namespace OnnxLowRank.Statistics;

/// <summary>Intervals for losses that are averages over samples: KL divergence, cosine distance, log-perplexity, relative error.</summary>
/// <remarks>
/// They rest on the central limit theorem: with few samples and a heavy tail (one sample carrying most of the sum) the true
/// coverage is below 1 − α.
/// </remarks>
static class MeanInterval
{
    /// <summary>The mean of independent per-sample losses and its two-sided Student-t interval: mean ± t·s/√n, n − 1 degrees of freedom.</summary>
    /// <param name="alpha">The chance of missing, 0.05 for 95 %; divide it by the number of looks when looking repeatedly.</param>
    /// <returns>Infinite ends when there are fewer than two losses; the mean of none is NaN.</returns>
    /// <exception cref="ArgumentException">A loss is NaN or infinite, or alpha is not in (0, 1).</exception>
    public static Interval OfMean(ReadOnlySpan<double> losses, double alpha)
    {
        double tail = Interval.Tail(alpha);
        double mean = Sum(losses, nameof(losses)) / losses.Length;
        if (losses.Length < 2)
        {
            return new(mean, double.NegativeInfinity, double.PositiveInfinity);
        }

        double squares = 0;
        foreach (double loss in losses)
        {
            squares += (loss - mean) * (loss - mean);
        }
        double half = Quantile(tail, losses.Length) * Math.Sqrt(squares / (losses.Length - 1) / losses.Length);
        return new(mean, mean - half, mean + half);
    }

    /// <summary>
    /// R = Σ numerators / Σ denominators over independent samples and its two-sided interval, as for the relative error
    /// Σ‖Δy‖² / Σ‖y‖². A ratio of sums, not a mean of ratios: samples weigh as much as their denominator.
    /// </summary>
    /// <param name="denominators">One per numerator, none negative.</param>
    /// <param name="alpha">The chance of missing, 0.05 for 95 %; divide it by the number of looks when looking repeatedly.</param>
    /// <returns>
    /// Infinite ends when fewer than two denominators are positive; R of no samples is NaN. If no numerator is negative, neither
    /// is the low end, so square roots of all three are safe.
    /// </returns>
    /// <exception cref="ArgumentException">Lengths differ, a value is NaN or infinite, a denominator is negative, or alpha is not in (0, 1).</exception>
    /// <remarks>
    /// Jackknife: with R₋ᵢ the ratio without sample i, R ± t·√((n − 1)/n · Σ(R₋ᵢ − mean R₋ⱼ)²), n − 1 degrees of freedom
    /// (Efron and Stein, Annals of Statistics 9, 1981: its variance is biased upward, if at all). To first order it equals the delta method.
    /// </remarks>
    public static Interval OfRatio(ReadOnlySpan<double> numerators, ReadOnlySpan<double> denominators, double alpha)
    {
        double tail = Interval.Tail(alpha);
        int n = numerators.Length;
        if (denominators.Length != n)
        {
            throw new ArgumentException($"{n} numerators, but {denominators.Length} denominators");
        }
        double above = Sum(numerators, nameof(numerators)), below = Sum(denominators, nameof(denominators));
        double floor = double.PositiveInfinity;
        int positive = 0;
        for (int i = 0; i < n; i++)
        {
            if (denominators[i] < 0)
            {
                throw new ArgumentException($"denominator {i} is {denominators[i]}, below zero");
            }
            positive += denominators[i] > 0 ? 1 : 0;
            floor = Math.Min(floor, numerators[i]);
        }
        floor = floor >= 0 ? 0 : double.NegativeInfinity;

        double ratio = above / below;
        if (positive < 2)
        {
            return new(ratio, floor, double.PositiveInfinity);
        }

        // R₋ᵢ − R = (R·dᵢ − nᵢ) / (D − dᵢ): the small difference is computed as such, not as one of two near-equal ratios.
        double sum = 0, squares = 0;
        for (int i = 0; i < n; i++)
        {
            double shift = (ratio * denominators[i] - numerators[i]) / (below - denominators[i]);
            sum += shift;
            squares += shift * shift;
        }
        double half = Quantile(tail, n) * Math.Sqrt(Math.Max(0, squares - sum * sum / n) * (n - 1) / n);
        return new(ratio, Math.Max(floor, ratio - half), ratio + half);
    }

    /// <summary>The t that a Student-t variable of n − 1 degrees of freedom exceeds with the chance <paramref name="tail"/>, below 1/2.</summary>
    /// <remarks>P(T > t) = I_x(ν/2, 1/2) / 2 with x = ν/(ν + t²), by bisection: Math.NET's StudentT.InvCDF throws for a small tail and few samples.</remarks>
    static double Quantile(double tail, int samples)
    {
        double freedom = samples - 1;
        bool Exceeded(double t) => SpecialFunctions.BetaRegularized(freedom / 2, 0.5, freedom / (freedom + t * t)) / 2 > tail;

        double high = 1;
        while (Exceeded(high))
        {
            high *= 2;
        }
        double low = high == 1 ? 0 : high / 2;
        for (int step = 0; step < 60; step++)
        {
            double middle = (low + high) / 2;
            (low, high) = Exceeded(middle) ? (middle, high) : (low, middle);
        }
        return (low + high) / 2;
    }

    static double Sum(ReadOnlySpan<double> values, string what)
    {
        double sum = 0;
        foreach (double value in values)
        {
            sum += double.IsFinite(value) ? value : throw new ArgumentException($"{what} hold {value}");
        }
        return sum;
    }
}
