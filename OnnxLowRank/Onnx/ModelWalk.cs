using OnnxLowRank.Onnx.Proto;

namespace OnnxLowRank.Onnx;

/// <summary>Everything in a model, subgraphs, functions and training graphs included.</summary>
static class ModelWalk
{
    /// <summary>Every graph: the main one, those in node attributes at any depth, and training graphs.</summary>
    public static IEnumerable<GraphProto> Graphs(this ModelProto model)
    {
        var roots = new List<GraphProto> { model.Graph };
        foreach (var training in model.TrainingInfo)
        {
            roots.AddRange(new[] { training.Initialization, training.Algorithm }.Where(graph => graph != null));
        }
        return roots.SelectMany(graph => Subgraphs(graph.Node).Prepend(graph))
            .Concat(model.Functions.SelectMany(function => Subgraphs(Attributes(function))));
    }

    /// <summary>The graphs in the attributes of these nodes, at any depth.</summary>
    public static IEnumerable<GraphProto> Subgraphs(IEnumerable<NodeProto> nodes) => Subgraphs(nodes.SelectMany(node => node.Attribute));

    /// <summary>Of a function: those of its nodes, and the defaults of its own.</summary>
    static IEnumerable<AttributeProto> Attributes(FunctionProto function) => function.Node.SelectMany(node => node.Attribute).Concat(function.AttributeProto);

    static IEnumerable<GraphProto> Subgraphs(IEnumerable<AttributeProto> attributes)
    {
        foreach (var attribute in attributes)
        {
            var graphs = attribute.G == null ? attribute.Graphs : attribute.Graphs.Prepend(attribute.G);
            foreach (var graph in graphs)
            {
                yield return graph;
                foreach (var inner in Subgraphs(graph.Node))
                {
                    yield return inner;
                }
            }
        }
    }

    /// <summary>Every tensor that carries data: initializers, sparse ones' parts, attributes of nodes, and defaults of functions' attributes.</summary>
    public static IEnumerable<TensorProto> Tensors(this ModelProto model)
    {
        foreach (var graph in model.Graphs())
        {
            foreach (var tensor in graph.Initializer.Concat(graph.SparseInitializer.SelectMany(Parts)).Concat(In(graph.Node.SelectMany(node => node.Attribute))))
            {
                yield return tensor;
            }
        }
        foreach (var tensor in In(model.Functions.SelectMany(Attributes)))
        {
            yield return tensor;
        }
    }

    static IEnumerable<TensorProto> In(IEnumerable<AttributeProto> attributes)
    {
        foreach (var attribute in attributes)
        {
            if (attribute.T != null)
            {
                yield return attribute.T;
            }
            var sparse = attribute.SparseTensor == null ? attribute.SparseTensors : attribute.SparseTensors.Prepend(attribute.SparseTensor);
            foreach (var tensor in attribute.Tensors.Concat(sparse.SelectMany(Parts)))
            {
                yield return tensor;
            }
        }
    }

    static IEnumerable<TensorProto> Parts(SparseTensorProto sparse) =>
        new[] { sparse.Values, sparse.Indices }.Where(tensor => tensor != null);
}
