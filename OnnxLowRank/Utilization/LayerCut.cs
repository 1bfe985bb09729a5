using Microsoft.ML.OnnxRuntime.Tensors;
using OnnxLowRank.Layers;
using OnnxLowRank.Onnx;
using OnnxLowRank.Onnx.Proto;

namespace OnnxLowRank.Utilization;

/// <summary>
/// A model cut before a layer: what the layer's weight can change, and the values that this part reads of the rest. When only that
/// weight varies, the rest is the same in every run, so its values are computed once.
/// </summary>
sealed class LayerCut
{
    readonly OnnxModel _model;
    readonly Layer _layer;
    readonly string[] _outputs;
    readonly HashSet<NodeProto> _suffix;
    readonly HashSet<NodeProto> _varying;

    /// <param name="model">Whose layer it is.</param>
    /// <param name="outputs">Values that are wanted of the suffix.</param>
    public LayerCut(OnnxModel model, Layer layer, string[] outputs)
    {
        (_model, _layer, _outputs) = (model, layer, outputs);
        var index = new GraphIndex(model.Graph);
        _suffix = index.Descendants(layer.Uses.SelectMany(use => use.Node.Output));
        _suffix.UnionWith(layer.Uses.Select(use => use.Node));
        var constants = model.Graph.Initializer.Select(tensor => tensor.Name).ToHashSet(StringComparer.Ordinal);
        var inputs = model.Graph.Input.Select(input => input.Name).Where(name => !constants.Contains(name));
        _varying = index.Descendants(inputs);
        Live = [.. _suffix.SelectMany(GraphIndex.Reads).Distinct().Where(value => index.Producer(value) is { } producer && !_suffix.Contains(producer) && _varying.Contains(producer))];
        Prefix = index.Ancestors(Live);
        ReachesOutputs = outputs.All(output => index.Producer(output) is { } producer && _suffix.Contains(producer));
    }

    /// <summary>The nodes whose values the weight can change, the layer's own among them.</summary>
    public IReadOnlySet<NodeProto> Suffix => _suffix;

    /// <summary>The nodes that <see cref="Live"/> is computed by.</summary>
    public IReadOnlySet<NodeProto> Prefix { get; }

    /// <summary>Values of the prefix that the suffix reads; inputs and constants of the model are not among them.</summary>
    public IReadOnlyList<string> Live { get; }

    /// <summary>Whether the weight can change all wanted outputs.</summary>
    public bool ReachesOutputs { get; }

    /// <summary>The input that takes the layer's weight, as its nodes read it.</summary>
    public string WeightInput => $"weight of {_layer.Name}";

    /// <summary>The suffix as a model, which reads the inputs of the whole one, <see cref="Live"/> and the weight.</summary>
    /// <param name="types">Of the live values.</param>
    public OnnxModel ToModel(IReadOnlyDictionary<string, TensorElementType> types)
    {
        var model = Build(node => _suffix.Contains(node) || !_varying.Contains(node));
        foreach (var (value, type) in types)
        {
            model.Graph.Input.Add(Input(value, (int)type, null));
        }
        return model;
    }

    /// <summary>The whole model, with the weight as an input.</summary>
    public OnnxModel ToWholeModel() => Build(_ => true);

    OnnxModel Build(Func<NodeProto, bool> isKept)
    {
        var model = _model.Copy();
        var graph = model.Graph;
        var uses = _layer.Uses.Select(use => use.Node).ToHashSet<NodeProto>(ReferenceEqualityComparer.Instance);
        var kept = new List<NodeProto>();
        string operand = _layer.IsSingle ? WeightInput : $"{WeightInput}, cast";
        if (!_layer.IsSingle)
        {
            kept.Add(NodeAttributes.Create("Cast", operand, [WeightInput], [operand]).With("to", (long)_layer.Type));
        }
        for (int i = 0; i < graph.Node.Count; i++)
        {
            if (uses.Contains(_model.Graph.Node[i]))
            {
                graph.Node[i].Input[_layer.OperandIndex] = operand;
            }
            if (isKept(_model.Graph.Node[i]))
            {
                kept.Add(graph.Node[i]);
            }
        }
        graph.Node.Clear();
        graph.Node.AddRange(kept);
        var wanted = graph.Output.Where(output => _outputs.Contains(output.Name)).ToList();
        graph.Output.Clear();
        graph.Output.AddRange(wanted);
        graph.KeepOnly(_outputs);
        var defined = graph.Node.SelectMany(node => node.Output).ToHashSet(StringComparer.Ordinal);
        foreach (var stale in graph.ValueInfo.Where(value => !defined.Contains(value.Name)).ToList())
        {
            graph.ValueInfo.Remove(stale);
        }
        graph.Input.Add(Input(WeightInput, (int)TensorProto.Types.DataType.Float, _layer.Weight.Dims));
        return model;
    }

    static ValueInfoProto Input(string name, int type, long[]? dims)
    {
        var tensor = new TypeProto.Types.Tensor { ElemType = type };
        if (dims != null)
        {
            tensor.Shape = new TensorShapeProto { Dim = { dims.Select(dim => new TensorShapeProto.Types.Dimension { DimValue = dim }) } };
        }
        return new() { Name = name, Type = new() { TensorType = tensor } };
    }
}
