using OnnxLowRank.Factorization;
using OnnxLowRank.Onnx;
using OnnxLowRank.Onnx.Proto;
using OnnxLowRank.Quantization;

namespace OnnxLowRank.Rewriting;

/// <summary>Which operators are emitted.</summary>
public enum Dialect
{
    /// <summary>ONNX Runtime's own operators where they are faster or work at more opsets.</summary>
    Ort,

    /// <summary>Standard operators only, for other runtimes.</summary>
    Onnx,
}

/// <summary>
/// y = x·Wᵀ (+ b) with W in 8 bits and x quantized when it arrives, one scale per run:
/// <code>
/// ort:  DynamicQuantizeMatMul(x, Wq, scale, , b)
/// onnx: DynamicQuantizeLinear(x) → MatMulInteger(·, Wq) → Cast → Mul(x_scale·w_scale) → Add(b)
/// </code>
/// ONNX Runtime fuses the second form into the first.
/// </summary>
static class Int8Product
{
    /// <summary>DynamicQuantizeLinear is that old.</summary>
    public const int OldestOnnxOpset = 11;

    /// <summary>Adds the constants of a weight (out, in), once for all nodes that use it.</summary>
    public static Int8Operand AddWeight(GraphEditor graph, string name, Int8Rows weight)
    {
        int rows = weight.Scales.Length, cols = weight.Values.Length / rows;
        return new(
            graph.AddConstant(TensorData.Create<sbyte>($"{name}_int8", TensorProto.Types.DataType.Int8, weight.TransposedValues(), cols, rows)),
            graph.AddConstant(TensorData.Floats($"{name}_scale", weight.Scales, rows)));
    }

    /// <summary>Adds the constants of a weight (out, in) that is stored in few bits with one scale per row.</summary>
    /// <param name="bits">Of what it is unpacked to: 8 or 7.</param>
    /// <param name="nodes">Gets the nodes that unpack it.</param>
    public static Int8Operand AddWeight(GraphEditor graph, string name, NBitBlocks weight, int bits, List<NodeProto> nodes) => new(
        Unpacking.Add(graph, name, weight, transposed: true, [weight.Cols, weight.Rows], bits, nodes),
        graph.AddConstant(TensorData.Floats($"{name}_scale", Unpacking.Scales(weight, bits), weight.Rows)));

    /// <summary>
    /// Adds the constants of a weight (out, in) that is stored in few bits with a correction, and what makes 8 bits of their sum, in units
    /// of its steps: <see cref="WeightOnly"/> → Round → Cast(int8). ONNX Runtime does it once, when the model is loaded.
    /// </summary>
    /// <param name="bits">Of the sum: 8 or 7.</param>
    public static Int8Operand AddWeight(GraphEditor graph, string name, NBitBlocks weight, Correction correction, int bits)
    {
        float[] steps = Array.ConvertAll(correction.Largest, largest => largest > 127 * float.Epsilon ? largest / Int8.Largest(bits) : 1);
        float[] InSteps(float[] scales) => [.. scales.Zip(steps, (scale, step) => scale / step)];
        string value = WeightOnly.Add(
            graph, name, weight with { Scales = InSteps(weight.Scales) }, TensorProto.Types.DataType.Float, [weight.Cols, weight.Rows], transposed: true,
            correction with { Up = correction.Up with { Scales = InSteps(correction.Up.Scales) } });
        var nodes = new List<NodeProto>();
        string whole = graph.Add(nodes, $"{name}_whole", "Round", [value]);
        string integers = graph.Add(nodes, $"{name}_int8", "Cast", [whole], node => node.With("to", (long)TensorProto.Types.DataType.Int8));
        graph.Graph.Node.AddRange(nodes);
        return new(integers, graph.AddConstant(TensorData.Floats($"{name}_step", steps, steps.Length)));
    }

    /// <param name="bias">Name of a constant with one number per output channel, or empty.</param>
    public static IEnumerable<NodeProto> Nodes(
        GraphEditor graph, Dialect dialect, string name, string input, Int8Operand weight, string bias, string output)
    {
        (string values, string scales) = weight;
        if (dialect == Dialect.Ort)
        {
            string[] inputs = bias.Length == 0 ? [input, values, scales] : [input, values, scales, "", bias];
            yield return NodeAttributes.Create("DynamicQuantizeMatMul", graph.FreshName(name), inputs, [output], GraphEditor.MicrosoftDomain);
            yield break;
        }

        string New(string suffix) => graph.FreshName($"{name}_{suffix}");
        (string quantized, string inputScale, string zero) = (New("x"), New("x_scale"), New("x_zero"));
        (string sum, string real, string scale) = (New("sum"), New("real"), New("xw_scale"));
        string product = bias.Length == 0 ? output : New("product");
        yield return NodeAttributes.Create("DynamicQuantizeLinear", New("quantize"), [input], [quantized, inputScale, zero]);
        yield return NodeAttributes.Create("MatMulInteger", New("matmul"), [quantized, values, zero], [sum]);
        yield return NodeAttributes.Create("Cast", New("cast"), [sum], [real]).With("to", (long)TensorProto.Types.DataType.Float);
        yield return NodeAttributes.Create("Mul", New("scales"), [inputScale, scales], [scale]);
        yield return NodeAttributes.Create("Mul", New("rescale"), [real, scale], [product]);
        if (bias.Length > 0)
        {
            yield return NodeAttributes.Create("Add", New("add"), [product, bias], [output]); // the constant second, or nothing fuses
        }
    }
}

/// <summary>Names of the constants of an 8-bit weight.</summary>
/// <param name="Values">(in, out) int8.</param>
/// <param name="Scales">(out) float.</param>
readonly record struct Int8Operand(string Values, string Scales);
