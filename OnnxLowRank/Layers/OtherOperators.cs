using OnnxLowRank.Onnx;
using OnnxLowRank.Onnx.Proto;

namespace OnnxLowRank.Layers;

/// <summary>
/// Nodes that hold weights but are no layers: operators that multiply inside themselves, already quantized ones, and those of other
/// domains. Large constants of floats that they read are layers of the kind <see cref="LayerKind.Constant"/>.
/// </summary>
static class OtherOperators
{
    /// <summary>Smaller constants are shapes, scales and the like.</summary>
    const int SmallestWeight = 128;

    /// <summary>Every such node that reads a weight, with the reason why it stays.</summary>
    /// <param name="constants">Names of the initializers that are layers themselves.</param>
    public static IEnumerable<LeftAlone> Of(OnnxModel model, GraphIndex index, IReadOnlySet<string> constants)
    {
        foreach (var node in model.Graph.Node)
        {
            string reason = Reason(node);
            var weights = reason.Length == 0 ? [] : node.Input.Select(input => Stored(index, input)).OfType<TensorProto>()
                .Where(tensor => tensor.Dims.Count >= 2 && tensor.ElementCount() >= SmallestWeight).ToList();
            if (weights.Count == 0)
            {
                continue;
            }
            var largest = weights.MaxBy(tensor => tensor.StoredBytes())!;
            string[] treated = [.. weights.Select(tensor => tensor.Name).Where(constants.Contains)];
            yield return new(
                LayerFinder.Name(node), node.OpType, [.. largest.Dims], weights.Where(tensor => !constants.Contains(tensor.Name)).Sum(tensor => tensor.StoredBytes()),
                reason + AsConstants(treated));
        }
    }

    /// <summary>What happens to weights that are layers of their own.</summary>
    public static string AsConstants(params ReadOnlySpan<string> names) => names.Length == 0 ? ""
        : $"; what it reads as '{string.Join("', '", names)}' may be stored smaller and is run as it is";

    static string Reason(NodeProto node) => node switch
    {
        { OpType: "MatMulInteger" or "ConvInteger" or "QLinearMatMul" or "QLinearConv" } when node.Is(node.OpType) => "already quantized",
        { OpType: "LSTM" or "GRU" or "RNN" } when node.Is(node.OpType) => "its products are steps of a recurrence inside the operator",
        { OpType: "Einsum" } when node.Is("Einsum") => "an equation, which no rule rewrites",
        { OpType: "DeformConv" } when node.Is("DeformConv") => "a kind of convolution that no rule rewrites",
        { Domain: "" or "ai.onnx" } => "",
        _ when IsQuantized(node.OpType) => "already quantized",
        { Domain: "com.microsoft" } => "an operator of ONNX Runtime alone, which no rule rewrites; a model that was not optimized by ONNX Runtime has standard ones in its place",
        _ => $"an operator of the domain {node.Domain}, which no rule rewrites",
    };

    /// <summary>As ONNX Runtime names its own: MatMulNBits, QAttention, DynamicQuantizeLSTM, GatherBlockQuantized, …</summary>
    static bool IsQuantized(string op) =>
        op.EndsWith("NBits", StringComparison.Ordinal) || op.EndsWith("Bnb4", StringComparison.Ordinal) || op.Contains("Quantize", StringComparison.Ordinal)
        || op.StartsWith("QLinear", StringComparison.Ordinal) || op.StartsWith("QOrdered", StringComparison.Ordinal)
        || op.StartsWith("MatMulInteger", StringComparison.Ordinal) || op is "QAttention" or "QGemm" or "QMoE" or "QEmbedLayerNormalization";

    static TensorProto? Stored(GraphIndex index, string value) =>
        index.Initializer(value) ?? (index.Producer(value) is { } producer && producer.Is("Constant") ? producer.Tensor("value") : null);
}
