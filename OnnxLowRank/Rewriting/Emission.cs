using Google.Protobuf.Collections;
using OnnxLowRank.Calibration;
using OnnxLowRank.Factorization;
using OnnxLowRank.Layers;
using OnnxLowRank.Onnx;
using OnnxLowRank.Onnx.Proto;
using OnnxLowRank.Planning;
using static OnnxLowRank.Onnx.Proto.TensorProto.Types;

namespace OnnxLowRank.Rewriting;

/// <summary>What the emitters of one rewrite share.</summary>
/// <param name="Nodes">The original model's nodes → the edited copy's.</param>
/// <param name="WeightBits">Of weights that run on 8-bit kernels: 8 or 7.</param>
sealed record Emission(
    GraphEditor Graph, Dialect Dialect, ActivationRanges Ranges, ActivationGrids Grids, IReadOnlyDictionary<NodeProto, NodeProto> Nodes, int WeightBits)
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

    /// <summary>
    /// The same for nodes that compute in float32 whatever the layer's type is, as integer kernels do. ONNX Runtime drops the Casts between two such
    /// layers where it runs the model in float32 anyway.
    /// </summary>
    /// <param name="castsInput">Whether x is cast here; otherwise whoever makes <paramref name="nodes"/> sees to it.</param>
    public void ReplaceInSingle(Layer layer, LayerUse use, IEnumerable<NodeProto> nodes, bool castsInput = true) =>
        ReplaceIn(DataType.Float, layer, use, nodes, castsInput);

    /// <summary>The same for nodes that compute in <paramref name="type"/>: where the layer's is another one, Casts stand at the border.</summary>
    /// <inheritdoc cref="ReplaceInSingle"/>
    public void ReplaceIn(DataType type, Layer layer, LayerUse use, IEnumerable<NodeProto> nodes, bool castsInput = true)
    {
        List<NodeProto> all = [.. nodes];
        if (layer.Type != type)
        {
            string suffix = type == DataType.Float ? "single" : "half";
            if (castsInput)
            {
                var cast = Graph.Cast($"{LayerFinder.Name(use.Node)}_{suffix}", use.Input, type);
                foreach (var node in all)
                {
                    Rename(node.Input, use.Input, cast.Output[0]);
                }
                all.Insert(0, cast);
            }
            string inner = Graph.FreshName($"{use.Output}_{suffix}");
            Rename(all[^1].Output, use.Output, inner);
            all.Add(Grids.Border(Graph.Cast($"{LayerFinder.Name(use.Node)}_border", inner, layer.Type, use.Output)));
        }
        Replace(use, all);
    }

    static void Rename(RepeatedField<string> names, string from, string to)
    {
        for (int i = 0; i < names.Count; i++)
        {
            names[i] = names[i] == from ? to : names[i];
        }
    }

    /// <summary>A name for the value that a use's Up is applied to.</summary>
    public string NameInner(LayerUse use, int rank) => Graph.FreshName($"{LayerFinder.Name(use.Node)}_rank{rank}");

    /// <summary>The factors of a layer.</summary>
    public static LowRank Factors(Decomposition decomposition, int rank, bool balanced)
    {
        double[] scales = decomposition.Scales(rank, balanced);
        return new(rank, decomposition.CutUp(rank, scales), decomposition.CutDown(rank, scales), scales);
    }

    /// <summary>
    /// Whether the spread is split evenly over both factors: for few bits, and for 16, in which numbers between the factors could
    /// otherwise be too large.
    /// </summary>
    public static bool WantsBalance(LayerPlan.Factorize plan) => plan.Format != WeightFormat.Float32 || plan.Layer.IsHalf;

    /// <summary>The biases of a layer's uses with its dense weight as it is, or as it was rounded to few bits.</summary>
    public static double[]?[] Biases(Layer layer, NBitDense? rounded) => [.. layer.Uses.Select((use, i) => Gained(use, rounded?.Gains[i]) ?? use.Bias)];

    /// <summary>A use's bias with what makes good for a rounded weight; null where there is no such gain.</summary>
    public static double[]? Gained(LayerUse use, double[]? gains) =>
        gains == null || use.Bias == null ? gains : [.. use.Bias.Zip(gains, (bias, gain) => bias + gain)];

    /// <summary>A use's bias as a constant in float32, or an empty name where it has none.</summary>
    public string AddBias(string name, double[]? bias) =>
        bias == null ? "" : Graph.AddConstant(TensorData.Floats($"{name}_bias", Array.ConvertAll(bias, value => (float)value), bias.Length));

    /// <summary>The same in the type that a plan's floats run in, of any shape.</summary>
    /// <param name="dims">None for (out).</param>
    public string AddRealBias(LayerPlan plan, string name, double[]? bias, params ReadOnlySpan<long> dims) =>
        bias == null ? "" : AddReals(plan.Reals.OfBias(plan.Layer), $"{name}_bias", Array.ConvertAll(bias, value => (float)value), dims.Length > 0 ? dims : [bias.Length]);

    /// <summary>Adds floats; returns the name of the value, which has the type that they run in.</summary>
    public string AddReals(Reals type, string name, ReadOnlySpan<float> values, params ReadOnlySpan<long> dims)
    {
        string stored = Graph.AddConstant(TensorData.Reals(name, type.Stored, values, dims));
        if (type.Stored == type.Run)
        {
            return stored;
        }
        var cast = Graph.Cast($"{stored}_cast", stored, type.Run);
        Graph.Graph.Node.Add(cast);
        return cast.Output[0];
    }
}

/// <summary>The bias of a factorized layer.</summary>
static class CorrectedBias
{
    /// <summary>An added bias that restores less than this share of the lost energy is not worth an operator.</summary>
    const double WorthAnOperator = 0.01;

    /// <summary>b + (I − U_r·U_rᵀ)·E[W·x], or null when there is no bias and none is needed.</summary>
    /// <param name="isFree">Whether the last node has room for a bias; else a small correction of a layer without one is left out.</param>
    /// <param name="lost">What the output's mean loses before Up's projection (out), or null.</param>
    public static double[]? Of(Decomposition decomposition, int rank, int useIndex, bool isFree, double[]? lost = null)
    {
        var (layer, use) = (decomposition.Layer, decomposition.Layer.Uses[useIndex]);
        double[]? correction = use.Addend == null ? decomposition.BiasCorrection(rank, useIndex, lost) : null;
        if (correction == null || use.Bias != null)
        {
            return Emission.Gained(use, correction) ?? use.Bias;
        }
        if (layer.Kind == LayerKind.LeftMatMul)
        {
            return null; // whether it would be (out, 1) or (out) depends on the rank of x, which is not known here
        }
        double restored = correction.Sum(value => value * value);
        return isFree || restored > WorthAnOperator * decomposition.Error(rank) * decomposition.Energy ? correction : null;
    }
}
