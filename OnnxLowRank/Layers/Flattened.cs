using OnnxLowRank.Onnx;
using OnnxLowRank.Onnx.Proto;

namespace OnnxLowRank.Layers;

/// <summary>
/// A model whose weights are where <see cref="LayerFinder"/> looks for them: functions that hold layers are put where they are called, and
/// constants of If, Loop and Scan bodies are initializers of the main graph. An operator set that is too old is raised where that says the same. It
/// computes the same.
/// </summary>
static class Flattened
{
    /// <summary>The model; itself where nothing is to be changed.</summary>
    public static OnnxModel Of(OnnxModel model) =>
        SubgraphConstants.Hoisted(FunctionInliner.Inlined(OldOpsets.Raised(model), node => LayerFinder.AppliesWeight(node) || node.Is("Gather")), IsWeight);

    static bool IsWeight(TensorProto tensor) =>
        tensor.Dims.Count >= 2 && TensorType.IsReal((TensorProto.Types.DataType)tensor.DataType) && tensor.ElementCount() >= LayerFinder.SmallestConstant;
}
