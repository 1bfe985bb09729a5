using OnnxLowRank.Onnx;
using OnnxLowRank.Onnx.Proto;
using OnnxLowRank.Quantization;

namespace OnnxLowRank.Rewriting;

/// <summary>
/// A weight that is stored in few bits and run in 8: what makes bytes of it depends on constants alone, so ONNX Runtime does it once,
/// when the model is loaded, and its 8-bit kernels see a plain weight. They are much slower with unsigned ones, so values
/// end in the upper bits of a signed byte, 16 times as large if they have 4 bits. W holds words of several values, see <see cref="NBitPacking"/>:
/// <code>
/// W &lt;&lt; (every field to the top, one row each) → &gt;&gt; (to the bottom) → [Cast(uint8)] → &lt;&lt; (to the top of a byte)
///   → [Reshape(-1) → Slice(what fills no word)] → Reshape → Cast(int8)
/// </code>
/// Where that is too large, the result is halved, which no operator does to 8 bits: → Cast(int32) → Div(2) → Cast(int8).
/// </summary>
static class Unpacking
{
    /// <summary>BitShift is that old.</summary>
    public const int OldestOpset = 11;

    /// <summary>What the unpacked values are multiplied by: of 4 bits they become −128…112 or −64…56.</summary>
    /// <param name="stored">Bits that are stored.</param>
    /// <param name="bits">Of what they become: 8 or 7.</param>
    public static float Factor(int stored, int bits) => 1 << (bits - stored);

    /// <summary>Steps of the unpacked values, which stand for the same numbers.</summary>
    public static float[] Scales(NBitBlocks weight, int bits) => Array.ConvertAll(weight.Scales, scale => scale / Factor(weight.Grid.Bits, bits));

    /// <summary>The name of a constant to shift bytes by.</summary>
    public static string Shift(GraphEditor graph, int places) =>
        graph.SharedConstant(TensorData.Create<byte>($"uint8_{places}", TensorProto.Types.DataType.Uint8, [(byte)places]));

    /// <summary>Adds a constant in few bits; returns the name of the int8 value that the nodes make of it.</summary>
    /// <param name="weight">One block per row.</param>
    /// <param name="transposed">Whether rows become the last axis.</param>
    /// <param name="dims">Of the value.</param>
    /// <param name="bits">Of what they become: 8 or 7.</param>
    /// <param name="nodes">Gets the nodes that unpack them.</param>
    public static string Add(GraphEditor graph, string name, NBitBlocks weight, bool transposed, ReadOnlySpan<long> dims, int bits, List<NodeProto> nodes)
    {
        int stored = weight.Grid.Bits, fields = NBitPacking.PerWord(stored);
        sbyte[] values = weight.Plain(transposed);
        long words = NBitPacking.Words(values.Length, stored);
        bool areBytes = NBitPacking.WordBits(stored) == 8;
        var type = areBytes ? TensorProto.Types.DataType.Uint8 : TensorProto.Types.DataType.Uint64;
        string value = graph.AddConstant(TensorData.Wrap($"{name}_int{stored}", type, NBitPacking.Pack(values, stored), 1, words));
        long[] wanted = dims.ToArray();

        void Node(string suffix, string opType, string[] others, Action<NodeProto>? configure = null) =>
            value = graph.Add(nodes, $"{name}_{suffix}", opType, [value, .. others], configure);
        void ShiftBy(string suffix, string places, string direction) => Node(suffix, "BitShift", [places], node => node.With("direction", direction));
        void Cast(string suffix, TensorProto.Types.DataType to) => Node(suffix, "Cast", [], node => node.With("to", (long)to));
        string Shape(params long[] shape) => graph.SharedConstant(TensorData.Create<long>($"int64_{string.Join('_', shape)}", TensorProto.Types.DataType.Int64, shape, shape.Length));

        ShiftBy("fields", Fields(graph, stored, areBytes), "LEFT");
        int below = NBitPacking.WordBits(stored) - stored;
        ShiftBy("low", areBytes ? Shift(graph, below) : graph.SharedConstant(TensorData.Create<ulong>($"uint64_{below}", type, [(ulong)below])), "RIGHT");
        if (!areBytes)
        {
            Cast("uint8", TensorProto.Types.DataType.Uint8);
        }
        ShiftBy("high", Shift(graph, Int8.Bits - stored), "LEFT");
        if (words * fields > values.Length)
        {
            Node("flat", "Reshape", [Shape(-1)]);
            Node("values", "Slice", [Shape(0), Shape(values.Length)]);
        }
        Node("shaped", "Reshape", [Shape(wanted)]);
        Cast("int8", TensorProto.Types.DataType.Int8);
        if (bits < Int8.Bits)
        {
            Cast("int32", TensorProto.Types.DataType.Int32);
            Node("half", "Div", [graph.SharedConstant(TensorData.Create<int>("int32_2", TensorProto.Types.DataType.Int32, [2]))]);
            Cast("int7", TensorProto.Types.DataType.Int8);
        }
        return value;
    }

    /// <summary>How far each field of a word is from its top, in a column.</summary>
    static string Fields(GraphEditor graph, int stored, bool areBytes)
    {
        int fields = NBitPacking.PerWord(stored);
        int[] places = [.. Enumerable.Range(1, fields).Select(field => NBitPacking.WordBits(stored) - field * stored)];
        return graph.SharedConstant(areBytes
            ? TensorData.Create<byte>($"uint8_fields_{stored}", TensorProto.Types.DataType.Uint8, Array.ConvertAll(places, place => (byte)place), fields, 1)
            : TensorData.Create<ulong>($"uint64_fields_{stored}", TensorProto.Types.DataType.Uint64, Array.ConvertAll(places, place => (ulong)place), fields, 1));
    }
}
