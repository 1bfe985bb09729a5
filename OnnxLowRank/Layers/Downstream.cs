using OnnxLowRank.Onnx;
using OnnxLowRank.Onnx.Proto;

namespace OnnxLowRank.Layers;

/// <summary>The layers that a layer's output goes to, where it goes nowhere else: what they do to an error in it is known from their weights.</summary>
/// <param name="Readers">Each reads all of the output's channels, in their order, at some positions.</param>
/// <param name="IsGated">Whether an activation function on the way lets through what is positive and little of what is negative.</param>
sealed record Downstream(IReadOnlyList<Layer> Readers, bool IsGated)
{
    /// <summary>Functions of every number by itself that are nearly flat below zero. Products with what was made of the value itself are parts of such (x·Φ(x), x·σ(x)).</summary>
    static readonly HashSet<string> s_gates =
        ["Relu", "LeakyRelu", "PRelu", "Elu", "Celu", "Selu", "Clip", "Gelu", "FastGelu", "BiasGelu", "QuickGelu", "HardSwish", "Swish", "Mish", "Softplus", "ThresholdedRelu", "Mul"];

    /// <summary>Other functions of every number by itself, with operands that are one number or were made of the value itself.</summary>
    static readonly HashSet<string> s_elementwise = ["Add", "Sub", "Div", "Pow", "Erf", "Tanh", "Sigmoid", "HardSigmoid", "Softsign", "Identity", "Dropout", "Cast"];

    /// <summary>What keeps channels apart and in their order.</summary>
    static readonly HashSet<string> s_moves =
        ["MaxPool", "AveragePool", "GlobalAveragePool", "GlobalMaxPool", "ReduceMean", "Flatten", "Reshape", "Squeeze", "Unsqueeze", "Pad", "Transpose"];

    /// <summary>Of every layer that has one.</summary>
    public static IReadOnlyDictionary<Layer, Downstream> Find(GraphProto graph, IReadOnlyList<Layer> layers)
    {
        var index = new GraphIndex(graph);
        var readers = new Dictionary<NodeProto, Layer>(ReferenceEqualityComparer.Instance);
        foreach (var layer in layers.Where(layer => layer is { IsMeasured: true, IsTable: false }))
        {
            foreach (var use in layer.Uses)
            {
                readers[use.Node] = layer;
            }
        }
        var found = new Dictionary<Layer, Downstream>();
        foreach (var layer in layers)
        {
            if (layer is { Groups: 1, IsTable: false, Uses: [{ Addend: null } use] } && layer.Kind != LayerKind.LeftMatMul && Follow(index, readers, layer, use) is { } downstream)
            {
                found[layer] = downstream;
            }
        }
        return found;
    }

    static Downstream? Follow(GraphIndex index, Dictionary<NodeProto, Layer> layers, Layer layer, LayerUse start)
    {
        var (readers, passed) = (new HashSet<Layer>(), new List<NodeProto>());
        var made = new HashSet<string>(StringComparer.Ordinal) { start.Output };
        var pending = new Queue<string>(made);
        bool isTransposed = false;
        while (pending.TryDequeue(out string? value))
        {
            if (index.IsOutput(value))
            {
                return null;
            }
            foreach (var node in index.Readers(value))
            {
                if (layers.TryGetValue(node, out var reader))
                {
                    readers.Add(reader);
                    continue;
                }
                if (node.Domain is not ("" or "ai.onnx" or "com.microsoft") || !(s_gates.Contains(node.OpType) || s_elementwise.Contains(node.OpType) || s_moves.Contains(node.OpType)))
                {
                    return null;
                }
                if (made.Add(node.Output[0]))
                {
                    passed.Add(node);
                    pending.Enqueue(node.Output[0]);
                    isTransposed |= node.OpType == "Transpose";
                }
            }
        }
        return readers.Count > 0 && readers.All(reader => ReadsChannels(reader, layer, isTransposed)) && passed.All(node => ReadsNothingElse(index, node, made))
            ? new([.. readers], passed.Exists(node => s_gates.Contains(node.OpType))) : null;
    }

    /// <summary>Whether a layer's inputs are another's channels, at one position or, where those come first, at several of each.</summary>
    static bool ReadsChannels(Layer reader, Layer layer, bool isTransposed) =>
        reader is { Groups: 1, Uses.Count: 1 } && reader.Kind is LayerKind.MatMul or LayerKind.Gemm or LayerKind.Conv
        && (reader.In == reader.KernelSize * layer.Out || (layer.IsConvolution && !reader.IsConvolution && !isTransposed && reader.In % layer.Out == 0));

    /// <summary>Whether all that a node computes with comes from the value itself or is one number. What tells a move where to go does not count.</summary>
    static bool ReadsNothingElse(GraphIndex index, NodeProto node, HashSet<string> made) =>
        s_moves.Contains(node.OpType) || node.OpType is "Clip" or "Dropout" or "PRelu"
        || node.Input.All(input => input.Length == 0 || made.Contains(input) || IsOneNumber(index, input));

    static bool IsOneNumber(GraphIndex index, string value)
    {
        var constant = index.Initializer(value) ?? (index.Producer(value) is { } producer && producer.Is("Constant") ? producer.Tensor("value") ?? new() : null);
        return constant != null && constant.Dims.All(dim => dim == 1);
    }
}
