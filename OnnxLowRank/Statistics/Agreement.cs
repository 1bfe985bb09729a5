using MathNet.Numerics;

namespace OnnxLowRank.Statistics;

/// <summary>How often a compressed model answers differently from its original.</summary>
static class Agreement
{
    /// <summary>The loss k/n and its exact two-sided interval, which covers the true rate with at least 1 − α for every n and rate.</summary>
    /// <param name="samples">n, independent samples.</param>
    /// <param name="disagreements">k, samples on which the two models' answers differ.</param>
    /// <param name="alpha">The chance of missing, 0.05 for 95 %; divide it by the number of looks when looking repeatedly.</param>
    /// <exception cref="ArgumentException">n is not positive, k is not within 0..n, or alpha is not in (0, 1).</exception>
    /// <remarks>
    /// Clopper and Pearson (Biometrika 26, 1934): low is the rate p at which k or more disagreements have the chance α/2, high the
    /// rate at which k or fewer have it. P(X ≥ k) is the regularized incomplete beta function I_p(k, n − k + 1), solved for p by bisection.
    /// </remarks>
    public static Interval Loss(long samples, long disagreements, double alpha)
    {
        double tail = Interval.Tail(alpha);
        if (samples <= 0 || disagreements < 0 || disagreements > samples)
        {
            throw new ArgumentException($"{disagreements} of {samples} samples cannot disagree");
        }

        double n = samples, k = disagreements;
        double estimate = k / n;
        double low = k == 0 ? 0 : Solve(p => SpecialFunctions.BetaRegularized(k, n - k + 1, p) < tail, 0, estimate);
        double high = k == n ? 1 : Solve(p => SpecialFunctions.BetaRegularized(n - k, k + 1, 1 - p) > tail, estimate, 1);
        return new(estimate, low, high);
    }

    /// <summary>Where <paramref name="below"/> turns from true to false.</summary>
    static double Solve(Func<double, bool> below, double low, double high)
    {
        for (int step = 0; step < 100; step++)
        {
            double middle = (low + high) / 2;
            (low, high) = below(middle) ? (middle, high) : (low, middle);
        }
        return (low + high) / 2;
    }
}
