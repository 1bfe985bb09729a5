using OnnxLowRank.Factorization;
using OnnxLowRank.Layers;
using OnnxLowRank.Onnx;
using OnnxLowRank.Onnx.Proto;
using OnnxLowRank.Planning;
using OnnxLowRank.Quantization;

namespace OnnxLowRank.Rewriting;

/// <summary>
/// ConvTranspose in one group. Whatever positions its kernel spreads over, every number of the output is linear in its channel's
/// weights, so that fewer channels are made and a pointwise Conv mixes them:
/// <code>
/// ConvTranspose k×k (C_in → r) → Conv 1×1 (r → C_out) + b'
/// </code>
/// Strides, pads, dilations and the output's shape stay on the ConvTranspose. No integer kernel does this; weights alone may be in 8 bits.
/// </summary>
static class ConvTransposeEmitter
{
    public static void Quantize(Emission emission, LayerPlan.Quantize plan)
    {
        var layer = plan.Layer;
        string weight = AddSpread(emission, plan, layer.Name, layer.ReadFloats(), layer.Out);
        foreach (var use in layer.Uses)
        {
            string name = LayerFinder.Name(use.Node), bias = emission.AddRealBias(plan, name, use.Bias);
            emission.ReplaceIn(plan.Reals.Run, layer, use, [Spread(emission, use, name, weight, bias, use.Output)]);
        }
    }

    public static void Factorize(Emission emission, LayerPlan.Factorize plan, Decomposition decomposition)
    {
        var (layer, rank) = (plan.Layer, plan.Rank);
        var factors = Emission.Factors(decomposition, rank, Emission.WantsBalance(plan));
        long[] upDims = [layer.Out, rank, .. layer.Kernel.Select(_ => 1L)];
        string downName = $"{layer.Name}_down", upName = $"{layer.Name}_up";
        string down = AddSpread(emission, plan, downName, factors.Down, rank);
        string up = plan.StoresReals
            ? emission.AddReals(plan.Reals, upName, factors.Up, upDims)
            : WeightOnly.Add(emission.Graph, upName, Int8.PerRow(factors.Up, layer.Out), layer.Type, upDims);
        for (int i = 0; i < layer.Uses.Count; i++)
        {
            var use = layer.Uses[i];
            string name = LayerFinder.Name(use.Node), inner = emission.NameInner(use, rank);
            string bias = emission.AddRealBias(plan, name, CorrectedBias.Of(decomposition, rank, i, isFree: true));
            var mix = NodeAttributes.Create("Conv", emission.Graph.FreshName($"{name}_up"), bias.Length > 0 ? [inner, up, bias] : [inner, up], [use.Output]);
            emission.ReplaceIn(plan.Reals.Run, layer, use, [Spread(emission, use, $"{name}_down", down, "", inner), mix]);
        }
    }

    static NodeProto Spread(Emission emission, LayerUse use, string name, string weight, string bias, string output)
    {
        var node = NodeAttributes.Create("ConvTranspose", emission.Graph.FreshName(name), bias.Length > 0 ? [use.Input, weight, bias] : [use.Input, weight], [output]);
        node.Attribute.AddRange(use.Node.Attribute.Select(attribute => attribute.Clone()));
        return node;
    }

    /// <summary>Adds a weight of so many rows as a ConvTranspose reads it; returns the name of its float value.</summary>
    static string AddSpread(Emission emission, LayerPlan plan, string name, float[] weight, int rows)
    {
        var layer = plan.Layer;
        if (plan.StoresReals)
        {
            return emission.AddReals(plan.Reals, name, layer.Spread<float>(weight, rows), Dims(layer, rows));
        }
        var rounded = Int8.PerRow(weight, rows);
        return WeightOnly.AddSpread(emission.Graph, name, layer.Spread<sbyte>(rounded.Values, rows), rounded.Scales, layer.Type, Dims(layer, rows));
    }

    static long[] Dims(Layer layer, int rows) => [layer.Weight.Dims[0], rows, .. layer.Kernel];
}
