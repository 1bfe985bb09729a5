using OnnxLowRank.Layers;
using OnnxLowRank.Onnx;
using OnnxLowRank.Onnx.Proto;

namespace OnnxLowRank.Rewriting;

/// <summary>
/// MatMuls that read the same value, as the projections to query, key and value do, become one whose output is split. The numbers
/// stay the same; but x is then quantized once for all, one Down serves all, and a rank is worth more.
/// </summary>
static class Siblings
{
    /// <summary>From this opset on Split's axis may be counted from the end.</summary>
    const int OldestOpset = 11;

    /// <summary>From this opset on Split's sizes are an operand.</summary>
    const int SplitSizesOpset = 13;

    /// <summary>A copy of the model in which such layers are stacked; the model itself where there are none.</summary>
    /// <param name="layers">As <see cref="LayerFinder"/> found them: what a user wants left alone is not among them.</param>
    public static OnnxModel Stacked(OnnxModel model, IReadOnlyList<Layer> layers)
    {
        var families = layers.Where(CanBeStacked).GroupBy(layer => (layer.Uses[0].Input, HasBias: layer.Uses[0].Bias != null, layer.StoredType))
            .Select(family => family.ToList()).Where(family => family.Count > 1).ToList();
        if (families.Count == 0 || model.Opset < OldestOpset)
        {
            return model;
        }
        var copy = model.Copy();
        var nodes = model.Graph.Node.Zip(copy.Graph.Node).ToDictionary(pair => pair.First, pair => pair.Second, (IEqualityComparer<NodeProto>)ReferenceEqualityComparer.Instance);
        var graph = new GraphEditor(copy);
        foreach (var family in families)
        {
            foreach (var member in family)
            {
                foreach (var node in member.Uses[0].Absorbed.Prepend(member.Node))
                {
                    graph.Replace(nodes[node], node == family[0].Node ? Stack(graph, family) : []);
                }
            }
        }
        graph.Finish(() => { });
        return copy;
    }

    static bool CanBeStacked(Layer layer) => layer.Kind == LayerKind.MatMul && layer.StoredType == layer.Type && layer.Uses.Count == 1 && layer.Weight.Dims.Length == 2;

    static List<NodeProto> Stack(GraphEditor graph, List<Layer> family)
    {
        int rows = family[0].In, cols = family.Sum(layer => layer.Out);
        string name = $"{family[0].Name}_x{family.Count}";
        var weight = new float[rows * cols];
        int start = 0;
        foreach (var layer in family)
        {
            float[] part = layer.Weight.Read();
            for (int i = 0; i < rows; i++)
            {
                part.AsSpan(i * layer.Out, layer.Out).CopyTo(weight.AsSpan(i * cols + start));
            }
            start += layer.Out;
        }
        string product = graph.FreshName($"{name}_y");
        var nodes = new List<NodeProto>
        {
            NodeAttributes.Create("MatMul", graph.FreshName(name), [family[0].Uses[0].Input, graph.AddConstant(TensorData.Reals($"{name}_weight", family[0].Type, weight, rows, cols))], [product]),
        };
        if (family[0].Uses[0].Bias != null)
        {
            float[] bias = [.. family.SelectMany(layer => layer.Uses[0].Bias!).Select(value => (float)value)];
            string sum = graph.FreshName($"{name}_z");
            nodes.Add(NodeAttributes.Create("Add", graph.FreshName($"{name}_add"), [product, graph.AddConstant(TensorData.Reals($"{name}_bias", family[0].Type, bias, cols))], [sum]));
            product = sum;
        }
        nodes.Add(Split(graph, $"{name}_split", product, family));
        return nodes;
    }

    static NodeProto Split(GraphEditor graph, string name, string value, List<Layer> family)
    {
        long[] sizes = [.. family.Select(layer => (long)layer.Out)];
        string[] outputs = [.. family.Select(layer => layer.Uses[0].Output)];
        return graph.Opset >= SplitSizesOpset
            ? NodeAttributes.Create("Split", graph.FreshName(name), [value, graph.AddConstant(TensorData.Int64s($"{name}_sizes", sizes))], outputs).With("axis", -1)
            : NodeAttributes.Create("Split", graph.FreshName(name), [value], outputs).With("axis", -1).With("split", sizes);
    }
}
