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
    /// <summary>What puts a quantized weight into the graph, given the smallest step per row.</summary>
    delegate Weight AddRows(string name, long[] dims, float[] smallestSteps);

    /// <summary>A quantized weight in the graph.</summary>
    /// <param name="Value">Name of the float value that the nodes make of it.</param>
    /// <param name="Scales">One per row.</param>
    sealed record Weight(string Value, float[] Scales, List<NodeProto> Nodes);

    /// <param name="weight">The dense weight, (out, in).</param>
    public static void Quantize(Emission emission, Layer layer, float[] weight) => Quantize(emission, layer, InInt8(emission, weight, layer.Out));

    public static void Quantize(Emission emission, Layer layer, Int4Dense weight) => Quantize(emission, layer, InInt4(emission, weight.Weight));

    static void Quantize(Emission emission, Layer layer, AddRows add)
    {
        var inputs = layer.Uses.Select(use => emission.Grids.Request(use.Input)).ToList();
        var (dequantized, rows, shared) = add(layer.Name, layer.Weight.Dims, SmallestSteps(layer.Out, [.. layer.Uses.Select((use, i) => (use.Bias, inputs[i]))]));
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
            EmitQuantized(emission, plan, factors.Scales, biases, downDims, upDims,
                InInt8(emission, factors.Down, layer.Groups * plan.Rank), InInt8(emission, factors.Up, layer.Out));
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

    public static void Factorize(Emission emission, LayerPlan.Factorize plan, Int4Pair pair, Decomposition decomposition)
    {
        var layer = plan.Layer;
        var biases = layer.Uses.Select((use, i) => CorrectedBias.Of(decomposition, plan.Rank, i, isFree: true)).ToList();
        EmitQuantized(emission, plan, decomposition.Cut(plan.Rank, balanced: true).Scales, biases, [layer.Groups * plan.Rank, .. layer.Weight.Dims[1..]],
            [layer.Out, plan.Rank, .. layer.Kernel.Select(_ => 1L)], InInt4(emission, pair.Down), InInt4(emission, pair.Up));
    }

    /// <param name="innerScales">What each number between the factors is multiplied by.</param>
    static void EmitQuantized(
        Emission emission, LayerPlan.Factorize plan, double[] innerScales, List<double[]?> biases, long[] downDims, long[] upDims, AddRows addDown, AddRows addUp)
    {
        var layer = plan.Layer;
        foreach (var use in layer.Uses)
        {
            emission.Grids.Request(use.Input);
        }
        var grid = emission.Ranges.Inner[layer].Grid(layer.Groups, plan.Rank, innerScales);
        var (down, _, shared) = addDown($"{layer.Name}_down", downDims, new float[layer.Groups * plan.Rank]);
        var (up, upRows, sharedUp) = addUp($"{layer.Name}_up", upDims, SmallestSteps(layer.Out, [.. biases.Select(bias => (bias, grid))]));
        shared.AddRange(sharedUp);
        for (int i = 0; i < layer.Uses.Count; i++)
        {
            var use = layer.Uses[i];
            string name = LayerFinder.Name(use.Node);
            string middle = emission.Graph.FreshName($"{name}_rank{plan.Rank}"), dequantized = emission.Graph.FreshName($"{name}_inner");
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

    /// <summary>Per row, the step from which on every use's bias fits 32 bits.</summary>
    static float[] SmallestSteps(int rows, (double[]? Bias, UInt8Grid Input)[] uses)
    {
        var smallest = new float[rows];
        foreach (var (bias, input) in uses)
        {
            for (int i = 0; i < rows && bias != null; i++)
            {
                smallest[i] = Math.Max(smallest[i], Int8.SmallestScaleForBias(bias[i], input.Scale));
            }
        }
        return smallest;
    }

    static AddRows InInt8(Emission emission, float[] matrix, int rows) => (name, dims, smallest) =>
    {
        var quantized = Int8.PerRow(matrix, rows, smallest);
        string values = emission.Graph.AddConstant(TensorData.Create<sbyte>($"{name}_int8", TensorProto.Types.DataType.Int8, quantized.Values, dims));
        return Dequantized(emission, name, values, quantized.Scales, []);
    };

    static AddRows InInt4(Emission emission, Int4Blocks rounded) => (name, dims, smallest) =>
    {
        var rows = rounded.WithStepsOfAtLeast(Array.ConvertAll(smallest, step => Unpacking.Factor * Math.Max(step, float.Epsilon * 127)));
        var nodes = new List<NodeProto>();
        string values = Unpacking.Add(emission.Graph, name, rows.Plain(transposed: false), dims, nodes);
        return Dequantized(emission, name, values, Array.ConvertAll(rows.Scales, scale => scale / Unpacking.Factor), nodes);
    };

    static Weight Dequantized(Emission emission, string name, string values, float[] scales, List<NodeProto> nodes)
    {
        string scale = emission.Graph.AddConstant(TensorData.Floats($"{name}_scale", scales, scales.Length));
        string real = emission.Graph.FreshName($"{name}_weight");
        nodes.Add(Dequantize(emission, $"{name}_dequantize", [values, scale], real));
        return new(real, scales, nodes);
    }

    /// <summary>Adds a bias as 32-bit integers in units of input step · weight step, as integer convolutions want it.</summary>
    static string AddBias(Emission emission, string name, double[]? bias, UInt8Grid input, float[] steps, List<NodeProto> nodes)
    {
        if (bias == null)
        {
            return "";
        }
        var graph = emission.Graph;
        float[] units = Array.ConvertAll(steps, step => step * input.Scale);
        int[] values = [.. bias.Select((value, i) => (int)Math.Round(value / units[i]))];
        string integers = graph.AddConstant(TensorData.Create<int>($"{name}_bias_int32", TensorProto.Types.DataType.Int32, values, values.Length));
        string scales = graph.AddConstant(TensorData.Floats($"{name}_bias_scale", units, units.Length));
        string real = graph.FreshName($"{name}_bias");
        nodes.Add(Dequantize(emission, $"{name}_bias_dequantize", [integers, scales], real));
        return real;
    }

    static NodeProto Dequantize(Emission emission, string name, string[] inputs, string output) =>
        NodeAttributes.Create("DequantizeLinear", emission.Graph.FreshName(name), inputs, [output], emission.Grids.Domain).With("axis", 0);
}
