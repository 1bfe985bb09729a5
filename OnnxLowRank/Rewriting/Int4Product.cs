using OnnxLowRank.Onnx;
using OnnxLowRank.Onnx.Proto;
using OnnxLowRank.Quantization;

namespace OnnxLowRank.Rewriting;

/// <summary>
/// y = x·Wᵀ (+ b) with W in 4 bits, x quantized row by row when it arrives:
/// <code>
/// ort:  MatMulNBits(x, Wq, scales, , , b)
/// onnx: DequantizeLinear(Wqᵀ, scales) → MatMul(x, ·) → Add(b)
/// </code>
/// ONNX Runtime fuses the second form into the first.
/// </summary>
static class Int4Product
{
    /// <summary>4-bit types and scales per block are that old.</summary>
    public const int OldestOnnxOpset = 21;

    /// <summary>Multiply on 8-bit integers. Never left out: what it means then differs between versions, and is up to 40 times slower.</summary>
    const int AccuracyLevel = 4;

    /// <summary>Adds the constants of a weight (out, in), once for all nodes that use it.</summary>
    public static Int4Operand AddWeight(GraphEditor graph, Dialect dialect, string name, Int4Blocks weight)
    {
        int blocks = weight.BlocksPerRow;
        if (dialect == Dialect.Ort)
        {
            return new(
                weight,
                graph.AddConstant(TensorData.Create<byte>($"{name}_int4", TensorProto.Types.DataType.Uint8, weight.Packed(), weight.Rows, blocks, weight.Block / 2)),
                graph.AddConstant(TensorData.Floats($"{name}_scale", weight.Scales, weight.Rows, blocks)));
        }
        return new(
            weight,
            graph.AddConstant(TensorData.Create<byte>($"{name}_int4", TensorProto.Types.DataType.Int4, weight.PackedTransposed(), weight.Cols, weight.Rows)),
            graph.AddConstant(TensorData.Floats($"{name}_scale", weight.TransposedScales(), blocks, weight.Rows)));
    }

    /// <param name="bias">Name of a constant with one number per output channel, or empty.</param>
    public static IEnumerable<NodeProto> Nodes(
        GraphEditor graph, Dialect dialect, string name, string input, Int4Operand operand, string bias, string output)
    {
        var (weight, values, scales) = operand;
        if (dialect == Dialect.Ort)
        {
            string[] inputs = bias.Length == 0 ? [input, values, scales] : [input, values, scales, "", "", bias];
            yield return NodeAttributes.Create("MatMulNBits", graph.FreshName(name), inputs, [output], GraphEditor.MicrosoftDomain)
                .With("K", weight.Cols).With("N", weight.Rows).With("bits", 4).With("block_size", weight.Block).With("accuracy_level", AccuracyLevel);
            yield break;
        }

        string New(string suffix) => graph.FreshName($"{name}_{suffix}");
        string real = New("weight"), product = bias.Length == 0 ? output : New("product");
        yield return NodeAttributes.Create("DequantizeLinear", New("dequantize"), [values, scales], [real]).With("axis", 0).With("block_size", weight.Block);
        yield return NodeAttributes.Create("MatMul", New("matmul"), [input, real], [product]);
        if (bias.Length > 0)
        {
            yield return NodeAttributes.Create("Add", New("add"), [product, bias], [output]);
        }
    }
}

/// <summary>Names of the constants of a 4-bit weight, as the dialect wants them.</summary>
readonly record struct Int4Operand(Int4Blocks Weight, string Values, string Scales);
