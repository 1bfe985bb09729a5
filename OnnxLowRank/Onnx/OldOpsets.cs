using OnnxLowRank.Onnx.Proto;

namespace OnnxLowRank.Onnx;

/// <summary>
/// Models of operator sets before 7, where arithmetic did not broadcast as it does since: stamped as 7 where that says the same, because
/// no operator of the model was defined anew in between.
/// </summary>
static class OldOpsets
{
    /// <summary>The oldest operator set that rewritten layers are written in.</summary>
    public const int Oldest = 7;

    /// <summary>Operators per version, up to <see cref="Oldest"/>, that defined them anew. Source: the changelog of ONNX's operators.</summary>
    static readonly Dictionary<int, string[]> s_changed = new()
    {
        [2] = ["GlobalLpPool", "LpPool", "Pad", "Split"],
        [3] = ["GRU"],
        [4] = ["Concat"],
        [5] = ["Reshape"],
        [6] =
        [
            "Abs", "Add", "BatchNormalization", "Cast", "Ceil", "Clip", "Div", "Dropout", "Elu", "Exp", "Floor", "Gemm", "HardSigmoid", "InstanceNormalization", "LeakyRelu",
            "Log", "Max", "Mean", "Min", "Mul", "Neg", "PRelu", "Reciprocal", "Relu", "Selu", "Sigmoid", "Sqrt", "Sub", "Sum", "Tanh", "Tile",
        ],
        [7] =
        [
            "Add", "And", "AveragePool", "BatchNormalization", "Div", "Dropout", "Equal", "GRU", "Gemm", "Greater", "LSTM", "Less", "Mul", "Or", "PRelu", "Pow", "RNN", "Sub",
            "Upsample", "Xor",
        ],
    };

    /// <summary>A copy of an older model stamped as <see cref="Oldest"/> if it means the same; the model itself otherwise.</summary>
    public static OnnxModel Raised(OnnxModel model)
    {
        int opset = model.Opset;
        var changed = s_changed.Where(version => version.Key > opset).SelectMany(version => version.Value).ToHashSet(StringComparer.Ordinal);
        if (opset >= Oldest || model.Proto.Graphs().SelectMany(graph => graph.Node).Any(node => node.Domain is "" or "ai.onnx" && changed.Contains(node.OpType)))
        {
            return model;
        }
        var copy = model.Copy();
        if (copy.Proto.OpsetImport.FirstOrDefault(import => import.Domain is "" or "ai.onnx") is not { } import)
        {
            copy.Proto.OpsetImport.Add(import = new OperatorSetIdProto());
        }
        import.Version = Oldest;
        return copy;
    }
}
