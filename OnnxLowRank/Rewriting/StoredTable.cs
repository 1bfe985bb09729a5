using OnnxLowRank.Layers;
using OnnxLowRank.Onnx;
using OnnxLowRank.Onnx.Proto;
using OnnxLowRank.Quantization;

namespace OnnxLowRank.Rewriting;

/// <summary>The constants of a table, and the nodes that make floats of some of its rows or of all.</summary>
sealed class StoredTable
{
    /// <summary>Stands for floats, of whatever width.</summary>
    const int Floats = 32;

    readonly GraphEditor _graph;
    readonly int _bits;
    readonly string _scales;

    StoredTable(GraphEditor graph, int bits, string values, string scales) => (_graph, _bits, Values, _scales) = (graph, bits, values, scales);

    /// <summary>Name of the constant that holds the rows.</summary>
    public string Values { get; }

    /// <param name="axes">The table's axes but the last.</param>
    public static StoredTable InFloats(Emission emission, Reals type, string name, ReadOnlySpan<float> values, long[] axes) =>
        new(emission.Graph, Floats, emission.AddReals(type, name, values, [.. axes, values.Length / Rows(axes)]), "");

    public static StoredTable InInt8(GraphEditor graph, string name, Int8Rows table, long[] axes) => new(
        graph, 8, graph.AddConstant(TensorData.Create<sbyte>($"{name}_int8", TensorProto.Types.DataType.Int8, table.Values, [.. axes, table.Values.Length / Rows(axes)])),
        AddScales(graph, name, table.Scales, axes));

    /// <summary>
    /// The left half of a row is in the low halves of its bytes, the right one in the high ones; as numbers they are 16 times as
    /// large, see <see cref="Unpacking"/>.
    /// </summary>
    public static StoredTable InInt4(GraphEditor graph, string name, NBitBlocks table, long[] axes)
    {
        int half = table.Cols / 2;
        var packed = new byte[table.Rows * half];
        sbyte[] plain = table.Plain(transposed: false);
        for (int i = 0; i < packed.Length; i++)
        {
            int left = i / half * table.Cols + i % half;
            packed[i] = (byte)((plain[left] & 15) | (plain[left + half] << 4));
        }
        return new(
            graph, 4, graph.AddConstant(TensorData.Create<byte>($"{name}_int4", TensorProto.Types.DataType.Uint8, packed, [.. axes, half])),
            AddScales(graph, name, Unpacking.Scales(table, Int8.Bits), axes));
    }

    /// <summary>Rows of a table of these axes and one more.</summary>
    public static long Rows(long[] axes) => axes.Aggregate(1L, (product, dim) => product * dim);

    /// <summary>A scale per row, in a column: whatever rows are taken of both, they stand beside each other.</summary>
    static string AddScales(GraphEditor graph, string name, float[] scales, long[] axes) =>
        graph.AddConstant(TensorData.Floats($"{name}_scale", scales, [.. axes, 1]));

    /// <summary>Nodes that define <paramref name="output"/> as the rows that ids point at.</summary>
    public IEnumerable<NodeProto> LookUp(string name, string ids, string output)
    {
        if (_bits == Floats)
        {
            return [NodeAttributes.Create("Gather", _graph.FreshName(name), [Values, ids], [output])];
        }
        var nodes = new List<NodeProto>();
        string rows = Add(nodes, name, "Gather", "row", [Values, ids]);
        return Real(nodes, name, rows, Add(nodes, name, "Gather", "row_scale", [_scales, ids]), output);
    }

    /// <summary>Nodes that define <paramref name="output"/> as the whole table.</summary>
    public IEnumerable<NodeProto> Expand(string name, string output) => _bits == Floats
        ? [NodeAttributes.Create("Identity", _graph.FreshName($"{name}_all"), [Values], [output])]
        : Real([], name, Values, _scales, output);

    List<NodeProto> Real(List<NodeProto> nodes, string name, string rows, string scales, string output)
    {
        if (_bits == 4)
        {
            string four = Unpacking.Shift(_graph, 4);
            string low = Add(nodes, name, "BitShift", "low", [rows, four], node => node.With("direction", "LEFT"));
            string top = Add(nodes, name, "BitShift", "top", [rows, four], node => node.With("direction", "RIGHT"));
            string high = Add(nodes, name, "BitShift", "high", [top, four], node => node.With("direction", "LEFT"));
            string bytes = Add(nodes, name, "Concat", "bytes", [low, high], node => node.With("axis", -1));
            rows = Add(nodes, name, "Cast", "int8", [bytes], node => node.With("to", (long)TensorProto.Types.DataType.Int8));
        }
        string real = Add(nodes, name, "Cast", "real", [rows], node => node.With("to", (long)TensorProto.Types.DataType.Float));
        nodes.Add(NodeAttributes.Create("Mul", _graph.FreshName($"{name}_rescale"), [real, scales], [output]));
        return nodes;
    }

    /// <summary>Adds a node; returns the name of its output.</summary>
    string Add(List<NodeProto> nodes, string name, string opType, string suffix, string[] inputs, Action<NodeProto>? configure = null) =>
        _graph.Add(nodes, $"{name}_{suffix}", opType, inputs, configure);
}
