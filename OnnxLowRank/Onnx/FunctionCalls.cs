using OnnxLowRank.Onnx.Proto;

namespace OnnxLowRank.Onnx;

/// <summary>
/// What a model's functions become when every call is replaced by its body, as ONNX Runtime does. Twenty functions that call the next
/// one twice are a million nodes, which take it hours.
/// </summary>
sealed class FunctionCalls
{
    /// <summary>Exported models stay below a tenth of this.</summary>
    const int MostNodes = 100_000;

    const int Deepest = 100;

    readonly Dictionary<FunctionKey, FunctionProto> _functions = [];
    readonly Dictionary<FunctionProto, (long Nodes, int Depth)> _known = new(ReferenceEqualityComparer.Instance);

    FunctionCalls(ModelProto model)
    {
        foreach (var function in model.Functions)
        {
            if (!_functions.TryAdd(FunctionKey.Of(function), function))
            {
                throw new ModelException($"function '{function.Name}' is there twice");
            }
            RequireNoGraph(function, function.AttributeProto);
        }
    }

    /// <exception cref="ModelException">
    /// The calls become too many nodes, are nested too deeply or go in circles, or what they become cannot be told; the message names a function.
    /// </exception>
    public static void Check(ModelProto model)
    {
        var calls = new FunctionCalls(model);
        foreach (var function in model.Functions)
        {
            calls.Measure(function, 1);
        }
        var (nodes, _) = calls.Measure(model.Graph.Node, 0);
        if (nodes - model.Graph.Node.Count > MostNodes)
        {
            throw new ModelException($"its functions become {nodes} nodes, more than {MostNodes}");
        }
    }

    (long Nodes, int Depth) Measure(FunctionProto function, int depth)
    {
        if (_known.TryGetValue(function, out var known))
        {
            return known;
        }
        var (nodes, below) = Measure(function.Node, depth);
        if (nodes > MostNodes)
        {
            throw new ModelException($"function '{function.Name}' becomes {nodes} nodes, more than {MostNodes}");
        }
        RequireShallow(function, below + 1);
        return _known[function] = (nodes, below + 1);
    }

    /// <summary>Nodes with what they call, subgraphs included, and how deep calls are nested.</summary>
    (long Nodes, int Depth) Measure(IEnumerable<NodeProto> nodes, int depth)
    {
        long count = 0;
        int deepest = 0;
        foreach (var node in nodes.Concat(ModelWalk.Subgraphs(nodes).SelectMany(graph => graph.Node)))
        {
            count++;
            if (_functions.TryGetValue(FunctionKey.Of(node), out var called))
            {
                RequireNoGraph(called, node.Attribute);
                RequireShallow(called, depth + 1);
                var (inside, below) = Measure(called, depth + 1);
                count += inside;
                deepest = Math.Max(deepest, below);
            }
        }
        return (count, deepest);
    }

    /// <summary>A body may put a graph that it is given in many places, and into what it calls.</summary>
    static void RequireNoGraph(FunctionProto function, IEnumerable<AttributeProto> given)
    {
        if (given.FirstOrDefault(attribute => attribute.G != null || attribute.Graphs.Count > 0) is { } graph)
        {
            throw new ModelException($"function '{function.Name}' is given a graph, '{graph.Name}', which is not supported");
        }
    }

    static void RequireShallow(FunctionProto function, int depth)
    {
        if (depth > Deepest)
        {
            throw new ModelException($"calls of function '{function.Name}' are nested more than {Deepest} deep, or go in circles");
        }
    }
}
