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
    public OnnxModel ToModel(IReadOnlyDictionary<string, TensorElementType> types) => SuffixOf(ToWholeModel(), types);

    /// <summary>The same of a model in which the layer was rewritten; it is cut itself.</summary>
    public OnnxModel SuffixOf(OnnxModel rewritten, IReadOnlyDictionary<string, TensorElementType> types)
    {
        CutAt(rewritten, types, _outputs);
        return rewritten;
    }

    /// <summary>Makes values inputs of a model of which only others are wanted.</summary>
    /// <param name="types">Of the values that become inputs.</param>
    public static void CutAt(OnnxModel model, IReadOnlyDictionary<string, TensorElementType> types, IReadOnlyCollection<string> wanted)
    {
        var graph = model.Graph;
        foreach (var producer in graph.Node.Where(node => node.Output.Any(types.ContainsKey)).ToList())
        {
            graph.Node.Remove(producer);
        }
        graph.Input.AddRange(types.Select(value => Input(value.Key, (int)value.Value, null)));
        var outputs = graph.Output.Where(output => wanted.Contains(output.Name)).ToList();
        graph.Output.Clear();
        graph.Output.AddRange(outputs);
        graph.KeepOnly(wanted);
        var defined = graph.Node.SelectMany(node => node.Output).ToHashSet(StringComparer.Ordinal);
        foreach (var stale in graph.ValueInfo.Where(value => !defined.Contains(value.Name)).ToList())
        {
            graph.ValueInfo.Remove(stale);
        }
    }

    /// <summary>The whole model, with the weight as an input.</summary>
    public OnnxModel ToWholeModel()
    {
        var model = _model.Copy();
        var graph = model.Graph;
        var uses = _layer.Uses.Select(use => use.Node).ToHashSet<NodeProto>(ReferenceEqualityComparer.Instance);
        string operand = _layer.IsSingle ? WeightInput : $"{WeightInput}, cast";
        foreach (var (node, _) in graph.Node.Zip(_model.Graph.Node).Where(pair => uses.Contains(pair.Second)))
        {
            node.Input[_layer.OperandIndex] = operand;
        }
        if (!_layer.IsSingle)
        {
            graph.Node.Insert(0, NodeAttributes.Create("Cast", operand, [WeightInput], [operand]).With("to", (long)_layer.Type));
        }
        graph.Input.Add(Input(WeightInput, (int)TensorProto.Types.DataType.Float, _layer.Weight.Dims));
        CutAt(model, new Dictionary<string, TensorElementType>(), _outputs);
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
