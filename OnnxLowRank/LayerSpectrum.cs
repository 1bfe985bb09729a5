using OnnxLowRank.Factorization;

namespace OnnxLowRank;

/// <summary>How a layer's energy is spread over directions, up to the largest rank that saves anything.</summary>
/// <param name="Side">output, or input: the channels that a Conv reads.</param>
/// <param name="FullRank">How many directions there are at most, per group where there are several.</param>
/// <param name="Rank">Directions that were kept, per group; null where all were.</param>
/// <param name="KeptEnergy">Share of the energy in those directions; null where all were kept.</param>
/// <param name="Ranks">Which directions are listed, counted from 1: all where there are few, else ever fewer of the later ones.</param>
/// <param name="Values">Their singular values σᵢ/σ₁, largest first.</param>
public sealed record LayerSpectrum(string Layer, string Side, int FullRank, int? Rank, double? KeptEnergy, IReadOnlyList<int> Ranks, IReadOnlyList<float> Values)
{
    /// <summary>Enough for a curve; reports of large models stay small.</summary>
    const int MostPoints = 64;

    /// <param name="rank">That was chosen, or null.</param>
    internal static LayerSpectrum Of(string layer, string side, int fullRank, Spectrum spectrum, int? rank)
    {
        int[] ranks = Thinned(spectrum.Energy.Length);
        double[] energies = [.. spectrum.Energy.OrderDescending()]; // directions are in the order in which they are kept
        double largest = energies[0];
        return new(layer, side, fullRank, rank, rank is { } kept && spectrum.Total > 0 ? 1 - spectrum.Tail(kept) / spectrum.Total : null, ranks,
            [.. ranks.Select(i => largest > 0 ? (float)Math.Sqrt(energies[i - 1] / largest) : 0)]);
    }

    /// <summary>1…count, or some of them at about equal ratios, the first and the last among them.</summary>
    static int[] Thinned(int count) => count <= MostPoints
        ? [.. Enumerable.Range(1, count)]
        : [.. Enumerable.Range(0, MostPoints).Select(i => (int)Math.Round(Math.Pow(count, i / (MostPoints - 1.0)))).Distinct()];
}
