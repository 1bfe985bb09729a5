namespace OnnxLowRank.Factorization;

/// <summary>How many directions a matrix really uses, by several measures of its singular values σ.</summary>
/// <param name="Effective">exp(−Σ pᵢ·ln pᵢ), pᵢ = σᵢ/Σσ (Roy and Vetterli 2007); 0 for a matrix of zeros.</param>
/// <param name="Stable">Σσ²/σ₁²; 0 for a matrix of zeros.</param>
/// <param name="At90">The smallest rank that keeps 90 % of Σσ²; per group where there are several.</param>
/// <param name="At99">The same for 99 %.</param>
/// <param name="At999">The same for 99.9 %.</param>
/// <param name="At9999">The same for 99.99 %.</param>
public sealed record RankFigures(double Effective, double Stable, int At90, int At99, int At999, int At9999)
{
    /// <summary>Of sums of energies.</summary>
    const double Rounding = 1e-12;

    /// <param name="groups">Spectrum of σ² per group, whole and all of the same length.</param>
    internal static RankFigures Of(IReadOnlyList<Spectrum> groups)
    {
        double[] energies = [.. groups.SelectMany(group => group.Energy).Where(energy => energy > 0)];
        double sum = energies.Sum(Math.Sqrt), largest = energies.DefaultIfEmpty().Max();
        double entropy = -energies.Select(energy => Math.Sqrt(energy) / sum).Sum(p => p * Math.Log(p));
        return new(
            sum > 0 ? Math.Exp(entropy) : 0, largest > 0 ? energies.Sum() / largest : 0, RankKeeping(groups, 0.9), RankKeeping(groups, 0.99), RankKeeping(groups, 0.999),
            RankKeeping(groups, 0.9999));
    }

    /// <summary>The share of Σσ² that is lost beyond a rank.</summary>
    internal static double Lost(IReadOnlyList<Spectrum> groups, int rank)
    {
        double total = groups.Sum(group => group.Total);
        return total > 0 ? groups.Sum(group => group.Tail(rank)) / total : 0;
    }

    internal static int RankKeeping(IReadOnlyList<Spectrum> groups, double share)
    {
        int rank = 0;
        while (rank < groups[0].Energy.Length && Lost(groups, rank) > 1 - share + Rounding)
        {
            rank++;
        }
        return rank;
    }
}
