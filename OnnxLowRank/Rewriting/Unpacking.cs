using OnnxLowRank.Onnx;
using OnnxLowRank.Onnx.Proto;
using OnnxLowRank.Quantization;

namespace OnnxLowRank.Rewriting;

/// <summary>
/// A weight that is stored in 4 bits and run in 8: what makes bytes of it depends on constants alone, so ONNX Runtime does it once,
/// when the model is loaded, and its 8-bit kernels see a plain weight. They are much slower with unsigned ones, so values
/// end in the upper half of a signed byte, 16 times as large:
/// <code>
/// P &lt;&lt; 4 = W[..half]    P &gt;&gt; 4 &lt;&lt; 4 = W[half..]    Concat(·, · [, last]) → Cast(int8)
/// </code>
/// Where that is too large, the result is halved, which no operator does to 8 bits: → Cast(int32) → Div(2) → Cast(int8).
/// </summary>
static class Unpacking
{
    /// <summary>BitShift is that old.</summary>
    public const int OldestOpset = 11;

    /// <summary>What the unpacked values are multiplied by: −128…112 or −64…56.</summary>
    /// <param name="bits">Of what they become: 8 or 7.</param>
    public static float Factor(int bits) => 1 << (bits - 4);

    /// <summary>Steps of the unpacked values, which stand for the same numbers.</summary>
    public static float[] Scales(NBitBlocks weight, int bits) => Array.ConvertAll(weight.Scales, scale => scale / Factor(bits));

    /// <summary>The name of the constant to shift by.</summary>
    public static string Four(GraphEditor graph) => graph.SharedConstant(TensorData.Create<byte>("uint8_4", TensorProto.Types.DataType.Uint8, [4]));

    /// <summary>Adds a constant in 4 bits; returns the name of the int8 value that the nodes make of it.</summary>
    /// <param name="values">Numbers −8…7, row-major.</param>
    /// <param name="bits">Of what they become: 8 or 7.</param>
    /// <param name="nodes">Gets the nodes that unpack them.</param>
    public static string Add(GraphEditor graph, string name, ReadOnlySpan<sbyte> values, ReadOnlySpan<long> dims, int bits, List<NodeProto> nodes)
    {
        int half = (int)(dims[0] / 2), split = half * (values.Length / (int)dims[0]);
        var packed = new byte[split];
        for (int i = 0; i < packed.Length; i++)
        {
            packed[i] = (byte)((values[i] & 15) | (values[split + i] << 4));
        }
        string constant = graph.AddConstant(TensorData.Create<byte>($"{name}_int4", TensorProto.Types.DataType.Uint8, packed, [half, .. dims[1..]]));
        string four = Four(graph);
        string Node(string suffix, string opType, string[] inputs, Action<NodeProto>? configure = null) => graph.Add(nodes, $"{name}_{suffix}", opType, inputs, configure);

        string low = Node("low", "BitShift", [constant, four], node => node.With("direction", "LEFT"));
        string top = Node("top", "BitShift", [constant, four], node => node.With("direction", "RIGHT"));
        string high = Node("high", "BitShift", [top, four], node => node.With("direction", "LEFT"));
        List<string> parts = [low, high];
        if (dims[0] % 2 == 1)
        {
            byte[] last = Array.ConvertAll(values[(2 * split)..].ToArray(), value => (byte)(value << 4));
            parts.Add(graph.AddConstant(TensorData.Create<byte>($"{name}_last", TensorProto.Types.DataType.Uint8, last, [1, .. dims[1..]])));
        }
        string bytes = Node("bytes", "Concat", [.. parts], node => node.With("axis", 0));
        string Cast(string suffix, string input, TensorProto.Types.DataType type) => Node(suffix, "Cast", [input], node => node.With("to", (long)type));
        string large = Cast("int8", bytes, TensorProto.Types.DataType.Int8);
        if (bits == Int8.Bits)
        {
            return large;
        }
        string two = graph.SharedConstant(TensorData.Create<int>("int32_2", TensorProto.Types.DataType.Int32, [2]));
        string halved = Node("half", "Div", [Cast("int32", large, TensorProto.Types.DataType.Int32), two]);
        return Cast("int7", halved, TensorProto.Types.DataType.Int8);
    }
}
