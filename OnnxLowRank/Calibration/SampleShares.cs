using OnnxLowRank.Samples;

namespace OnnxLowRank.Calibration;

/// <summary>
/// Three disjoint shares of the samples: what shapes the plan, what picks it and what judges it never meet.
/// </summary>
/// <param name="Moments">Half of the samples.</param>
/// <param name="Search">A quarter.</param>
/// <param name="Verification">A quarter.</param>
sealed record SampleShares(ReadOnlyMemory<int> Moments, ReadOnlyMemory<int> Search, ReadOnlyMemory<int> Verification)
{
    /// <summary>All samples.</summary>
    public int Count => Moments.Length + Search.Length + Verification.Length;

    /// <summary>One sample per share, and one more for the moments.</summary>
    const int Fewest = 4;

    /// <exception cref="DataException">There are too few samples to share out.</exception>
    public static SampleShares Of(int count, int seed)
    {
        if (count < Fewest)
        {
            throw new DataException($"{count} calibration {(count == 1 ? "sample is" : "samples are")} too few: moments, search and verification need samples of their own, {Fewest} at least");
        }
        int[] order = [.. Enumerable.Range(0, count)];
        new Random(seed).Shuffle(order);
        int quarter = count / 4;
        // Sorted, so that reading them walks through the file.
        int[] verification = [.. order.Take(quarter).Order()], search = [.. order.Skip(quarter).Take(quarter).Order()];
        return new(order.Skip(2 * quarter).Order().ToArray(), search, verification);
    }
}
