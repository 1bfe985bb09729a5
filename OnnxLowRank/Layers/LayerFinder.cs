using System.Text.RegularExpressions;
using OnnxLowRank.Onnx;
using OnnxLowRank.Onnx.Proto;

namespace OnnxLowRank.Layers;

/// <summary>The layers of a model, and the nodes with weights that are left alone.</summary>
/// <param name="Layers">In graph order.</param>
/// <param name="LeftAlone">Each with its reason.</param>
sealed record FoundLayers(IReadOnlyList<Layer> Layers, IReadOnlyList<LeftAlone> LeftAlone)
{
    /// <summary>Those that samples tell something about.</summary>
    public IEnumerable<Layer> Measured => Layers.Where(layer => layer.IsMeasured);
}

/// <summary>Which layers to look for.</summary>
/// <param name="Only">Node names to consider, or null for all.</param>
/// <param name="Skip">Node names to leave alone, or null for none.</param>
/// <param name="ConstantInputs">Whether initializers that are also graph inputs are constants from IR version 4 on.</param>
sealed record LayerFilter(Regex? Only = null, Regex? Skip = null, bool ConstantInputs = false);

/// <summary>Finds MatMul, Gemm, Conv and ConvTranspose nodes of the main graph whose weight is constant, Gather nodes that read an embedding table, and other large constants.</summary>
static class LayerFinder
{
    /// <summary>Every use of a layer has a bias of its own in memory. Where more than these are the same tensor, a small file would fill it.</summary>
    const long MostShares = 16, FewBiases = 1 << 20;

    public static FoundLayers Find(OnnxModel model, LayerFilter filter)
    {
        var index = new GraphIndex(model.Graph);
        // Before IR version 4 every initializer had to be listed as an input, so the listing means nothing there.
        bool inputsAreConstant = model.Proto.IrVersion < 4 || filter.ConstantInputs;
        var leftAlone = new List<LeftAlone>();
        var found = new List<(Constant Weight, LayerKind Kind, LayerUse Use)>();
        long room = FewBiases + MostShares * ModelFiles.Parameters(model);

        foreach (var node in model.Graph.Node)
        {
            if (!AppliesWeight(node) && !ReadsTable(index, node))
            {
                continue;
            }
            string reason = Filtered(Name(node), filter);
            if (reason.Length == 0 && model.Opset < OldOpsets.Oldest)
            {
                reason = $"the model's opset {model.Opset} is older than {OldOpsets.Oldest}, and the model uses operators that were defined otherwise before it";
            }
            if (reason.Length == 0 && room < 0)
            {
                reason = "too many nodes before it share weights and biases";
            }
            Constant? weight = null;
            if (reason.Length == 0)
            {
                var use = LayerReader.Read(index, node, inputsAreConstant, out weight, out var kind, out reason);
                if (use != null && weight != null)
                {
                    room -= use.Bias?.Length ?? 0;
                    found.Add((weight, kind, use));
                    continue;
                }
            }
            leftAlone.Add(Alone(node, weight, reason));
        }

        var layers = Merge(index, found, leftAlone);
        layers.AddRange(Constants(model, index, layers, inputsAreConstant, reader => model.Opset >= OldOpsets.Oldest && Filtered(Name(reader), filter).Length == 0));
        var constants = layers.Where(layer => layer.Kind == LayerKind.Constant).Select(layer => layer.Name).ToHashSet(StringComparer.Ordinal);
        leftAlone.AddRange(OtherOperators.Of(model, index, constants));
        leftAlone.AddRange(InsideSubgraphs(model, index, constants));
        return new(layers, leftAlone);
    }

    public static string Name(NodeProto node) => node.Name.Length > 0 ? node.Name : node.Output.FirstOrDefault() ?? "";

    /// <summary>Whether a node's operator applies a weight where it has one.</summary>
    public static bool AppliesWeight(NodeProto node) => node.Is("Conv") || node.Is("ConvTranspose") || node.Is("Gemm") || node.Is("MatMul");

    /// <summary>Whether a Gather picks from a stored table; most pick a number from a shape, which is nobody's concern.</summary>
    static bool ReadsTable(GraphIndex index, NodeProto node)
    {
        if (!node.Is("Gather"))
        {
            return false;
        }
        string name = node.Input[0];
        for (int views = 0; views < Constant.MostViews && index.Producer(name) is { } producer && IsView(producer); views++)
        {
            name = producer.Input[0];
        }
        var table = index.Initializer(name) ?? (index.Producer(name) is { } constant && constant.Is("Constant") ? constant.Tensor("value") : null);
        return table?.Dims.Count >= 2;
    }

    static bool IsView(NodeProto node) => node.Is("Identity") || node.Is("Transpose") || node.Is("Cast") || node.Is("Reshape");

    static string Filtered(string name, LayerFilter filter) =>
        filter.Only?.IsMatch(name) == false ? "not selected by --only"
        : filter.Skip?.IsMatch(name) == true ? "excluded by --skip"
        : "";

    static LeftAlone Alone(NodeProto node, Constant? weight, string reason) =>
        new(Name(node), node.OpType, weight?.Dims ?? [], weight?.StoredBytes ?? 0, reason);

    /// <summary>
    /// Values of a body are not seen from outside, so that its layers cannot be measured; their weights, which are constants of the main
    /// graph (<see cref="Flattened"/>), can still be stored in fewer bytes.
    /// </summary>
    static IEnumerable<LeftAlone> InsideSubgraphs(OnnxModel model, GraphIndex index, HashSet<string> constants)
    {
        foreach (var owner in model.Graph.Node)
        {
            foreach (var node in ModelWalk.Subgraphs([owner]).SelectMany(graph => graph.Node).Where(AppliesWeight))
            {
                var weight = node.Input.Select(index.Initializer).OfType<TensorProto>().FirstOrDefault();
                bool isTreated = weight != null && constants.Contains(weight.Name);
                yield return new(
                    Name(node), node.OpType, weight == null ? [] : [.. weight.Dims], weight == null || isTreated ? 0 : weight.StoredBytes(),
                    $"its values are inside a body of {GraphOrder.Describe(owner)}, where nothing can be measured{(isTreated ? OtherOperators.AsConstants(weight!.Name) : "")}");
            }
        }
        foreach (var function in model.Proto.Functions)
        {
            string obstacle = FunctionInliner.Obstacle(model, function);
            foreach (var node in function.Node.Where(AppliesWeight))
            {
                yield return Alone(node, null, $"it is inside the model's function '{function.Name}'{(obstacle.Length > 0 ? $": {obstacle}" : "")}");
            }
        }
    }

    /// <summary>One layer per weight. A weight with several readers is one layer when all of them are uses that agree.</summary>
    static List<Layer> Merge(GraphIndex index, List<(Constant Weight, LayerKind Kind, LayerUse Use)> found, List<LeftAlone> leftAlone)
    {
        var layers = new List<Layer>();
        foreach (var group in found.GroupBy(item => item.Weight.Root))
        {
            var uses = group.ToList();
            string reason = Disagreement(index, group.Key, uses);
            if (reason.Length == 0)
            {
                var layer = Create(uses);
                reason = layer.Elements == 0 ? "its weight is empty"
                    : layer.Elements < SmallestWeight ? $"too small: its weight has {layer.Elements} elements"
                    : !(layer.LargestNumber <= LargestNumber) ? $"its weight holds NaN, infinity or numbers beyond 1e15" // NaN is not ≤ anything
                    : "";
                if (reason.Length == 0)
                {
                    layers.Add(layer);
                    continue;
                }
            }
            leftAlone.AddRange(uses.Select(item => Alone(item.Use.Node, item.Weight, Tie(group.Key, item.Kind, uses) ?? reason)));
        }
        return layers;
    }

    /// <summary>Below this, the nodes around a quantized weight take more bytes than it saves.</summary>
    const int SmallestWeight = 128;

    /// <summary>Smaller constants are not worth the nodes that expand them.</summary>
    public const int SmallestConstant = 1024;

    /// <summary>Squares of larger numbers overflow, and nothing is left to gain where numbers are not finite. Masks may hold infinities.</summary>
    const double LargestNumber = 1e15;

    /// <summary>Constants of two and more axes that no layer reads; some rank makes them smaller, so that what an error in them does can be measured.</summary>
    /// <param name="mayChange">Whether what a node reads may be changed.</param>
    static IEnumerable<Layer> Constants(OnnxModel model, GraphIndex index, List<Layer> layers, bool inputsAreConstant, Func<NodeProto, bool> mayChange)
    {
        var taken = layers.SelectMany(layer => layer.Uses).SelectMany(use => use.Absorbed.Prepend(use.Node)).ToHashSet<NodeProto>(ReferenceEqualityComparer.Instance);
        foreach (var tensor in model.Graph.Initializer.Where(tensor => tensor.Dims.Count >= 2 && TensorType.IsReal((TensorProto.Types.DataType)tensor.DataType)))
        {
            var readers = Readers(index, tensor.Name).ToList();
            if (index.IsOutput(tensor.Name) || readers.Count == 0 || readers.Any(reader => taken.Contains(reader) || !mayChange(reader))
                || Constant.Find(index, tensor.Name, inputsAreConstant, out _) is not { } constant)
            {
                continue;
            }
            var node = new NodeProto { OpType = "Constant", Name = tensor.Name };
            var layer = Create([(constant, LayerKind.Constant, new(node, [], tensor.Name, tensor.Name, null, null))]);
            if (layer.Elements >= SmallestConstant && layer.BreakEvenRank >= 1 && layer.LargestNumber <= LargestNumber)
            {
                yield return layer;
            }
        }
    }

    static string Disagreement(GraphIndex index, string root, List<(Constant Weight, LayerKind Kind, LayerUse Use)> uses)
    {
        if (index.IsOutput(root))
        {
            return $"its weight '{root}' is also a graph output";
        }
        var nodes = uses.Select(item => item.Use.Node).ToHashSet<NodeProto>(ReferenceEqualityComparer.Instance);
        var other = Readers(index, root).FirstOrDefault(reader => !nodes.Contains(reader));
        if (other != null)
        {
            return $"its weight '{root}' is also used by {GraphOrder.Describe(other)}";
        }
        if (uses.Count == 1)
        {
            return "";
        }
        var first = uses[0];
        bool agree = uses.All(item => item.Kind == first.Kind
            && item.Weight.Signature == first.Weight.Signature
            && item.Use.Addend == null && item.Use.OutScale == null
            && SameAttributes(item.Use.Node, first.Use.Node));
        return agree ? "" : $"its weight '{root}' is shared by {uses.Count} nodes that apply it differently";
    }

    /// <summary>Why one side of a table that is the weight of a product too, as the head of a language model's often is, is left alone; null where there is no such tie.</summary>
    static string? Tie(string root, LayerKind kind, List<(Constant Weight, LayerKind Kind, LayerUse Use)> uses)
    {
        var other = uses.Find(item => item.Kind == LayerKind.Gather != (kind == LayerKind.Gather)).Use;
        return other == null ? null : $"its weight '{root}' is also used by {GraphOrder.Describe(other.Node)}: the table and the product would each need a copy";
    }

    static bool SameAttributes(NodeProto a, NodeProto b) =>
        a.Attribute.OrderBy(attribute => attribute.Name, StringComparer.Ordinal)
            .SequenceEqual(b.Attribute.OrderBy(attribute => attribute.Name, StringComparer.Ordinal));

    /// <summary>The nodes that end up reading a constant, through the views that <see cref="Constant"/> sees through.</summary>
    static IEnumerable<NodeProto> Readers(GraphIndex index, string value)
    {
        var pending = new Stack<(string Value, NodeProto Reader)>(); // chains of views may be longer than the call stack
        void Push(string read)
        {
            foreach (var reader in index.Readers(read).Reverse())
            {
                pending.Push((read, reader));
            }
        }
        Push(value);
        while (pending.TryPop(out var next))
        {
            if (IsView(next.Reader) && next.Reader.Input[0] == next.Value && !index.IsOutput(next.Reader.Output[0]))
            {
                Push(next.Reader.Output[0]);
            }
            else
            {
                yield return next.Reader;
            }
        }
    }

    static Layer Create(List<(Constant Weight, LayerKind Kind, LayerUse Use)> uses)
    {
        var (weight, kind, use) = uses[0];
        long[] dims = weight.Dims;
        (long rows, long cols) = kind switch
        {
            LayerKind.Constant => (dims[^1], dims[..^1].Aggregate(1L, (product, dim) => product * dim)),
            LayerKind.ConvTranspose => (dims[1], dims[0] * dims[2..].Aggregate(1L, (product, dim) => product * dim)),
            LayerKind.Conv => (dims[0], dims[1..].Aggregate(1L, (product, dim) => product * dim)),
            LayerKind.MatMul or LayerKind.Gather => (dims[1], dims[0]),
            LayerKind.Gemm when !use.TransB => (dims[1], dims[0]),
            _ => (dims[0], dims[1]),
        };
        int groups = kind == LayerKind.Conv ? (int)use.Node.Int("group", 1) : 1;
        return new(Name(use.Node), kind, weight, [.. uses.Select(item => item.Use)], (int)rows, (int)cols, groups);
    }
}
