using OnnxLowRank.Onnx;
using OnnxLowRank.Onnx.Proto;

namespace OnnxLowRank.Refitting;

/// <summary>
/// A model and its rewritten copy in one graph, fed by the same inputs: values of both can be compared inside one run, and
/// constants that both have are stored once.
/// </summary>
static class PairedGraph
{
    const string Prefix = "rewritten:";

    /// <summary>The name that a value of the rewritten model has in the pair.</summary>
    public static string NameOf(string value) => Prefix + value;

    /// <summary>The pair; its outputs are the original's.</summary>
    public static OnnxModel Of(OnnxModel original, OnnxModel rewritten)
    {
        var pair = original.Copy();
        var known = pair.Graph.Initializer.Select(tensor => tensor.Name).ToHashSet(StringComparer.Ordinal);
        pair.Graph.Initializer.AddRange(rewritten.Graph.Initializer.Where(tensor => !known.Contains(tensor.Name)));

        var computed = rewritten.Graph.Node.SelectMany(node => node.Output).Where(name => name.Length > 0).ToHashSet(StringComparer.Ordinal);
        foreach (var node in rewritten.Graph.Node)
        {
            var copy = node.Clone();
            for (int i = 0; i < copy.Output.Count; i++)
            {
                copy.Output[i] = copy.Output[i].Length > 0 ? NameOf(copy.Output[i]) : "";
            }
            RenameReads(copy, computed);
            copy.Name = copy.Name.Length > 0 ? NameOf(copy.Name) : "";
            pair.Graph.Node.Add(copy);
        }
        foreach (var import in rewritten.Proto.OpsetImport.Where(import => pair.Proto.OpsetImport.All(own => own.Domain != import.Domain)))
        {
            pair.Proto.OpsetImport.Add(import.Clone());
        }
        return pair;
    }

    /// <summary>Renames what a node and its subgraphs read from the main graph; names that a subgraph defines itself hide outer ones.</summary>
    static void RenameReads(NodeProto node, HashSet<string> renamed)
    {
        for (int i = 0; i < node.Input.Count; i++)
        {
            node.Input[i] = renamed.Contains(node.Input[i]) ? NameOf(node.Input[i]) : node.Input[i];
        }
        foreach (var graph in node.Attribute.SelectMany(attribute => attribute.G == null ? attribute.Graphs : attribute.Graphs.Prepend(attribute.G)))
        {
            var visible = renamed
                .Except(graph.Input.Select(input => input.Name))
                .Except(graph.Initializer.Select(tensor => tensor.Name))
                .Except(graph.Node.SelectMany(inner => inner.Output))
                .ToHashSet(StringComparer.Ordinal);
            foreach (var inner in graph.Node)
            {
                RenameReads(inner, visible);
            }
            foreach (var output in graph.Output.Where(output => visible.Contains(output.Name)))
            {
                output.Name = NameOf(output.Name);
            }
        }
    }
}
