using OnnxLowRank.Onnx;
using OnnxLowRank.Onnx.Proto;
using OnnxLowRank.Quantization;

namespace OnnxLowRank.Rewriting;

/// <summary>
/// y = x·Wᵀ (+ b) with W in 4 bits and one scale per block, x quantized row by row when it arrives:
/// <code>
/// MatMulNBits(x, Wq, scales, , , b)
/// </code>
/// An operator of ONNX Runtime; the standard's own way, DequantizeLinear of an int4 weight, needs opset 21.
/// </summary>
static class Int4Product
{
    /// <summary>Multiply on 8-bit integers. Never left out: what it means then differs between versions, and it is slow.</summary>
    const int AccuracyLevel = 4;

    /// <summary>Adds the constants of a weight (out, in), once for all nodes that use it.</summary>
    public static Int4Operand AddWeight(GraphEditor graph, string name, NBitBlocks weight)
    {
        int blocks = weight.BlocksPerRow;
        return new(
            weight,
            graph.AddConstant(TensorData.Wrap($"{name}_int4", TensorProto.Types.DataType.Uint8, weight.Packed, weight.Rows, blocks, weight.Grid.Block / 2)),
            graph.AddConstant(TensorData.Floats($"{name}_scale", weight.Scales, weight.Rows, blocks)));
    }

    /// <param name="bias">Name of a constant with one number per output channel, or empty.</param>
    public static NodeProto Node(GraphEditor graph, string name, string input, Int4Operand operand, string bias, string output)
    {
        var (weight, values, scales) = operand;
        string[] inputs = bias.Length == 0 ? [input, values, scales] : [input, values, scales, "", "", bias];
        return NodeAttributes.Create("MatMulNBits", graph.FreshName(name), inputs, [output], GraphEditor.MicrosoftDomain)
            .With("K", weight.Cols).With("N", weight.Rows).With("bits", 4).With("block_size", weight.Grid.Block).With("accuracy_level", AccuracyLevel);
    }
}

/// <summary>Names of the constants of a 4-bit weight.</summary>
/// <param name="Values">(out, blocks, block/2) uint8.</param>
/// <param name="Scales">(out, blocks) float.</param>
readonly record struct Int4Operand(NBitBlocks Weight, string Values, string Scales);
