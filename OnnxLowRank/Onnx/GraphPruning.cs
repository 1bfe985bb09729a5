using OnnxLowRank.Onnx.Proto;

namespace OnnxLowRank.Onnx;

/// <summary>Parts of graphs.</summary>
static class GraphPruning
{
    /// <summary>Removes nodes and constants that these values do not need; constants that are also graph inputs stay.</summary>
    public static void KeepOnly(this GraphProto graph, IReadOnlyCollection<string> values)
    {
        var index = new GraphIndex(graph);
        var needed = index.Ancestors(values);
        var nodes = graph.Node.Where(needed.Contains).ToList();
        var reads = nodes.SelectMany(GraphIndex.Reads).Concat(values).ToHashSet(StringComparer.Ordinal);
        var constants = graph.Initializer.Where(tensor => reads.Contains(tensor.Name) || index.IsInput(tensor.Name)).ToList();
        graph.Node.Clear();
        graph.Node.AddRange(nodes);
        graph.Initializer.Clear();
        graph.Initializer.AddRange(constants);
    }
}
