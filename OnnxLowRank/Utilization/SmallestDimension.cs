namespace OnnxLowRank.Utilization;

/// <summary>The number that a binary search over dimensions ends at.</summary>
static class SmallestDimension
{
    /// <summary>The smallest dimension in 1 … <paramref name="all"/> that passes, if whatever is above one that passes does too.</summary>
    /// <param name="all">Not asked about: at full dimension nothing is projected.</param>
    public static int Of(int all, Func<int, bool> passes)
    {
        int low = 1, high = all;
        while (low < high)
        {
            int middle = low + (high - low) / 2;
            (low, high) = passes(middle) ? (low, middle) : (middle + 1, high);
        }
        return high;
    }

    /// <summary>Questions that are asked at most.</summary>
    public static int Questions(int all) => (int)Math.Ceiling(Math.Log2(Math.Max(1, all)));
}
