using MathNet.Numerics.Distributions;

namespace OnnxLowRank.Statistics;

/// <summary>The accuracy that a compressed model loses against its original, both judged on the same samples.</summary>
static class PairedAccuracy
{
    /// <summary>
    /// The loss (b − c)/n and its two-sided score interval. Never of zero width: without any disagreement it is
    /// ±z²/(n + z²), so 100 samples cannot prove a loss below 3.7 percentage points.
    /// </summary>
    /// <param name="samples">n, independent samples. Tokens of one text are not independent: use <see cref="MeanInterval"/> on per-text losses.</param>
    /// <param name="broken">b, samples that the original gets right and the compressed model wrong.</param>
    /// <param name="fixedCount">c, samples that the original gets wrong and the compressed model right.</param>
    /// <param name="alpha">The chance of missing, 0.05 for 95 %; divide it by the number of looks when looking repeatedly.</param>
    /// <exception cref="ArgumentException">n is not positive, a count is negative, b + c exceeds n, or alpha is not in (0, 1).</exception>
    /// <remarks>
    /// Tango, "Equivalence test and confidence interval for the difference in proportions for the paired-sample design",
    /// Statistics in Medicine 17 (1998): all δ in [−1, 1] with |T(δ)| ≤ z, where z is the normal quantile at 1 − α/2,
    /// T(δ) = (b − c − n·δ) / √(n·(2q + δ(1 − δ))) and q is the most likely chance of a fixed sample if the loss is δ:
    /// the larger root of 2n·q² + (2n·δ − (b + c) − (b − c)·δ)·q − c·δ(1 − δ) = 0.
    /// T falls from +∞ to −∞, so each end is found by bisection. At δ = 0 this is McNemar's test: 0 is inside the interval
    /// exactly when |b − c| ≤ z·√(b + c).
    /// </remarks>
    public static Interval Loss(long samples, long broken, long fixedCount, double alpha)
    {
        double z = -Normal.InvCDF(0, 1, Interval.Tail(alpha));
        if (samples <= 0 || broken < 0 || fixedCount < 0 || broken > samples - fixedCount)
        {
            throw new ArgumentException($"of {samples} samples, {broken} broken and {fixedCount} fixed are impossible counts");
        }

        double estimate = (double)(broken - fixedCount) / samples;
        return new(
            estimate,
            Crossing(z, -1, estimate, samples, broken, fixedCount),
            Crossing(-z, estimate, 1, samples, broken, fixedCount));
    }

    /// <summary>The δ between <paramref name="low"/> and <paramref name="high"/> at which T falls through <paramref name="target"/>.</summary>
    static double Crossing(double target, double low, double high, double n, double b, double c)
    {
        for (int step = 0; step < 100; step++)   // to neighbouring doubles, or to 2⁻¹⁰⁰ around 0
        {
            double middle = (low + high) / 2;
            (low, high) = Score(middle, n, b, c) > target ? (middle, high) : (low, middle);
        }
        return (low + high) / 2;
    }

    internal static double Score(double delta, double n, double b, double c)
    {
        double difference = b - c - n * delta;
        double deviation = Math.Sqrt(n * (2 * FixedChance(delta, n, b, c) + delta * (1 - delta)));
        return deviation > 0 ? difference / deviation : Math.Sign(difference) * double.PositiveInfinity;
    }

    /// <summary>q above. It is never below −δ, the least chance that leaves a chance δ + q ≥ 0 for breaking.</summary>
    static double FixedChance(double delta, double n, double b, double c)
    {
        double linear = 2 * n * delta - (b + c) - (b - c) * delta;
        double constant = -c * delta * (1 - delta);
        double root = Math.Sqrt(Math.Max(0, linear * linear - 8 * n * constant));

        // The form without subtraction of near-equal numbers, whichever sign the linear term has.
        double larger = linear <= 0 ? (root - linear) / (4 * n) : -2 * constant / (root + linear);
        return Math.Max(larger, Math.Max(0, -delta));
    }
}
