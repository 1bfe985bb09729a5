using OnnxLowRank.Factorization;
using OnnxLowRank.Layers;
using OnnxLowRank.Onnx;
using OnnxLowRank.Onnx.Proto;
using OnnxLowRank.Planning;
using OnnxLowRank.Quantization;

namespace OnnxLowRank.Rewriting;

/// <summary>
/// Conv over 1, 2 or 3 axes, channel scheme: the kernel produces r numbers per position and group, a pointwise Conv mixes them.
/// <code>
/// Conv k×k (C_in → C_out) [→ BatchNormalization]   →  Conv k×k (C_in → groups·r) → Conv 1×1 (groups·r → C_out) + b'
/// </code>
/// Strides, pads, dilations and groups stay on the first Conv. In 8 bits both are surrounded by QuantizeLinear/DequantizeLinear
/// with ranges from calibration, which ONNX Runtime fuses to QLinearConv.
/// </summary>
static class ConvEmitter
{
    /// <param name="weight">The dense weight, (out, in).</param>
    public static void Quantize(Emission emission, Layer layer, float[] weight)
    {
        var inputs = layer.Uses.Select(use => emission.Grids.Request(use.Input)).ToList();
        var rows = QuantizeRows(weight, layer.Out, [.. layer.Uses.Select((use, i) => (use.Bias, inputs[i]))]);
        string dequantized = AddWeight(emission, layer.Name, rows, layer.Weight.Dims, out var shared);
        for (int i = 0; i < layer.Uses.Count; i++)
        {
            var use = layer.Uses[i];
            string name = LayerFinder.Name(use.Node);
            var nodes = new List<NodeProto>();
            TakeOver(nodes, ref shared);
            string bias = AddBias(emission, name, use.Bias, inputs[i], rows, nodes);
            nodes.Add(emission.Grids.ReadsQuantized(Conv(emission, use, name, use.Input, dequantized, bias, use.Output)));
            emission.Replace(use, nodes);
            emission.Grids.Request(use.Activation);
        }
    }

    public static void Factorize(Emission emission, LayerPlan.Factorize plan, Decomposition decomposition)
    {
        bool isInt8 = plan.Format == WeightFormat.Int8;
        var layer = plan.Layer;
        var factors = decomposition.Cut(plan.Rank, isInt8);
        var biases = layer.Uses.Select((use, i) => CorrectedBias.Of(decomposition, plan.Rank, i, isFree: true)).ToList();
        long[] downDims = [layer.Groups * plan.Rank, .. layer.Weight.Dims[1..]];
        long[] upDims = [layer.Out, plan.Rank, .. layer.Kernel.Select(_ => 1L)];
        if (isInt8)
        {
            EmitInt8(emission, layer, factors, biases, downDims, upDims);
            return;
        }

        string down = emission.Graph.AddConstant(TensorData.Floats($"{layer.Name}_down", factors.Down, downDims));
        string up = emission.Graph.AddConstant(TensorData.Floats($"{layer.Name}_up", factors.Up, upDims));
        for (int i = 0; i < layer.Uses.Count; i++)
        {
            var use = layer.Uses[i];
            string name = LayerFinder.Name(use.Node);
            string middle = emission.Graph.FreshName($"{name}_rank{plan.Rank}");
            emission.Replace(use,
            [
                Conv(emission, use, $"{name}_down", use.Input, down, "", middle),
                Pointwise(emission, layer, $"{name}_up", middle, up, emission.AddBias(name, biases[i]), use.Output),
            ]);
        }
    }

    static void EmitInt8(Emission emission, Layer layer, LowRank factors, List<double[]?> biases, long[] downDims, long[] upDims)
    {
        foreach (var use in layer.Uses)
        {
            emission.Grids.Request(use.Input);
        }
        var grid = emission.Ranges.Inner[layer].Grid(layer.Groups, factors.Rank, factors.Scales);
        var downRows = Int8.PerRow(factors.Down, layer.Groups * factors.Rank);
        var upRows = QuantizeRows(factors.Up, layer.Out, [.. biases.Select(bias => (bias, grid))]);
        string down = AddWeight(emission, $"{layer.Name}_down", downRows, downDims, out var shared);
        string up = AddWeight(emission, $"{layer.Name}_up", upRows, upDims, out var sharedUp);
        shared.AddRange(sharedUp);
        for (int i = 0; i < layer.Uses.Count; i++)
        {
            var use = layer.Uses[i];
            string name = LayerFinder.Name(use.Node);
            string middle = emission.Graph.FreshName($"{name}_rank{factors.Rank}"), dequantized = emission.Graph.FreshName($"{name}_inner");
            var nodes = new List<NodeProto>();
            TakeOver(nodes, ref shared);
            string bias = AddBias(emission, name, biases[i], grid, upRows, nodes);
            nodes.Add(emission.Grids.ReadsQuantized(Conv(emission, use, $"{name}_down", use.Input, down, "", middle)));
            nodes.AddRange(emission.Grids.Pair($"{name}_inner", middle, grid, dequantized));
            nodes.Add(Pointwise(emission, layer, $"{name}_up", dequantized, up, bias, use.Output));
            emission.Replace(use, nodes);
            emission.Grids.Request(use.Activation);
        }
    }

    /// <summary>Nodes that all uses of a layer share stand before the first one.</summary>
    static void TakeOver(List<NodeProto> nodes, ref List<NodeProto> shared)
    {
        nodes.AddRange(shared);
        shared = [];
    }

    static NodeProto Conv(Emission emission, LayerUse use, string name, string input, string weight, string bias, string output)
    {
        var node = NodeAttributes.Create("Conv", emission.Graph.FreshName(name), bias.Length > 0 ? [input, weight, bias] : [input, weight], [output]);
        node.Attribute.AddRange(use.Node.Attribute.Select(attribute => attribute.Clone()));
        return node;
    }

    static NodeProto Pointwise(Emission emission, Layer layer, string name, string input, string weight, string bias, string output)
    {
        long[] ones = [.. layer.Kernel.Select(_ => 1L)];
        return NodeAttributes.Create("Conv", emission.Graph.FreshName(name), bias.Length > 0 ? [input, weight, bias] : [input, weight], [output])
            .With("kernel_shape", ones).With("group", layer.Groups);
    }

    /// <summary>Rounds each row, with steps large enough for every use's bias to fit 32 bits.</summary>
    static Int8Rows QuantizeRows(float[] matrix, int rows, (double[]? Bias, UInt8Grid Input)[] uses)
    {
        var smallest = new float[rows];
        foreach (var (bias, input) in uses)
        {
            for (int i = 0; i < rows && bias != null; i++)
            {
                smallest[i] = Math.Max(smallest[i], Int8.SmallestScaleForBias(bias[i], input.Scale));
            }
        }
        return Int8.PerRow(matrix, rows, smallest);
    }

    /// <summary>Adds an 8-bit weight; returns the name of the float value that the nodes make of it.</summary>
    static string AddWeight(Emission emission, string name, Int8Rows rows, long[] dims, out List<NodeProto> nodes)
    {
        var graph = emission.Graph;
        string values = graph.AddConstant(TensorData.Create<sbyte>($"{name}_int8", TensorProto.Types.DataType.Int8, rows.Values, dims));
        string scales = graph.AddConstant(TensorData.Floats($"{name}_scale", rows.Scales, rows.Scales.Length));
        string real = graph.FreshName($"{name}_weight");
        nodes = [Dequantize(emission, $"{name}_dequantize", values, scales, real)];
        return real;
    }

    /// <summary>Adds a bias as 32-bit integers in units of input step · weight step, as integer convolutions want it.</summary>
    static string AddBias(Emission emission, string name, double[]? bias, UInt8Grid input, Int8Rows weight, List<NodeProto> nodes)
    {
        if (bias == null)
        {
            return "";
        }
        var graph = emission.Graph;
        float[] units = Array.ConvertAll(weight.Scales, scale => scale * input.Scale);
        int[] values = [.. bias.Select((value, i) => (int)Math.Round(value / units[i]))];
        string integers = graph.AddConstant(TensorData.Create<int>($"{name}_bias_int32", TensorProto.Types.DataType.Int32, values, values.Length));
        string scales = graph.AddConstant(TensorData.Floats($"{name}_bias_scale", units, units.Length));
        string real = graph.FreshName($"{name}_bias");
        nodes.Add(Dequantize(emission, $"{name}_bias_dequantize", integers, scales, real));
        return real;
    }

    static NodeProto Dequantize(Emission emission, string name, string values, string scales, string output) =>
        NodeAttributes.Create("DequantizeLinear", emission.Graph.FreshName(name), [values, scales], [output], emission.Grids.Domain).With("axis", 0);
}
