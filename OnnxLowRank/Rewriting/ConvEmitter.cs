using OnnxLowRank.Factorization;
using OnnxLowRank.Layers;
using OnnxLowRank.Onnx;
using OnnxLowRank.Onnx.Proto;
using OnnxLowRank.Planning;
using OnnxLowRank.Quantization;

namespace OnnxLowRank.Rewriting;

/// <summary>
/// Conv over 1, 2 or 3 axes, with an absorbed BatchNormalization. The kernel produces r numbers per position and group, which a pointwise
/// Conv mixes; or it reads combinations of the input's channels; or both:
/// <code>
/// channel:    Conv k×k (C_in → groups·r) → Conv 1×1 (groups·r → C_out) + b'
/// pointwise:  Conv 1×1 (C_in → r_in) → Conv k×k (r_in → C_out) + b
/// tucker:     Conv 1×1 (C_in → r_in) → Conv k×k (r_in → r) → Conv 1×1 (r → C_out) + b'
/// </code>
/// Strides, pads, dilations and groups stay on the k×k Conv; the pads are zero before and after combining channels. In 8 bits all are
/// surrounded by QuantizeLinear/DequantizeLinear with ranges from calibration, which ONNX Runtime fuses to QLinearConv.
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
            nodes.Add(emission.Grids.ReadsQuantized(Conv(emission, null, use, name, use.Input, dequantized, bias, use.Output)));
            emission.Replace(use, nodes);
            emission.Grids.Request(use.Activation);
        }
    }

    public static void Factorize(Emission emission, LayerPlan.Factorize plan, Decomposition decomposition)
    {
        var layer = plan.Layer;
        var stages = Stages(emission, plan, decomposition);
        var biases = layer.Uses.Select((use, i) => emission.Bias(decomposition, plan.Rank, i, isFree: true)).ToList();
        bool isInt8 = plan.Format == WeightFormat.Int8;
        if (isInt8)
        {
            foreach (var use in layer.Uses)
            {
                emission.Grids.Request(use.Input);
            }
        }
        Weight[] weights = [.. stages.Select((stage, i) => AddWeight(emission, layer, stage, isInt8,
            !isInt8 || i < stages.Count - 1 ? [] : [.. layer.Uses.Select((use, u) => (biases[u], i == 0 ? emission.Grids.Of(use.Input) : stages[i - 1].After!.Value))]))];
        var shared = weights.SelectMany(weight => weight.Nodes).ToList();
        for (int u = 0; u < layer.Uses.Count; u++)
        {
            var use = layer.Uses[u];
            string name = LayerFinder.Name(use.Node);
            var nodes = new List<NodeProto>();
            TakeOver(nodes, ref shared);
            string value = use.Input;
            for (int i = 0; i < stages.Count; i++)
            {
                bool isLast = i == stages.Count - 1;
                var stage = stages[i];
                string bias = !isLast ? "" : isInt8
                    ? AddBias(emission, name, biases[u], i == 0 ? emission.Grids.Of(use.Input) : stages[i - 1].After!.Value, weights[i].Rows, nodes)
                    : emission.AddBias(name, biases[u]);
                string output = isLast ? use.Output : stage.IsPointwise ? emission.Graph.FreshName($"{name}_in{stage.Dims[0]}") : emission.NameInner(use, plan.Rank);
                var node = Conv(emission, stage.IsPointwise ? layer : null, use, $"{name}_{stage.Suffix}", value, weights[i].Name, bias, output);
                nodes.Add(i == 0 && isInt8 ? emission.Grids.ReadsQuantized(node) : node);
                value = output;
                if (!isLast && isInt8)
                {
                    value = emission.Graph.FreshName($"{output}_real");
                    nodes.AddRange(emission.Grids.Pair($"{name}_{stage.Suffix}", output, stage.After!.Value, value));
                }
            }
            emission.Replace(use, nodes);
            if (isInt8)
            {
                emission.Grids.Request(use.Activation);
            }
        }
    }

    /// <summary>One of the convolutions that take a layer's place.</summary>
    /// <param name="IsPointwise">Whether it is 1×1; otherwise it has the layer's kernel, strides, pads, dilations and groups.</param>
    /// <param name="After">Grid of what leaves it in 8 bits; null behind the last one and in floats.</param>
    sealed record Stage(string Suffix, float[] Weight, long[] Dims, bool IsPointwise, UInt8Grid? After);

    static List<Stage> Stages(Emission emission, LayerPlan.Factorize plan, Decomposition decomposition)
    {
        var layer = plan.Layer;
        bool isInt8 = plan.Format == WeightFormat.Int8;
        int inner = layer.Groups * plan.Rank;
        long[] ones = [.. layer.Kernel.Select(_ => 1L)];
        double[] scales = plan.HasUp ? decomposition.Scales(plan.Rank, isInt8) : [];
        UInt8Grid? grid = plan.HasUp && isInt8 ? emission.Ranges.Inner[layer].Grid(layer.Groups, plan.Rank, scales) : null;
        var stages = new List<Stage>();
        if (plan.InputRank is { } inputRank)
        {
            var (entry, entryScales) = decomposition.Tucker!.CutEntry(inputRank, isInt8);
            stages.Add(new("in", entry, [inputRank, layer.Weight.Dims[1], .. ones], true, isInt8 ? emission.Ranges.Entry[layer].Grid(1, inputRank, entryScales) : null));
            stages.Add(new("kernel", decomposition.Tucker.CutKernel(entryScales, plan.HasUp ? scales : null), [inner, inputRank, .. layer.Kernel], false, grid));
        }
        else
        {
            stages.Add(new("down", decomposition.CutDown(plan.Rank, scales), [inner, .. layer.Weight.Dims[1..]], false, grid));
        }
        if (plan.HasUp)
        {
            stages.Add(new("up", emission.Up(decomposition, plan.Rank, scales), [layer.Out, plan.Rank, .. ones], true, null));
        }
        return stages;
    }

    /// <summary>A weight as nodes read it.</summary>
    /// <param name="Name">Of the float value.</param>
    /// <param name="Rows">In 8 bits; default in floats.</param>
    /// <param name="Nodes">What makes the float value of 8 bits.</param>
    readonly record struct Weight(string Name, Int8Rows Rows, List<NodeProto> Nodes);

    /// <param name="uses">Bias and input grid of every use, where there is a bias; the same steps must suit all.</param>
    static Weight AddWeight(Emission emission, Layer layer, Stage stage, bool isInt8, (double[]? Bias, UInt8Grid Input)[] uses)
    {
        string name = $"{layer.Name}_{stage.Suffix}";
        if (!isInt8)
        {
            return new(emission.Graph.AddConstant(TensorData.Floats(name, stage.Weight, stage.Dims)), default, []);
        }
        var rows = QuantizeRows(stage.Weight, (int)stage.Dims[0], uses);
        string real = AddWeight(emission, name, rows, stage.Dims, out var nodes);
        return new(real, rows, nodes);
    }

    /// <summary>Nodes that all uses of a layer share stand before the first one.</summary>
    static void TakeOver(List<NodeProto> nodes, ref List<NodeProto> shared)
    {
        nodes.AddRange(shared);
        shared = [];
    }

    /// <param name="pointwise">The layer, for a 1×1 convolution in as many groups; null for one with the attributes of the use's node.</param>
    static NodeProto Conv(Emission emission, Layer? pointwise, LayerUse use, string name, string input, string weight, string bias, string output)
    {
        var node = NodeAttributes.Create("Conv", emission.Graph.FreshName(name), bias.Length > 0 ? [input, weight, bias] : [input, weight], [output]);
        if (pointwise != null)
        {
            long[] ones = [.. pointwise.Kernel.Select(_ => 1L)];
            return node.With("kernel_shape", ones).With("group", pointwise.Groups);
        }
        node.Attribute.AddRange(use.Node.Attribute.Select(attribute => attribute.Clone()));
        return node;
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
