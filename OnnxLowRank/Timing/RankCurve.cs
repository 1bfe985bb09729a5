namespace OnnxLowRank.Timing;

/// <summary>Times of a layer by rank, from a few measured ones.</summary>
/// <param name="ranks">Measured ranks, rising.</param>
/// <param name="times">Of these ranks.</param>
sealed class RankCurve(int[] ranks, double[] times)
{
    /// <summary>Ranks to measure, as shares of the largest; close together where plans mostly end up.</summary>
    static readonly double[] s_shares = [0.05, 0.15, 0.35, 0.65, 1], s_fewShares = [0.15, 0.5, 1];

    /// <summary>Noise only ever adds to a time, so no rank takes longer than a larger one.</summary>
    readonly double[] _times = [.. times.Select((_, i) => times[i..].Min())];

    /// <summary>The ranks that are measured where all up to this one may be chosen; sizes that candidates have and kernels like.</summary>
    public static int[] Ranks(int largest) => Ranks(largest, s_shares);

    /// <summary>The same where many pairs of ranks are measured.</summary>
    public static int[] FewRanks(int largest) => Ranks(largest, s_fewShares);

    static int[] Ranks(int largest, double[] shares)
    {
        int most = Multiple(largest, Math.Floor);
        return [.. shares.Select(share => Math.Clamp(Multiple(share * largest, Math.Round), 1, most)).Distinct().Order()];
    }

    static int Multiple(double rank, Func<double, double> round)
    {
        int step = rank switch { < 4 => 1, < 64 => 4, < 128 => 8, _ => 16 };
        return (int)round(rank / step) * step;
    }

    /// <summary>Time at a rank, on straight lines between measured ones: the last goes on, the first is as low as it gets.</summary>
    public double At(int rank)
    {
        if (rank <= ranks[0] || ranks.Length == 1)
        {
            return _times[0];
        }
        int above = Array.FindIndex(ranks, known => known >= rank), i = above < 0 ? ranks.Length - 1 : above;
        double share = (double)(rank - ranks[i - 1]) / (ranks[i] - ranks[i - 1]);
        return _times[i - 1] + share * (_times[i] - _times[i - 1]);
    }
}
