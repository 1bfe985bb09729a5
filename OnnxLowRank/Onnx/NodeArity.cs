using OnnxLowRank.Onnx.Proto;

namespace OnnxLowRank.Onnx;

/// <summary>Inputs and outputs without which an operator means nothing, of the operators that we look into: whoever does may then take them by number.</summary>
static class NodeArity
{
    /// <summary>How many inputs must be there. Every one of these operators has a first output.</summary>
    static readonly Dictionary<string, int> s_inputs = new()
    {
        ["Add"] = 2,
        ["BatchNormalization"] = 5,
        ["Cast"] = 1,
        ["Clip"] = 1,
        ["Conv"] = 2,
        ["Gather"] = 2,
        ["Gemm"] = 2,
        ["Identity"] = 1,
        ["MatMul"] = 2,
        ["Relu"] = 1,
        ["Reshape"] = 1,
        ["Transpose"] = 1,
    };

    /// <exception cref="ModelException">A node of the main graph lacks an input or its output; the message names it.</exception>
    public static void Check(GraphProto graph)
    {
        foreach (var node in graph.Node)
        {
            if (!s_inputs.TryGetValue(node.OpType, out int inputs) || !node.Is(node.OpType))
            {
                continue;
            }
            if (Enumerable.Range(0, inputs).Any(i => node.InputOrEmpty(i).Length == 0))
            {
                throw new ModelException($"node {GraphOrder.Describe(node)} lacks an input: it needs {inputs}");
            }
            if (node.Output.FirstOrDefault("").Length == 0)
            {
                throw new ModelException($"node {GraphOrder.Describe(node)} has no output");
            }
        }
    }
}
