using OnnxLowRank.Onnx.Proto;

namespace OnnxLowRank.Onnx;

/// <summary>Who defines and who reads each value of a main graph. A snapshot: make a new one after an edit.</summary>
sealed class GraphIndex
{
    readonly Dictionary<string, NodeProto> _producers = new(StringComparer.Ordinal);
    readonly Dictionary<string, List<NodeProto>> _readers = new(StringComparer.Ordinal);
    readonly Dictionary<string, TensorProto> _initializers = new(StringComparer.Ordinal);
    readonly HashSet<string> _outputs;
    readonly HashSet<string> _inputs;

    public GraphIndex(GraphProto graph)
    {
        foreach (var node in graph.Node)
        {
            foreach (string output in node.Output.Where(output => output.Length > 0))
            {
                _producers[output] = node;
            }
            foreach (string input in Reads(node).Distinct())
            {
                if (!_readers.TryGetValue(input, out var readers))
                {
                    _readers[input] = readers = [];
                }
                readers.Add(node);
            }
        }
        foreach (var tensor in graph.Initializer.Where(tensor => tensor.Name.Length > 0))
        {
            _initializers[tensor.Name] = tensor;
        }
        _inputs = graph.Input.Select(input => input.Name).ToHashSet(StringComparer.Ordinal);
        _outputs = graph.Output.Select(output => output.Name).ToHashSet(StringComparer.Ordinal);
    }

    public NodeProto? Producer(string value) => _producers.GetValueOrDefault(value);

    public TensorProto? Initializer(string value) => _initializers.GetValueOrDefault(value);

    /// <summary>The nodes that read a value, each once; a node whose subgraphs read it counts.</summary>
    public IReadOnlyList<NodeProto> Readers(string value) => _readers.TryGetValue(value, out var readers) ? readers : [];

    public bool IsInput(string value) => _inputs.Contains(value);

    public bool IsOutput(string value) => _outputs.Contains(value);

    /// <summary>The only node that reads this value, or null when there are several, none, or the value is a graph output.</summary>
    public NodeProto? OnlyReader(string value) => !IsOutput(value) && Readers(value) is [var only] ? only : null;

    /// <summary>The nodes that values are computed by, directly or through others.</summary>
    public HashSet<NodeProto> Ancestors(IEnumerable<string> values)
    {
        var found = new HashSet<NodeProto>(ReferenceEqualityComparer.Instance);
        var pending = new Stack<string>(values);
        while (pending.TryPop(out string? value))
        {
            if (Producer(value) is { } producer && found.Add(producer))
            {
                foreach (string read in Reads(producer))
                {
                    pending.Push(read);
                }
            }
        }
        return found;
    }

    /// <summary>The nodes that depend on values, directly or through others.</summary>
    public HashSet<NodeProto> Descendants(IEnumerable<string> values)
    {
        var found = new HashSet<NodeProto>(ReferenceEqualityComparer.Instance);
        var pending = new Stack<string>(values);
        while (pending.TryPop(out string? value))
        {
            foreach (var reader in Readers(value).Where(found.Add))
            {
                foreach (string output in reader.Output)
                {
                    pending.Push(output);
                }
            }
        }
        return found;
    }

    /// <summary>Everything that a node reads, its subgraphs included.</summary>
    public static IEnumerable<string> Reads(NodeProto node) => node.Input.Concat(Captured(node)).Where(input => input.Length > 0);

    /// <summary>Values of the surrounding graph that a node's subgraphs read.</summary>
    public static IEnumerable<string> Captured(NodeProto node)
    {
        foreach (var attribute in node.Attribute)
        {
            var graphs = attribute.G == null ? attribute.Graphs : attribute.Graphs.Prepend(attribute.G);
            foreach (var graph in graphs)
            {
                var own = graph.Node.SelectMany(inner => inner.Output)
                    .Concat(graph.Input.Select(input => input.Name))
                    .Concat(graph.Initializer.Select(tensor => tensor.Name))
                    .Concat(graph.SparseInitializer.Select(tensor => tensor.Values?.Name ?? ""))
                    .Append("")
                    .ToHashSet(StringComparer.Ordinal);
                var read = graph.Node.SelectMany(inner => inner.Input.Concat(Captured(inner)))
                    .Concat(graph.Output.Select(output => output.Name));
                foreach (string name in read.Where(name => !own.Contains(name)))
                {
                    yield return name;
                }
            }
        }
    }
}
