using System.Globalization;
using OnnxLowRank.Layers;
using OnnxLowRank.Onnx.Proto;
using OnnxLowRank.Planning;
using OnnxLowRank.Rewriting;
using static OnnxLowRank.Onnx.Proto.TensorProto.Types;

namespace OnnxLowRank.Timing;

/// <summary>Text that is the same for two uses of layers, done in some way, exactly when they run the same kernels on the same shapes.</summary>
static class TimingKey
{
    /// <param name="use">Of the layer.</param>
    /// <param name="behind">Operator of the node that leaves with the use, Relu or Clip, or empty.</param>
    /// <param name="rest">Bytes of the rest of the model.</param>
    /// <param name="addsBias">Whether factorizing gives a use without bias one.</param>
    public static string Of(Layer layer, LayerUse use, RunShape shape, long rest, string behind, bool addsBias, LayerPlan plan, Dialect dialect, int opset)
    {
        var attributes = use.Node.Attribute.OrderBy(attribute => attribute.Name, StringComparer.Ordinal).Select(Text);
        string bias = use.Addend != null ? "addend" : use.Bias != null ? "bias" : addsBias ? "corrected" : "none";
        string[] parts =
        [
            $"opset {opset}", dialect.ToString(), layer.Kind.ToString(), $"[{string.Join(',', layer.Weight.Dims)}]", Types(layer), .. attributes,
            $"x{shape}", $"rest {rest}", $"bias {bias}", .. use.Absorbed.Select(node => node.OpType), behind,
            (plan with { Layer = null! }).ToString(), // every number of the plan, whatever kind it is
        ];
        return string.Join(' ', parts.Where(part => part.Length > 0));
    }

    static string Types(Layer layer) => layer.StoredType == DataType.Float && layer.Type == DataType.Float ? "" : $"{layer.StoredType} as {layer.Type}";

    static string Text(AttributeProto attribute) => string.Create(CultureInfo.InvariantCulture,
        $"{attribute.Name}={attribute.I}/{attribute.F}/{attribute.S.ToStringUtf8()}/{string.Join(',', attribute.Ints)}");
}
