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
/// spatial:    Conv k×1 (C_in → r) → Conv 1×k (r → C_out) + b
/// </code>
/// Strides, pads, dilations and groups stay on the k×k Conv, or on that of their axis; the pads are zero before and after combining channels. In 8 bits all are
/// surrounded by QuantizeLinear/DequantizeLinear with ranges from calibration, which ONNX Runtime fuses to QLinearConv; or weights alone
/// are in few bits, see <see cref="WeightOnly"/>.
/// </summary>
static class ConvEmitter
{
    /// <summary>What puts a quantized weight into the graph, given the smallest step per row.</summary>
    delegate Weight AddRows(string name, long[] dims, float[] smallestSteps);

    /// <summary>A quantized weight in the graph.</summary>
    /// <param name="Value">Name of the float value that the nodes make of it.</param>
    /// <param name="Scales">One per row.</param>
    sealed record Weight(string Value, float[] Scales, List<NodeProto> Nodes);

    /// <param name="rounded">The dense weight where it is stored in few bits.</param>
    public static void Quantize(Emission emission, LayerPlan.Quantize plan, NBitDense? rounded)
    {
        var layer = plan.Layer;
        double[]?[] biases = Emission.Biases(layer, rounded);
        if (!plan.RunsOnIntegers)
        {
            string value = AddStored(emission, plan, layer.Name, rounded == null ? layer.ReadFloats() : [], rounded?.Weight, layer.Weight.Dims);
            for (int i = 0; i < layer.Uses.Count; i++)
            {
                var use = layer.Uses[i];
                string name = LayerFinder.Name(use.Node);
                emission.ReplaceIn(plan.Reals.Run, layer, use, [Conv(emission, layer, use, name, use.Input, value, emission.AddRealBias(plan, name, biases[i]), use.Output)]);
            }
            return;
        }
        Quantize(emission, layer, rounded == null ? InInt8(emission, layer.ReadFloats(), layer.Out) : InFewBits(emission, rounded.Weight), biases);
    }

    static void Quantize(Emission emission, Layer layer, AddRows add, double[]?[] biases)
    {
        var inputs = layer.Uses.Select(use => emission.Grids.Request(use.Input, layer.Type)).ToList();
        var (dequantized, rows, shared) = add(layer.Name, layer.Weight.Dims, SmallestSteps(layer.Out, [.. biases.Zip(inputs)]));
        for (int i = 0; i < layer.Uses.Count; i++)
        {
            var use = layer.Uses[i];
            string name = LayerFinder.Name(use.Node);
            var nodes = new List<NodeProto>();
            TakeOver(nodes, ref shared);
            string bias = AddBias(emission, name, biases[i], inputs[i], rows, nodes);
            nodes.Add(emission.Grids.ReadsQuantized(Conv(emission, layer, use, name, use.Input, dequantized, bias, use.Output)));
            emission.ReplaceInSingle(layer, use, nodes, castsInput: false);
            emission.Grids.Request(use.Activation, layer.Type);
        }
    }

    /// <param name="pair">The factors of a plan in few bits.</param>
    public static void Factorize(Emission emission, LayerPlan.Factorize plan, Decomposition decomposition, NBitPair? pair = null)
    {
        var layer = plan.Layer;
        var stages = Stages(emission, plan, decomposition, pair);
        var biases = layer.Uses.Select((use, i) => Emission.Gained(use, pair?.Gains[i])
            ?? CorrectedBias.Of(decomposition, plan.OutputRank, i, isFree: true, LostMean(plan, decomposition, i))).ToList();
        bool isQuantized = plan.RunsOnIntegers;
        if (isQuantized)
        {
            foreach (var use in layer.Uses)
            {
                emission.Grids.Request(use.Input, layer.Type);
            }
        }
        Weight[] weights = [.. stages.Select((stage, i) => AddWeight(emission, plan, stage,
            !isQuantized || i < stages.Count - 1 ? [] : [.. layer.Uses.Select((use, u) => (biases[u], i == 0 ? emission.Grids.Of(use.Input) : stages[i - 1].After!.Value))]))];
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
                string bias = !isLast ? "" : isQuantized
                    ? AddBias(emission, name, biases[u], i == 0 ? emission.Grids.Of(use.Input) : stages[i - 1].After!.Value, weights[i].Scales, nodes)
                    : emission.AddRealBias(plan, name, biases[u]);
                string output = isLast ? use.Output : stage.IsPointwise || stage.Axis != null ? emission.Graph.FreshName($"{name}_{stage.Suffix}{stage.Dims[0]}") : emission.NameInner(use, plan.Rank);
                var node = Conv(emission, layer, use, $"{name}_{stage.Suffix}", value, weights[i].Value, bias, output, stage);
                nodes.Add(i == 0 && isQuantized ? emission.Grids.ReadsQuantized(node) : node);
                value = output;
                if (!isLast && isQuantized)
                {
                    value = emission.Graph.FreshName($"{output}_real");
                    nodes.AddRange(emission.Grids.Pair($"{name}_{stage.Suffix}", output, stage.After!.Value, value));
                }
            }
            if (!isQuantized)
            {
                emission.ReplaceIn(plan.Reals.Run, layer, use, nodes);
                continue;
            }
            emission.ReplaceInSingle(layer, use, nodes, castsInput: false);
            emission.Grids.Request(use.Activation, layer.Type);
        }
    }

    /// <summary>What the mean of a use's output loses in the convolutions before Up, (out); null where nothing is known.</summary>
    static double[]? LostMean(LayerPlan.Factorize plan, Decomposition decomposition, int use) =>
        plan.IsSpatial ? decomposition.Spatial!.LostMean(plan.Rank, use)
        : plan.InputRank is { } inputRank ? decomposition.Tucker!.LostMean(inputRank, use)
        : null;

    /// <summary>One of the convolutions that take a layer's place.</summary>
    /// <param name="IsPointwise">Whether it is 1×1; otherwise it has the layer's kernel, strides, pads, dilations and groups.</param>
    /// <param name="Axis">The only one of the kernel's that it goes along, or null for both.</param>
    /// <param name="After">Grid of what leaves it in 8 bits; null behind the last one and in floats.</param>
    /// <param name="InFewBits">The weight where it is stored in few bits.</param>
    sealed record Stage(string Suffix, float[] Weight, long[] Dims, bool IsPointwise, UInt8Grid? After, NBitBlocks? InFewBits = null, int? Axis = null);

    static List<Stage> Stages(Emission emission, LayerPlan.Factorize plan, Decomposition decomposition, NBitPair? pair)
    {
        var layer = plan.Layer;
        bool isQuantized = plan.RunsOnIntegers, isBalanced = Emission.WantsBalance(plan);
        int inner = layer.Groups * plan.Rank;
        long[] ones = [.. layer.Kernel.Select(_ => 1L)];
        double[] scales = plan.HasUp ? decomposition.Scales(plan.Rank, isBalanced) : [];
        UInt8Grid? grid = plan.HasUp && isQuantized ? emission.Ranges.Inside.Outputs[layer].Grid(layer.Groups, plan.Rank, scales) : null;
        var stages = new List<Stage>();
        if (plan.IsSpatial)
        {
            var (columns, columnScales) = decomposition.Spatial!.CutColumns(plan.Rank, isBalanced);
            grid = isQuantized ? emission.Ranges.Inside.Columns[layer].Grid(1, plan.Rank, columnScales) : null;
            return
            [
                new("column", pair == null ? columns : [], [plan.Rank, layer.Weight.Dims[1], .. KernelAxis.Shape(layer, 0)], false, grid, pair?.Down, Axis: 0),
                new("row", pair == null ? decomposition.Spatial.CutRows(columnScales) : [], [layer.Out, plan.Rank, .. KernelAxis.Shape(layer, 1)], false, null, pair?.Up, Axis: 1),
            ];
        }
        if (plan.InputRank is { } inputRank)
        {
            var (entry, entryScales) = decomposition.Tucker!.CutEntry(inputRank, isBalanced);
            stages.Add(new("in", pair == null ? entry : [], [inputRank, layer.Weight.Dims[1], .. ones], true, isQuantized ? emission.Ranges.Inside.Inputs[layer].Grid(1, inputRank, entryScales) : null, pair?.Down));
            stages.Add(new("kernel", pair == null ? decomposition.Tucker.CutKernel(entryScales, plan.HasUp ? scales : null) : [], [inner, inputRank, .. layer.Kernel], false, grid, pair?.Up));
        }
        else
        {
            stages.Add(new("down", pair == null ? decomposition.CutDown(plan.Rank, scales) : [], [inner, .. layer.Weight.Dims[1..]], false, grid, pair?.Down));
        }
        if (plan.HasUp)
        {
            stages.Add(new("up", pair == null ? decomposition.CutUp(plan.Rank, scales) : [], [layer.Out, plan.Rank, .. ones], true, null, pair?.Up));
        }
        return stages;
    }

    /// <param name="uses">Bias and input grid of every use, where there is a bias; the same steps must suit all.</param>
    static Weight AddWeight(Emission emission, LayerPlan.Factorize plan, Stage stage, (double[]? Bias, UInt8Grid Input)[] uses)
    {
        string name = $"{plan.Layer.Name}_{stage.Suffix}";
        int rows = (int)stage.Dims[0];
        if (!plan.RunsOnIntegers)
        {
            return new(AddStored(emission, plan, name, stage.Weight, stage.InFewBits, stage.Dims), [], []);
        }
        var add = stage.InFewBits is { } packed ? InFewBits(emission, packed) : InInt8(emission, stage.Weight, rows);
        return add(name, stage.Dims, SmallestSteps(rows, uses));
    }

    /// <summary>Adds a weight, given in floats or in few bits, as convolutions of floats read it; returns the name of its float value.</summary>
    static string AddStored(Emission emission, LayerPlan plan, string name, float[] weight, NBitBlocks? rounded, long[] dims) =>
        rounded != null ? WeightOnly.Add(emission.Graph, name, rounded, plan.Layer.Type, dims)
        : !plan.StoresReals ? WeightOnly.Add(emission.Graph, name, Int8.PerRow(weight, (int)dims[0]), plan.Layer.Type, dims)
        : emission.AddReals(plan.Reals, name, weight, dims);

    /// <summary>Nodes that all uses of a layer share stand before the first one.</summary>
    static void TakeOver(List<NodeProto> nodes, ref List<NodeProto> shared)
    {
        nodes.AddRange(shared);
        shared = [];
    }

    /// <param name="stage">What part of the layer it does; null for all of it.</param>
    static NodeProto Conv(Emission emission, Layer layer, LayerUse use, string name, string input, string weight, string bias, string output, Stage? stage = null)
    {
        var node = NodeAttributes.Create("Conv", emission.Graph.FreshName(name), bias.Length > 0 ? [input, weight, bias] : [input, weight], [output]);
        if (stage is { IsPointwise: true })
        {
            return node.With("kernel_shape", [.. layer.Kernel.Select(_ => 1L)]).With("group", layer.Groups);
        }
        if (stage?.Axis is { } axis)
        {
            return node.Along(layer, use, axis);
        }
        node.Attribute.AddRange(use.Node.Attribute.Select(attribute => attribute.Clone()));
        return node;
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
        var quantized = Int8.PerRow(matrix, rows, smallest, emission.WeightBits);
        string values = emission.Graph.AddConstant(TensorData.Create<sbyte>($"{name}_int8", TensorProto.Types.DataType.Int8, quantized.Values, dims));
        return Dequantized(emission, name, values, quantized.Scales, []);
    };

    static AddRows InFewBits(Emission emission, NBitBlocks rounded) => (name, dims, smallest) =>
    {
        float factor = Unpacking.Factor(rounded.Grid.Bits, emission.WeightBits);
        var rows = rounded.WithStepsOfAtLeast(Array.ConvertAll(smallest, step => factor * Math.Max(step, float.Epsilon * 127)));
        var nodes = new List<NodeProto>();
        string values = Unpacking.Add(emission.Graph, name, rows, transposed: false, dims, emission.WeightBits, nodes);
        return Dequantized(emission, name, values, Unpacking.Scales(rows, emission.WeightBits), nodes);
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
