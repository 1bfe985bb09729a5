using OnnxLowRank.Onnx.Proto;

namespace OnnxLowRank.Onnx;

/// <summary>Moves large constants out of the bodies of If, Loop and Scan, which see the values of the graph around them.</summary>
static class SubgraphConstants
{
    /// <summary>The model with the constants of its bodies among its initializers; itself where none is moved.</summary>
    /// <param name="isWanted">Which constants to move.</param>
    public static OnnxModel Hoisted(OnnxModel model, Func<TensorProto, bool> isWanted)
    {
        // Until IR version 3 an initializer of the main graph is an input, too.
        if (model.Proto.IrVersion < 4 || !ModelWalk.Subgraphs(model.Graph.Node).Any(graph => Constants(graph, isWanted).Any()))
        {
            return model;
        }
        var copy = model.Copy();
        var names = new UniqueNames(copy);
        var defined = Defined(copy);
        foreach (var node in copy.Graph.Node)
        {
            foreach (var graph in ModelWalk.Subgraphs([node]).ToList())
            {
                Hoist(copy.Graph, graph, isWanted, name => defined[name] == 1 ? name : names.Fresh(name));
            }
        }
        return copy;
    }

    /// <summary>How often each name is defined in the main graph and its bodies.</summary>
    static Dictionary<string, int> Defined(OnnxModel model) => ModelWalk.Subgraphs(model.Graph.Node).Prepend(model.Graph)
        .SelectMany(graph => graph.Node.SelectMany(node => node.Output).Concat(graph.Initializer.Select(tensor => tensor.Name)).Concat(graph.Input.Select(input => input.Name)).Distinct())
        .CountBy(name => name).ToDictionary(StringComparer.Ordinal);

    static IEnumerable<(string Name, TensorProto Tensor)> Constants(GraphProto graph, Func<TensorProto, bool> isWanted)
    {
        // A body returns what it computes itself.
        var fixedNames = graph.Input.Concat(graph.Output).Select(value => value.Name).ToHashSet(StringComparer.Ordinal);
        return graph.Initializer.Select(tensor => (tensor.Name, Tensor: tensor))
            .Concat(graph.Node.Where(node => node.Is("Constant") && node.Tensor("value") != null).Select(node => (Name: node.Output[0], Tensor: node.Tensor("value")!)))
            .Where(item => !fixedNames.Contains(item.Name) && isWanted(item.Tensor));
    }

    static void Hoist(GraphProto main, GraphProto graph, Func<TensorProto, bool> isWanted, Func<string, string> nameFor)
    {
        foreach (var (name, tensor) in Constants(graph, isWanted).ToList())
        {
            if (!graph.Initializer.Remove(tensor))
            {
                graph.Node.Remove(graph.Node.Single(node => node.Output.Contains(name)));
            }
            string moved = nameFor(name);
            Rename(graph, name, moved);
            var stored = tensor.Clone();
            stored.Name = moved;
            main.Initializer.Add(stored);
        }
    }

    /// <summary>Renames what a graph and those inside it read, unless they define the name themselves.</summary>
    static void Rename(GraphProto graph, string from, string to)
    {
        foreach (var node in graph.Node)
        {
            for (int i = 0; i < node.Input.Count; i++)
            {
                node.Input[i] = node.Input[i] == from ? to : node.Input[i];
            }
            foreach (var inner in node.Attribute.SelectMany(attribute => attribute.G == null ? attribute.Graphs : attribute.Graphs.Prepend(attribute.G)))
            {
                bool isOwn = inner.Input.Any(value => value.Name == from) || inner.Initializer.Any(tensor => tensor.Name == from)
                    || inner.Node.Any(own => own.Output.Contains(from));
                if (!isOwn)
                {
                    Rename(inner, from, to);
                }
            }
        }
    }
}
