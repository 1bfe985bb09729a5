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
    public static void Quantize(Emission emission, Layer layer)
    {
        string weight = InInt8(emission, layer, layer.Name, Int8.PerRow(layer.ReadFloats(), layer.Out));
        foreach (var use in layer.Uses)
        {
            string name = LayerFinder.Name(use.Node), bias = emission.AddRealBias(layer, name, use.Bias);
            emission.Replace(use, [Spread(emission, use, name, weight, bias, use.Output)]);
        }
    }

    public static void Factorize(Emission emission, LayerPlan.Factorize plan, Decomposition decomposition)
    {
        var (layer, rank) = (plan.Layer, plan.Rank);
        var factors = emission.Factors(decomposition, rank, Emission.WantsBalance(plan));
        long[] upDims = [layer.Out, rank, .. layer.Kernel.Select(_ => 1L)];
        string downName = $"{layer.Name}_down", upName = $"{layer.Name}_up";
        var (down, up) = plan.WeightOnly
            ? (InInt8(emission, layer, downName, Int8.PerRow(factors.Down, rank)), WeightOnly.Add(emission.Graph, upName, Int8.PerRow(factors.Up, layer.Out), layer.Type, upDims))
            : (emission.AddReals(layer, downName, layer.Spread<float>(factors.Down, rank), Dims(layer, rank)), emission.AddReals(layer, upName, factors.Up, upDims));
        for (int i = 0; i < layer.Uses.Count; i++)
        {
            var use = layer.Uses[i];
            string name = LayerFinder.Name(use.Node), inner = emission.NameInner(use, rank);
            string bias = emission.AddRealBias(layer, name, emission.Bias(decomposition, rank, i, isFree: true));
            var mix = NodeAttributes.Create("Conv", emission.Graph.FreshName($"{name}_up"), bias.Length > 0 ? [inner, up, bias] : [inner, up], [use.Output]);
            emission.Replace(use, [Spread(emission, use, $"{name}_down", down, "", inner), mix]);
        }
    }

    static NodeProto Spread(Emission emission, LayerUse use, string name, string weight, string bias, string output)
    {
        var node = NodeAttributes.Create("ConvTranspose", emission.Graph.FreshName(name), bias.Length > 0 ? [use.Input, weight, bias] : [use.Input, weight], [output]);
        node.Attribute.AddRange(use.Node.Attribute.Select(attribute => attribute.Clone()));
        return node;
    }

    static string InInt8(Emission emission, Layer layer, string name, Int8Rows weight)
    {
        int rows = weight.Scales.Length;
        return WeightOnly.AddSpread(emission.Graph, name, layer.Spread<sbyte>(weight.Values, rows), weight.Scales, layer.Type, Dims(layer, rows));
    }

    static long[] Dims(Layer layer, int rows) => [layer.Weight.Dims[0], rows, .. layer.Kernel];
}
