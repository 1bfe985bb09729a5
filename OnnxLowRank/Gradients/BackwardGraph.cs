using OnnxLowRank.Onnx;
using OnnxLowRank.Onnx.Proto;

namespace OnnxLowRank.Gradients;

/// <summary>
/// Writes the backward pass behind a model's nodes: what a change of the outputs in given directions says about values inside, as one more part of the graph that
/// ONNX Runtime runs. Values that only operators without a rule lead to the outputs from have no gradient.
/// </summary>
static class BackwardGraph
{
    static readonly Dictionary<string, AdjointRule> s_rules = PointwiseAdjoints.Rules.Concat(ProductAdjoints.Rules).Concat(PoolingAdjoints.Rules)
        .Concat(NormalizationAdjoints.Rules).Concat(MovingAdjoints.Rules).ToDictionary(rule => rule.OpType, rule => rule.Rule, StringComparer.Ordinal);

    /// <summary>The nodes between values and outputs, in graph order: those that a backward pass goes through.</summary>
    public static List<NodeProto> Path(GraphProto graph, IEnumerable<string> values, IEnumerable<string> outputs)
    {
        var index = new GraphIndex(graph);
        var behind = index.Descendants(values);
        var before = index.Ancestors(outputs);
        return [.. graph.Node.Where(node => behind.Contains(node) && before.Contains(node))];
    }

    /// <summary>Appends a backward pass.</summary>
    /// <param name="path">From <see cref="Path"/>, of <paramref name="values"/> and <paramref name="seeds"/>.</param>
    /// <param name="values">Whose gradients are wanted.</param>
    /// <param name="seeds">Gradients that are given: value → its gradient's name.</param>
    /// <returns>Value → name of its gradient, of those that have one.</returns>
    public static IReadOnlyDictionary<string, string> Append(
        GraphWriter writer, IReadOnlyList<NodeProto> path, ValueTrace trace, IEnumerable<string> values, IReadOnlyDictionary<string, string> seeds)
    {
        var wanted = values.Where(trace.IsSingle).ToHashSet(StringComparer.Ordinal);
        var varying = wanted.ToHashSet(StringComparer.Ordinal);
        foreach (var node in path.Where(node => GraphIndex.Reads(node).Any(varying.Contains)))
        {
            varying.UnionWith(node.Output.Where(trace.IsSingle));
        }
        var parts = seeds.Where(seed => varying.Contains(seed.Key)).ToDictionary(seed => seed.Key, seed => new List<string> { seed.Value }, StringComparer.Ordinal);
        var unknown = new HashSet<string>(StringComparer.Ordinal);
        string? GradientOf(string value)
        {
            if (!parts.TryGetValue(value, out var known))
            {
                return null;
            }
            if (known.Count > 1)
            {
                (string sum, known) = (writer.Node("Sum", [.. known]), [known[0]]);
                parts[value] = [sum];
                return sum;
            }
            return known[0];
        }
        foreach (var node in path.Reverse().Where(node => GraphIndex.Reads(node).Any(varying.Contains)))
        {
            bool isKnown = !node.Output.Any(unknown.Contains);
            string?[] gradients = isKnown ? [.. node.Output.Select(GradientOf)] : [];
            if (isKnown && gradients.All(gradient => gradient == null))
            {
                continue;
            }
            var adjoint = new Adjoint(node, writer, trace, gradients, varying.Contains, (value, gradient) =>
            {
                if (!varying.Contains(value))
                {
                    return; // no path to a value whose gradient is wanted
                }
                if (!parts.TryGetValue(value, out var sum))
                {
                    parts[value] = sum = [];
                }
                sum.Add(gradient);
            });
            // The first output is the one that rules look at, but of Split, which has no other kind.
            isKnown = isKnown && node.Input.All(input => input.Length == 0 || trace.IsTensor(input)) && (gradients[0] != null || node.Is("Split")) && node.Domain is "" or "ai.onnx" && s_rules.TryGetValue(node.OpType, out var rule) && rule(adjoint);
            if (!isKnown)
            {
                unknown.UnionWith(GraphIndex.Reads(node).Where(varying.Contains));
            }
        }
        return wanted.Where(value => !unknown.Contains(value) && parts.ContainsKey(value)).ToDictionary(value => value, value => GradientOf(value)!, StringComparer.Ordinal);
    }
}
