using OnnxLowRank.Calibration;
using OnnxLowRank.Factorization;
using OnnxLowRank.Layers;
using OnnxLowRank.Onnx;
using OnnxLowRank.Onnx.Proto;

namespace OnnxLowRank.Rewriting;

/// <summary>What the emitters of one rewrite share.</summary>
/// <param name="Nodes">The original model's nodes → the edited copy's.</param>
sealed record Emission(
    GraphEditor Graph, Dialect Dialect, ActivationRanges Ranges, ActivationGrids Grids, IReadOnlyDictionary<NodeProto, NodeProto> Nodes)
{
    /// <summary>Puts <paramref name="nodes"/> in the place of a use's node and removes the nodes it absorbed.</summary>
    public void Replace(LayerUse use, IEnumerable<NodeProto> nodes)
    {
        Graph.Replace(Nodes[use.Node], [.. nodes]);
        foreach (var absorbed in use.Absorbed)
        {
            Graph.Replace(Nodes[absorbed], []);
        }
    }

    /// <summary>A use's bias as a constant, or an empty name where it has none.</summary>
    public string AddBias(string name, double[]? bias) =>
        bias == null ? "" : Graph.AddConstant(TensorData.Floats($"{name}_bias", Array.ConvertAll(bias, value => (float)value), bias.Length));
}

/// <summary>The bias of a factorized layer.</summary>
static class CorrectedBias
{
    /// <summary>An added bias that restores less than this share of the lost energy is not worth an operator.</summary>
    const double WorthAnOperator = 0.01;

    /// <summary>b + (I − U_r·U_rᵀ)·E[W·x], or null when there is no bias and none is needed.</summary>
    /// <param name="isFree">Whether the last node has room for a bias; else a small correction of a layer without one is left out.</param>
    public static double[]? Of(Decomposition decomposition, int rank, int useIndex, bool isFree)
    {
        var use = decomposition.Layer.Uses[useIndex];
        double[]? correction = use.Addend == null ? decomposition.BiasCorrection(rank, useIndex) : null;
        if (correction == null)
        {
            return use.Bias;
        }
        if (use.Bias == null && decomposition.Layer.Kind == LayerKind.LeftMatMul)
        {
            return null; // whether it would be (out, 1) or (out) depends on the rank of x, which is not known here
        }
        if (use.Bias == null)
        {
            double restored = correction.Sum(value => value * value);
            return isFree || restored > WorthAnOperator * decomposition.Error(rank) * decomposition.Energy ? correction : null;
        }
        return [.. use.Bias.Zip(correction, (bias, gain) => bias + gain)];
    }
}
