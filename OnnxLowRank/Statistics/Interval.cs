namespace OnnxLowRank.Statistics;

/// <summary>A measured number and the interval that holds the true one with the confidence asked for; Low ≤ Estimate ≤ High.</summary>
readonly record struct Interval(double Estimate, double Low, double High)
{
    /// <summary>The quantile 1 − α/2 of a distribution is what a two-sided interval of confidence 1 − α needs; this is α/2, checked.</summary>
    /// <exception cref="ArgumentException"><paramref name="alpha"/> is not inside (0, 1).</exception>
    internal static double Tail(double alpha) => alpha is > 0 and < 1
        ? alpha / 2
        : throw new ArgumentException($"alpha is the chance of missing, between 0 and 1, not {alpha}");
}
