using OnnxLowRank.Onnx;
using OnnxLowRank.Onnx.Proto;

namespace OnnxLowRank.Rewriting;

/// <summary>
/// A weight that is stored in 4 bits and run in 8: what makes bytes of it depends on constants alone, so ONNX Runtime does it once,
/// when the model is loaded, and its 8-bit kernels see a plain weight.
/// <code>
/// Mod(P, 16) = W[..half]    BitShift(P, 4) = W[half..]    Concat(·, · [, last])
/// </code>
/// </summary>
static class Unpacking
{
    /// <summary>BitShift is that old.</summary>
    public const int OldestOpset = 11;

    /// <summary>What stands for zero in the unpacked weight.</summary>
    public const byte Zero = 8;

    /// <summary>Adds a constant in 4 bits; returns the name of the uint8 value that the nodes make of it.</summary>
    /// <param name="values">Numbers 0…15, row-major.</param>
    /// <param name="nodes">Gets the nodes that unpack them.</param>
    public static string Add(GraphEditor graph, string name, ReadOnlySpan<byte> values, ReadOnlySpan<long> dims, List<NodeProto> nodes)
    {
        int half = (int)(dims[0] / 2), size = values.Length / (int)dims[0], split = half * size;
        var packed = new byte[split];
        for (int i = 0; i < packed.Length; i++)
        {
            packed[i] = (byte)(values[i] | (values[split + i] << 4));
        }
        string constant = graph.AddConstant(TensorData.Create<byte>($"{name}_int4", TensorProto.Types.DataType.Uint8, packed, [half, .. dims[1..]]));
        string low = graph.FreshName($"{name}_low"), high = graph.FreshName($"{name}_high"), all = graph.FreshName($"{name}_uint8");
        List<string> parts = [low, high];
        if (dims[0] % 2 == 1)
        {
            parts.Add(graph.AddConstant(TensorData.Create($"{name}_last", TensorProto.Types.DataType.Uint8, values[(2 * split)..], [1, .. dims[1..]])));
        }
        nodes.Add(NodeAttributes.Create("Mod", low, [constant, Byte(graph, 16)], [low]));
        nodes.Add(NodeAttributes.Create("BitShift", high, [constant, Byte(graph, 4)], [high]).With("direction", "RIGHT"));
        nodes.Add(NodeAttributes.Create("Concat", all, [.. parts], [all]).With("axis", 0));
        return all;
    }

    /// <summary>The name of <see cref="Zero"/> as a constant.</summary>
    public static string AddZero(GraphEditor graph) => Byte(graph, Zero);

    static string Byte(GraphEditor graph, byte value) =>
        graph.SharedConstant(TensorData.Create<byte>($"uint8_{value}", TensorProto.Types.DataType.Uint8, [value]));
}
