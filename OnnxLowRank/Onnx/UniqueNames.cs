namespace OnnxLowRank.Onnx;

/// <summary>Names that nothing in a model has yet, subgraphs included.</summary>
sealed class UniqueNames
{
    readonly HashSet<string> _names = new(StringComparer.Ordinal);
    readonly Dictionary<string, int> _tried = new(StringComparer.Ordinal);

    public UniqueNames(OnnxModel model)
    {
        foreach (var graph in model.Proto.Graphs())
        {
            _names.UnionWith(graph.Node.SelectMany(node => node.Output.Concat(node.Input).Append(node.Name)));
            _names.UnionWith(graph.Initializer.Select(tensor => tensor.Name));
            _names.UnionWith(graph.Input.Concat(graph.Output).Select(value => value.Name));
        }
    }

    /// <summary>The wanted name, or with a number behind it.</summary>
    public string Fresh(string wanted)
    {
        string name = wanted;
        int number = _tried.GetValueOrDefault(wanted, 1);
        while (!_names.Add(name))
        {
            name = $"{wanted}_{++number}";
        }
        _tried[wanted] = number;
        return name;
    }
}
