using Google.Protobuf;
using OnnxLowRank.Onnx;
using OnnxLowRank.Onnx.Proto;

namespace OnnxLowRank.Rewriting;

/// <summary>Edits a copy of a model: nodes are replaced where they stand, and constants that nobody reads any more disappear.</summary>
sealed class GraphEditor
{
    public const string MicrosoftDomain = "com.microsoft";

    readonly OnnxModel _model;
    readonly UniqueNames _names;
    readonly Dictionary<NodeProto, IReadOnlyList<NodeProto>> _replaced = new(ReferenceEqualityComparer.Instance);
    readonly Dictionary<string, string> _shared = new(StringComparer.Ordinal);
    readonly HashSet<string> _orphans = new(StringComparer.Ordinal);
    readonly List<string> _inputsGone = [];

    /// <param name="model">Changed in place; nodes given to the editor later must be this model's own.</param>
    public GraphEditor(OnnxModel model)
    {
        _model = model;
        _names = new(model);
    }

    public int Opset => _model.Opset;

    public GraphProto Graph => _model.Graph;

    /// <summary>A name that no value or node has: the wanted one, or with a number behind it. Without zero characters, which end names in ONNX Runtime.</summary>
    public string FreshName(string wanted) => _names.Fresh(wanted.Replace('\0', '_'));

    /// <summary>Adds a constant under a fresh name, which it returns. The tensor is renamed.</summary>
    public string AddConstant(TensorProto tensor)
    {
        tensor.Name = FreshName(tensor.Name);
        if (_model.Spill.IsToDisk)
        {
            tensor.RawData = UnsafeByteOperations.UnsafeWrap(_model.Spill.Keep(tensor.RawData.Memory));
        }
        Graph.Initializer.Add(tensor);
        if (_model.Proto.IrVersion < 4)
        {
            // Until IR version 3 an initializer must be listed as an input to be valid.
            var shape = new TensorShapeProto();
            shape.Dim.AddRange(tensor.Dims.Select(dim => new TensorShapeProto.Types.Dimension { DimValue = dim }));
            Graph.Input.Add(new ValueInfoProto
            {
                Name = tensor.Name,
                Type = new TypeProto { TensorType = new TypeProto.Types.Tensor { ElemType = tensor.DataType, Shape = shape } },
            });
        }
        return tensor.Name;
    }

    /// <summary>Adds a constant that many nodes share, once; returns its name.</summary>
    public string SharedConstant(TensorProto tensor)
    {
        if (!_shared.TryGetValue(tensor.Name, out string? name))
        {
            string key = tensor.Name;
            _shared[key] = name = AddConstant(tensor);
        }
        return name;
    }

    /// <summary>Puts nodes in the place of one, which disappears; none of them removes it.</summary>
    public void Replace(NodeProto node, IReadOnlyList<NodeProto> replacement)
    {
        _replaced[node] = replacement;
        _orphans.UnionWith(node.Input);
    }

    /// <summary>Computes what was an initializer from smaller constants; its readers see no difference.</summary>
    /// <param name="nodes">The last one's output has the initializer's name.</param>
    public void Compute(string initializer, IEnumerable<NodeProto> nodes)
    {
        var stored = Graph.Initializer.Single(tensor => tensor.Name == initializer);
        Remove(stored);
        Graph.Node.AddRange(nodes);
    }

    /// <summary>Takes an initializer away, and off the inputs where it was one.</summary>
    void Remove(TensorProto initializer)
    {
        Graph.Initializer.Remove(initializer);
        if (Graph.Input.FirstOrDefault(input => input.Name == initializer.Name) is { } input)
        {
            Graph.Input.Remove(input);
            _inputsGone.Add(initializer.Name);
        }
    }

    /// <summary>Makes a node of one output under a fresh name, which both have; returns that name.</summary>
    /// <param name="nodes">Gets the node.</param>
    public string Add(List<NodeProto> nodes, string wanted, string opType, string[] inputs, Action<NodeProto>? configure = null)
    {
        string output = FreshName(wanted);
        var node = NodeAttributes.Create(opType, output, inputs, [output]);
        configure?.Invoke(node);
        nodes.Add(node);
        return output;
    }

    /// <summary>Makes a Cast under a fresh name, which its output has too unless another is given.</summary>
    public NodeProto Cast(string wanted, string input, TensorProto.Types.DataType to, string? output = null)
    {
        string name = FreshName(wanted);
        return NodeAttributes.Create("Cast", name, [input], [output ?? name]).With("to", (long)to);
    }

    /// <summary>Applies the replacements, drops constants that only replaced nodes read, and declares the domains in use.</summary>
    /// <param name="insert">Adds further nodes once the replacements stand.</param>
    /// <returns>Names of graph inputs that were initializers of rewritten layers and are gone.</returns>
    public IReadOnlyList<string> Finish(Action insert)
    {
        var nodes = Graph.Node.SelectMany(node => _replaced.TryGetValue(node, out var replacement) ? replacement : [node]).ToList();
        Graph.Node.Clear();
        Graph.Node.AddRange(nodes);
        insert();
        DropOrphans();
        var sorted = GraphOrder.Sorted(Graph);
        Graph.Node.Clear();
        Graph.Node.AddRange(sorted);

        var defined = sorted.SelectMany(node => node.Output).ToHashSet(StringComparer.Ordinal);
        foreach (var stale in Graph.ValueInfo.Where(value => !defined.Contains(value.Name)).ToList())
        {
            Graph.ValueInfo.Remove(stale);
        }
        if (sorted.Any(node => node.Domain == MicrosoftDomain) && _model.Proto.OpsetImport.All(import => import.Domain != MicrosoftDomain))
        {
            _model.Proto.OpsetImport.Add(new OperatorSetIdProto { Domain = MicrosoftDomain, Version = 1 });
        }
        return _inputsGone;
    }

    void DropOrphans()
    {
        var pending = new Queue<string>(_orphans);
        var index = new GraphIndex(Graph);
        var dead = new HashSet<NodeProto>(ReferenceEqualityComparer.Instance);
        while (pending.TryDequeue(out string? name))
        {
            if (name.Length == 0 || index.IsOutput(name) || index.Readers(name).Any(reader => !dead.Contains(reader)))
            {
                continue;
            }
            if (index.Initializer(name) is { } tensor)
            {
                Remove(tensor);
            }
            else if (index.Producer(name) is { } producer && IsView(producer) && dead.Add(producer))
            {
                foreach (string input in producer.Input)
                {
                    pending.Enqueue(input);
                }
            }
        }
        foreach (var node in dead)
        {
            Graph.Node.Remove(node);
        }
    }

    /// <summary>The nodes between a stored weight and its use; anything else that became unused was unused before or is the user's.</summary>
    static bool IsView(NodeProto node) =>
        node.Is("Constant") || node.Is("Identity") || node.Is("Transpose") || node.Is("Cast") || node.Is("Reshape");
}
