using OnnxLowRank.Layers;
using OnnxLowRank.Quantization;

namespace OnnxLowRank.Calibration;

/// <summary>The span of values that calibration saw, for activations that travel as 8 bits.</summary>
/// <param name="Values">Grid per value of the original graph that enters or leaves a Conv layer.</param>
/// <param name="Inside">Of what is between a layer's factors.</param>
sealed record ActivationRanges(IReadOnlyDictionary<string, UInt8Grid> Values, InnerRanges Inside)
{
    public static ActivationRanges None { get; } = new(new Dictionary<string, UInt8Grid>(), InnerRanges.None);
}

/// <summary>Spans between the convolutions that Conv layers may become.</summary>
/// <param name="Outputs">Of Uᵀ·W·x, at every rank.</param>
/// <param name="Inputs">Of the combinations of its input's channels, of a layer where those may be combined.</param>
/// <param name="Columns">Of what a kernel's columns make, of a layer where it may be cut so.</param>
sealed record InnerRanges(IReadOnlyDictionary<Layer, InnerRange> Outputs, IReadOnlyDictionary<Layer, InnerRange> Inputs, IReadOnlyDictionary<Layer, InnerRange> Columns)
{
    public static InnerRanges None { get; } = new(new Dictionary<Layer, InnerRange>(), new Dictionary<Layer, InnerRange>(), new Dictionary<Layer, InnerRange>());
}

/// <summary>Span of numbers inside a rewritten layer, before they are scaled.</summary>
/// <param name="Min">(groups·k): k numbers per group.</param>
/// <param name="Max">Likewise.</param>
sealed record InnerRange(double[] Min, double[] Max)
{
    /// <summary>The span of what is left without a constant, whichever of several it is.</summary>
    /// <param name="constants">(groups·k) each.</param>
    public InnerRange Without(double[][] constants) => new(
        [.. Min.Select((min, i) => min - constants.Max(constant => constant[i]))], [.. Max.Select((max, i) => max - constants.Min(constant => constant[i]))]);

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
