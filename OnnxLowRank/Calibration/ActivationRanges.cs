using OnnxLowRank.Layers;
using OnnxLowRank.Quantization;

namespace OnnxLowRank.Calibration;

/// <summary>The span of values that calibration saw, for activations that travel as 8 bits.</summary>
/// <param name="Values">Grid per value of the original graph that enters or leaves a Conv layer.</param>
/// <param name="Inner">Per Conv layer, lowest and highest value of each number between its factors.</param>
sealed record ActivationRanges(
    IReadOnlyDictionary<string, UInt8Grid> Values, IReadOnlyDictionary<Layer, InnerRange> Inner)
{
    public static ActivationRanges None { get; } = new(new Dictionary<string, UInt8Grid>(), new Dictionary<Layer, InnerRange>());
}

/// <summary>Span of U_rᵀ·W·x, the numbers between the factors in their orthonormal form.</summary>
/// <param name="Min">(groups·k): k numbers per group.</param>
/// <param name="Max">Likewise.</param>
sealed record InnerRange(double[] Min, double[] Max)
{
    /// <summary>The grid for the first r numbers of each group.</summary>
    /// <param name="scales">(groups·r): the factor each number is multiplied by.</param>
    public UInt8Grid Grid(int groups, int rank, double[] scales)
    {
        int stored = Min.Length / groups;
        double min = 0, max = 0;
        for (int i = 0; i < scales.Length; i++)
        {
            int from = i / rank * stored + i % rank;
            min = Math.Min(min, Min[from] * scales[i]);
            max = Math.Max(max, Max[from] * scales[i]);
        }
        return UInt8Grid.Covering(min, max);
    }
}
