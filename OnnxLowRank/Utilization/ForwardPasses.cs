using OnnxLowRank.Layers;
using OnnxLowRank.Onnx.Proto;

namespace OnnxLowRank.Utilization;

/// <summary>Forward work, in units of one pass of the whole model over all samples; parts of the model count by their layers' multiply-adds.</summary>
/// <param name="Made">What was run.</param>
/// <param name="WithoutCache">What it would have been had every probe run the whole model.</param>
/// <param name="WithoutEither">What it would have been had, besides, no probe been stopped early.</param>
public sealed record ForwardPasses(double Made, double WithoutCache, double WithoutEither)
{
    /// <summary>The same work, however it is done.</summary>
    internal static ForwardPasses Of(double passes) => new(passes, passes, passes);

    /// <summary>Both.</summary>
    internal ForwardPasses Plus(ForwardPasses other) => new(Made + other.Made, WithoutCache + other.WithoutCache, WithoutEither + other.WithoutEither);
}

/// <summary>What parts of a model cost.</summary>
/// <param name="macs">Multiply-adds per sample of every layer.</param>
sealed class ForwardCost(IReadOnlyDictionary<Layer, double> macs)
{
    /// <summary>Multiply-adds per sample of all layers.</summary>
    public double Macs { get; } = macs.Values.Sum();

    /// <summary>The share of the model's multiply-adds that these nodes have, 0…1.</summary>
    public double Share(IReadOnlySet<NodeProto> nodes) =>
        Macs > 0 ? macs.Sum(item => item.Value * item.Key.Uses.Count(use => nodes.Contains(use.Node)) / item.Key.Uses.Count) / Macs : 1;
}
