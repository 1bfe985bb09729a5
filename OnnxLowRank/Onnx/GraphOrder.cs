using OnnxLowRank.Onnx.Proto;

namespace OnnxLowRank.Onnx;

/// <summary>The single assignment form of a graph: every name is defined once, and nothing depends on itself.</summary>
static class GraphOrder
{
    /// <summary>Throws unless the main graph is valid.</summary>
    /// <exception cref="ModelException">A name is defined twice, an input is defined nowhere, or nodes form a cycle; the message names the node.</exception>
    public static void Check(GraphProto graph)
    {
        if (graph.Input.Concat(graph.Output).Select(value => value.Name).Concat(graph.Node.SelectMany(node => node.Output)).FirstOrDefault(name => name.Contains('\0')) is { } cut)
        {
            throw new ModelException($"the value '{cut.Replace("\0", "\\0", StringComparison.Ordinal)}' has a zero character in its name, where it would end for ONNX Runtime");
        }
        Sorted(graph);
    }

    /// <summary>The nodes in an order in which every value is produced before it is used; the given order where it already is one.</summary>
    public static List<NodeProto> Sorted(GraphProto graph)
    {
        var known = new HashSet<string>(StringComparer.Ordinal) { "" };
        known.UnionWith(Once(graph.Input.Select(input => input.Name), "graph input"));
        known.UnionWith(Once(graph.Initializer.Select(tensor => tensor.Name).Concat(graph.SparseInitializer.Select(tensor => tensor.Values?.Name ?? "")), "initializer"));

        var producers = new Dictionary<string, NodeProto>(StringComparer.Ordinal);
        foreach (var node in graph.Node)
        {
            foreach (string output in node.Output.Where(output => output.Length > 0))
            {
                if (known.Contains(output) || !producers.TryAdd(output, node))
                {
                    throw new ModelException($"node {Describe(node)} defines '{output}', which is defined already");
                }
            }
        }

        var sorted = new List<NodeProto>(graph.Node.Count);
        var state = new Dictionary<NodeProto, bool>(ReferenceEqualityComparer.Instance); // false: its inputs are being visited
        var stack = new Stack<(NodeProto Node, IEnumerator<string> Inputs)>();
        foreach (var root in graph.Node.Where(node => !state.ContainsKey(node)))
        {
            Enter(root);
            while (stack.TryPeek(out var top))
            {
                if (!top.Inputs.MoveNext())
                {
                    stack.Pop();
                    state[top.Node] = true;
                    sorted.Add(top.Node);
                    continue;
                }
                string input = top.Inputs.Current;
                if (known.Contains(input))
                {
                    continue;
                }
                if (!producers.TryGetValue(input, out var producer))
                {
                    throw new ModelException($"node {Describe(top.Node)} reads '{input}', which nothing defines");
                }
                if (!state.TryGetValue(producer, out bool done))
                {
                    Enter(producer);
                }
                else if (!done)
                {
                    throw new ModelException($"nodes form a cycle through {Describe(producer)} and '{input}'");
                }
            }
        }

        foreach (var output in graph.Output.Where(output => !known.Contains(output.Name) && !producers.ContainsKey(output.Name)))
        {
            throw new ModelException($"graph output '{output.Name}' is defined by no node");
        }
        return sorted;

        void Enter(NodeProto node)
        {
            state[node] = false;
            stack.Push((node, node.Input.Concat(GraphIndex.Captured(node)).GetEnumerator()));
        }
    }

    /// <summary>The names that are not empty; a name may stand for an input and for its default value, but for one of each.</summary>
    static HashSet<string> Once(IEnumerable<string> names, string what)
    {
        var once = new HashSet<string>(StringComparer.Ordinal);
        foreach (string name in names.Where(name => name.Length > 0 && !once.Add(name)))
        {
            throw new ModelException($"{what} '{name}' is defined twice");
        }
        return once;
    }

    /// <summary>A node in messages: its name, or its operator and output where it has none.</summary>
    public static string Describe(NodeProto node) =>
        node.Name.Length > 0 ? $"'{node.Name}' ({node.OpType})" : $"{node.OpType} of '{node.Output.FirstOrDefault() ?? "nothing"}'";
}
