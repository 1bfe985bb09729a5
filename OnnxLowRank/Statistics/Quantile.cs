namespace OnnxLowRank.Statistics;

/// <summary>Quantiles of a sample.</summary>
static class Quantile
{
    /// <summary>
    /// The value below which a share p of the sample lies: with x(0) ≤ … ≤ x(n − 1), linear between the neighbours of x(p·(n − 1)), as NumPy and R by default.
    /// </summary>
    /// <param name="sorted">Ascending, at least one.</param>
    /// <param name="p">0 … 1.</param>
    /// <exception cref="ArgumentException">There are no values, or p is out of range.</exception>
    public static double Of(ReadOnlySpan<double> sorted, double p)
    {
        if (sorted.IsEmpty || p is not (>= 0 and <= 1))
        {
            throw new ArgumentException($"no quantile {p} of {sorted.Length} values");
        }
        double at = p * (sorted.Length - 1);
        int below = (int)at, above = Math.Min(below + 1, sorted.Length - 1);
        return sorted[below] + (at - below) * (sorted[above] - sorted[below]);
    }
}
