using OnnxLowRank.Onnx;
using OnnxLowRank.Onnx.Proto;
using OnnxLowRank.Quantization;

namespace OnnxLowRank.Rewriting;

/// <summary>
/// A weight that is stored in 4 bits and run in 8: what makes bytes of it depends on constants alone, so ONNX Runtime does it once,
/// when the model is loaded, and its 8-bit kernels see a plain weight.
/// <code>
/// Mod(P, 16) = Wq[..half]    BitShift(P, 4) = Wq[half..]    Concat(·, · [, last row])
/// </code>
/// </summary>
static class Unpacking
{
    /// <summary>BitShift is that old.</summary>
    public const int OldestOpset = 11;

    /// <summary>Adds the constants of a weight (out, in) with one scale per row, once for all nodes that use it.</summary>
    /// <param name="nodes">Gets the nodes that unpack it.</param>
    public static Int8Operand AddWeight(GraphEditor graph, string name, Int4Blocks weight, List<NodeProto> nodes)
    {
        string folded = graph.AddConstant(TensorData.Create<byte>(
            $"{name}_int4", TensorProto.Types.DataType.Uint8, weight.Folded(out byte[] last), weight.Cols / 2, weight.Rows));
        string scales = graph.AddConstant(TensorData.Floats($"{name}_scale", weight.Scales, weight.Rows));
        string low = graph.FreshName($"{name}_low"), high = graph.FreshName($"{name}_high"), values = graph.FreshName($"{name}_uint8");
        List<string> parts = [low, high];
        if (last.Length > 0)
        {
            parts.Add(graph.AddConstant(TensorData.Create<byte>($"{name}_last", TensorProto.Types.DataType.Uint8, last, 1, weight.Rows)));
        }
        nodes.Add(NodeAttributes.Create("Mod", low, [folded, Byte(graph, 16)], [low]));
        nodes.Add(NodeAttributes.Create("BitShift", high, [folded, Byte(graph, 4)], [high]).With("direction", "RIGHT"));
        nodes.Add(NodeAttributes.Create("Concat", values, [.. parts], [values]).With("axis", 0));
        return new(values, scales, Byte(graph, 8));
    }

    static string Byte(GraphEditor graph, byte value) =>
        graph.SharedConstant(TensorData.Create<byte>($"uint8_{value}", TensorProto.Types.DataType.Uint8, [value]));
}
