using Google.Protobuf.Collections;
using OnnxLowRank.Onnx.Proto;

namespace OnnxLowRank.Onnx;

/// <summary>
/// Puts the bodies of a model's own functions where they are called, as the format defines a call: inputs and outputs by position,
/// attributes by name with the function's defaults, all other names the call's own. A constant of a body becomes one initializer, which all
/// calls share. Calls are as <see cref="FunctionCalls"/> requires.
/// </summary>
sealed class FunctionInliner
{
    readonly OnnxModel _model;
    readonly UniqueNames _names;
    readonly Dictionary<FunctionKey, FunctionProto> _functions;
    readonly Dictionary<FunctionProto, bool> _known = new(ReferenceEqualityComparer.Instance);
    readonly HashSet<FunctionProto> _inlined = new(ReferenceEqualityComparer.Instance);
    readonly Dictionary<NodeProto, string> _constants = new(ReferenceEqualityComparer.Instance);

    FunctionInliner(OnnxModel model, Func<NodeProto, bool> isWanted)
    {
        (_model, _names) = (model, new(model));
        _functions = model.Proto.Functions.ToDictionary(FunctionKey.Of);
        _inlined.UnionWith(_functions.Values.Where(function => Obstacle(model, function).Length == 0 && Reaches(function, isWanted)));
    }

    /// <summary>The model without calls of functions that hold certain nodes, directly or through other functions; itself where there are none.</summary>
    public static OnnxModel Inlined(OnnxModel model, Func<NodeProto, bool> isWanted)
    {
        if (model.Proto.Functions.Count == 0)
        {
            return model;
        }
        var inliner = new FunctionInliner(model.Copy(), isWanted);
        if (inliner._inlined.Count == 0)
        {
            return model;
        }
        inliner.Run();
        return inliner._model;
    }

    /// <summary>Why a function stays as it is, or nothing.</summary>
    public static string Obstacle(OnnxModel model, FunctionProto function)
    {
        foreach (var import in function.OpsetImport)
        {
            var own = model.Proto.OpsetImport.FirstOrDefault(other => FunctionKey.DomainOf(other.Domain) == FunctionKey.DomainOf(import.Domain));
            if (own != null && own.Version != import.Version)
            {
                return $"it is written for opset {import.Version}{(FunctionKey.DomainOf(import.Domain).Length > 0 ? $" of {import.Domain}" : "")}, the model for {own.Version}";
            }
        }
        return "";
    }

    static IEnumerable<NodeProto> AllNodes(IEnumerable<NodeProto> nodes) =>
        nodes.Concat(ModelWalk.Subgraphs(nodes).SelectMany(graph => graph.Node));

    bool Reaches(FunctionProto function, Func<NodeProto, bool> isWanted)
    {
        if (!_known.TryGetValue(function, out bool reaches))
        {
            _known[function] = reaches = AllNodes(function.Node)
                .Any(node => isWanted(node) || (_functions.TryGetValue(FunctionKey.Of(node), out var callee) && Reaches(callee, isWanted)));
        }
        return reaches;
    }

    FunctionProto? Called(NodeProto node) => _functions.TryGetValue(FunctionKey.Of(node), out var function) && _inlined.Contains(function) ? function : null;

    void Run()
    {
        Expand(_model.Graph.Node);
        var called = AllNodes(_model.Graph.Node).Concat(_model.Proto.Functions.Where(function => !_inlined.Contains(function)).SelectMany(function => AllNodes(function.Node))).Select(FunctionKey.Of).ToHashSet();
        var kept = _model.Proto.Functions.Where(function => !_inlined.Contains(function) || called.Contains(FunctionKey.Of(function))).ToList();
        _model.Proto.Functions.Clear();
        _model.Proto.Functions.AddRange(kept);
    }

    void Expand(RepeatedField<NodeProto> nodes)
    {
        for (int i = 0; i < nodes.Count; i++)
        {
            // What takes the call's place may be calls again.
            while (i < nodes.Count && Called(nodes[i]) is { } function)
            {
                var call = nodes[i];
                nodes.RemoveAt(i);
                int at = i;
                foreach (var node in Body(call, function))
                {
                    nodes.Insert(at++, node);
                }
            }
            if (i < nodes.Count)
            {
                foreach (var graph in ModelWalk.Subgraphs([nodes[i]]).ToList())
                {
                    Expand(graph.Node);
                }
            }
        }
    }

    IEnumerable<NodeProto> Body(NodeProto call, FunctionProto function)
    {
        foreach (var import in function.OpsetImport.Where(import => _model.Proto.OpsetImport.All(own => FunctionKey.DomainOf(own.Domain) != FunctionKey.DomainOf(import.Domain))))
        {
            _model.Proto.OpsetImport.Add(import.Clone());
        }
        string prefix = call.Name.Length > 0 ? call.Name : call.Output.FirstOrDefault(output => output.Length > 0) ?? function.Name;
        var names = new Dictionary<string, string>(StringComparer.Ordinal) { [""] = "" };
        for (int i = 0; i < function.Input.Count; i++)
        {
            names[function.Input[i]] = call.InputOrEmpty(i);
        }
        var copies = new List<NodeProto>();
        for (int i = 0; i < Math.Min(function.Output.Count, call.Output.Count); i++)
        {
            if (call.Output[i].Length > 0 && !names.TryAdd(function.Output[i], call.Output[i]))
            {
                copies.Add(NodeAttributes.Create("Identity", _names.Fresh($"{prefix}/output"), [names[function.Output[i]]], [call.Output[i]]));
            }
        }
        foreach (var node in function.Node)
        {
            if (Shared(node) is { } constant && !names.ContainsKey(node.Output[0]))
            {
                names[node.Output[0]] = constant;
                continue;
            }
            var copy = node.Clone();
            Bind(copy, call, function);
            Rename(copy, names, prefix);
            yield return copy;
        }
        foreach (var copy in copies)
        {
            yield return copy;
        }
    }

    /// <summary>The initializer that a constant of a body became, or null for other nodes.</summary>
    string? Shared(NodeProto node)
    {
        if (!node.Is("Constant") || node.Tensor("value") is not { } tensor)
        {
            return null;
        }
        if (!_constants.TryGetValue(node, out string? name))
        {
            var stored = tensor.Clone();
            _constants[node] = stored.Name = name = _names.Fresh(node.Output[0]);
            _model.Graph.Initializer.Add(stored);
        }
        return name;
    }

    /// <summary>Gives attributes that refer to the function's the values of the call.</summary>
    static void Bind(NodeProto node, NodeProto call, FunctionProto function)
    {
        foreach (var attribute in node.Attribute.Where(attribute => attribute.RefAttrName.Length > 0).ToList())
        {
            node.Attribute.Remove(attribute);
            var value = call.Attribute.FirstOrDefault(given => given.Name == attribute.RefAttrName)
                ?? function.AttributeProto.FirstOrDefault(given => given.Name == attribute.RefAttrName);
            if (value != null)
            {
                var bound = value.Clone();
                bound.Name = attribute.Name;
                node.Attribute.Add(bound);
            }
        }
        foreach (var inner in ModelWalk.Subgraphs([node]).SelectMany(graph => graph.Node).ToList())
        {
            Bind(inner, call, function);
        }
    }

    /// <summary>Renames what a node defines and reads, in its subgraphs too; what is not known yet is defined here.</summary>
    void Rename(NodeProto node, Dictionary<string, string> names, string prefix)
    {
        node.Name = _names.Fresh($"{prefix}/{(node.Name.Length > 0 ? node.Name : node.OpType)}");
        for (int i = 0; i < node.Input.Count; i++)
        {
            node.Input[i] = names.GetValueOrDefault(node.Input[i], node.Input[i]);
        }
        foreach (var graph in node.Attribute.SelectMany(attribute => attribute.G == null ? attribute.Graphs : attribute.Graphs.Prepend(attribute.G)))
        {
            var inner = new Dictionary<string, string>(names, StringComparer.Ordinal);
            foreach (var value in graph.Input)
            {
                value.Name = Define(value.Name);
            }
            foreach (var tensor in graph.Initializer)
            {
                tensor.Name = Define(tensor.Name);
            }
            graph.ValueInfo.Clear();
            foreach (var own in graph.Node)
            {
                Rename(own, inner, prefix);
            }
            foreach (var value in graph.Output)
            {
                value.Name = inner.GetValueOrDefault(value.Name, value.Name);
            }

            string Define(string name) => inner[name] = _names.Fresh($"{prefix}/{name}");
        }
        for (int i = 0; i < node.Output.Count; i++)
        {
            string name = node.Output[i];
            if (name.Length > 0 && !names.TryGetValue(name, out string? _))
            {
                names[name] = _names.Fresh($"{prefix}/{name}");
            }
            node.Output[i] = names[name];
        }
    }
}
