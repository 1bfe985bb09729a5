using OnnxLowRank.Onnx;
using OnnxLowRank.Onnx.Proto;
using OnnxLowRank.Quantization;
using static OnnxLowRank.Onnx.Proto.TensorProto.Types;

namespace OnnxLowRank.Rewriting;

/// <summary>
/// Values that travel as 8 bits between quantized convolutions: each gets one QuantizeLinear/DequantizeLinear pair behind its
/// producer, shared by everything that reads it, so that ONNX Runtime can run what lies between on integers.
/// </summary>
sealed class ActivationGrids(GraphEditor graph, IReadOnlyDictionary<string, UInt8Grid> measured)
{
    readonly GraphIndex _original = new(graph.Graph);
    readonly Dictionary<string, UInt8Grid> _grids = new(StringComparer.Ordinal);
    readonly Dictionary<string, DataType> _types = new(StringComparer.Ordinal);
    readonly HashSet<NodeProto> _readers = new(ReferenceEqualityComparer.Instance), _borders = new(ReferenceEqualityComparer.Instance);

    /// <summary>Per-axis scales came with this opset; before it, ONNX Runtime's own operators of the same names are used.</summary>
    public const int PerAxisOpset = 13;

    public string Domain => graph.Opset >= PerAxisOpset ? "" : GraphEditor.MicrosoftDomain;

    /// <summary>
    /// Asks for a value of the original graph to travel as 8 bits, and returns its grid: that of the value it was picked from, when
    /// that one travels as 8 bits too, so that the operator between them needs no floats.
    /// </summary>
    /// <param name="type">Of the value in the graph.</param>
    /// <remarks>Ask in graph order.</remarks>
    public UInt8Grid Request(string value, DataType type)
    {
        _types[value] = type;
        string source = value;
        while (_original.Producer(source) is { } producer && Picks(producer))
        {
            source = producer.Input[0];
            if (_grids.TryGetValue(source, out var grid))
            {
                return _grids[value] = grid;
            }
        }
        return _grids[value] = measured[value];
    }

    /// <summary>The grid of a value that was asked for.</summary>
    public UInt8Grid Of(string value) => _grids[value];

    /// <summary>Operators whose output elements are elements of their input.</summary>
    static bool Picks(NodeProto node) =>
        node.Is("MaxPool") || node.Is("Reshape") || node.Is("Flatten") || node.Is("Transpose") || node.Is("Identity")
        || node.Is("Squeeze") || node.Is("Unsqueeze");

    /// <summary>Marks a node as wanting its input in 8 bits even where other readers of that input get floats.</summary>
    public NodeProto ReadsQuantized(NodeProto node)
    {
        _readers.Add(node);
        return node;
    }

    /// <summary>Remembers a Cast from float32 to a value, before which 8 bits are made where they are asked for.</summary>
    public NodeProto Border(NodeProto cast)
    {
        _borders.Add(cast);
        return cast;
    }

    /// <summary>The pair for a value: reads <paramref name="from"/>, defines <paramref name="to"/>.</summary>
    public IEnumerable<NodeProto> Pair(string name, string from, UInt8Grid grid, string to)
    {
        string scale = graph.AddConstant(TensorData.Scalar($"{name}_grid_scale", grid.Scale));
        string zero = graph.AddConstant(TensorData.Create<byte>($"{name}_grid_zero", DataType.Uint8, [grid.ZeroPoint]));
        string quantized = graph.FreshName($"{name}_uint8");
        yield return NodeAttributes.Create("QuantizeLinear", graph.FreshName($"{name}_quantize"), [from, scale, zero], [quantized], Domain);
        yield return NodeAttributes.Create("DequantizeLinear", graph.FreshName($"{name}_dequantize"), [quantized, scale, zero], [to], Domain);
    }

    /// <summary>Inserts the pairs of all requested values, once the graph has its new nodes.</summary>
    /// <remarks>A graph input keeps its name and its float readers; only nodes that asked read it in 8 bits.</remarks>
    public void Insert()
    {
        var index = new GraphIndex(graph.Graph);
        foreach (var (value, grid) in _grids.OrderBy(pair => pair.Key, StringComparer.Ordinal))
        {
            if (_types[value] != DataType.Float)
            {
                InsertCast(index, value, grid);
                continue;
            }
            if (index.Producer(value) is { } producer)
            {
                string real = graph.FreshName($"{value}_float");
                producer.Output[producer.Output.IndexOf(value)] = real;
                graph.Graph.Node.AddRange(Pair(value, producer.Is("MaxPool") && !_grids.ContainsKey(producer.Input[0]) ? Held(real) : real, grid, value));
                continue;
            }
            graph.Graph.Node.AddRange(Pair(value, value, grid, Redirected(index, value)));
        }
    }

    /// <summary>
    /// The value itself, as the maximum of itself alone. ONNX Runtime moves QuantizeLinear in front of a MaxPool, but not in front of this: a
    /// MaxPool of floats would otherwise run on 8 bits without their layout, ten times slower, on four times the numbers.
    /// </summary>
    string Held(string value)
    {
        string name = graph.FreshName($"{value}_held");
        graph.Graph.Node.Add(NodeAttributes.Create("Max", name, [value], [name]));
        return name;
    }

    /// <summary>The same for a value that is not float32: those who asked read the pair, which is, and all others what is cast from it.</summary>
    void InsertCast(GraphIndex index, string value, UInt8Grid grid)
    {
        string dequantized = Redirected(index, value), single;
        if (index.Producer(value) is not { } producer)
        {
            single = CastToSingle(value);
        }
        else if (_borders.Contains(producer))
        {
            single = producer.Input[0];
            producer.Input[0] = dequantized;
        }
        else
        {
            string real = graph.FreshName($"{value}_float");
            producer.Output[producer.Output.IndexOf(value)] = real;
            single = CastToSingle(real);
            graph.Graph.Node.Add(graph.Cast($"{value}_border", dequantized, _types[value], value));
        }
        graph.Graph.Node.AddRange(Pair(value, single, grid, dequantized));
    }

    string CastToSingle(string value)
    {
        var cast = graph.Cast($"{value}_single", value, DataType.Float);
        graph.Graph.Node.Add(cast);
        return cast.Output[0];
    }

    /// <summary>A new name that the nodes that asked for a value in 8 bits read instead.</summary>
    string Redirected(GraphIndex index, string value)
    {
        string dequantized = graph.FreshName($"{value}_dequantized");
        foreach (var reader in index.Readers(value).Where(_readers.Contains))
        {
            reader.Input[reader.Input.IndexOf(value)] = dequantized;
        }
        return dequantized;
    }
}
