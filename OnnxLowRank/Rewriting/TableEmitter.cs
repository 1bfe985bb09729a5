using OnnxLowRank.Factorization;
using OnnxLowRank.Layers;
using OnnxLowRank.Onnx;
using OnnxLowRank.Onnx.Proto;
using OnnxLowRank.Planning;
using OnnxLowRank.Quantization;
using static OnnxLowRank.Onnx.Proto.TensorProto.Types;

namespace OnnxLowRank.Rewriting;

/// <summary>
/// Gather of an embedding table's rows. Only what is looked up is made floats of, so the table stays small in memory too:
/// <code>
/// 8 bits:   Gather(T, ids) → Cast ───────────────────────────────────────────────────────→ Mul(·, Gather(scales, ids))
/// 4 bits:   Gather(P, ids) → BitShifts → Concat of low and high halves → Cast → Cast → Mul(·, Gather(scales, ids))
/// low rank: one of Gather(Downᵀ, ids), 8 bits → MatMul(·, Upᵀ) or <see cref="Int8Product"/> [→ Add(b')]
/// </code>
/// ONNX Runtime's own GatherBlockQuantized does the same in one operator, and takes six times as long for a hundred rows.
/// Other constants get the same nodes without Gather; these depend on constants alone, so ONNX Runtime runs them once, when it
/// loads the model.
/// </summary>
static class TableEmitter
{
    /// <param name="rounded">(rows, columns) of the table in 4 bits, in one block per row, where the plan says so.</param>
    public static void Quantize(Emission emission, LayerPlan.Quantize plan, NBitDense? rounded)
    {
        var layer = plan.Layer;
        var table = rounded != null ? StoredTable.InInt4(emission.Graph, layer.Name, rounded.Weight, Axes(layer))
            : Store(emission, plan, layer.Name, layer.Weight.Open().Span, Axes(layer));
        if (layer.Kind == LayerKind.Constant)
        {
            Compute(emission.Graph, plan, output => table.Expand(layer.Name, output));
            return;
        }
        foreach (var use in layer.Uses)
        {
            Replace(emission, plan, use, table.LookUp(LayerFinder.Name(use.Node), use.Input, use.Output));
        }
    }

    /// <summary>What integers are rescaled to is float32.</summary>
    static void Replace(Emission emission, LayerPlan plan, LayerUse use, IEnumerable<NodeProto> nodes) =>
        emission.ReplaceIn(plan.RunsOnIntegers ? DataType.Float : plan.Reals.Run, plan.Layer, use, nodes, castsInput: false);

    /// <summary>Computes what was an initializer by nodes; where they rescale integers, their result is float32.</summary>
    static void Compute(GraphEditor graph, LayerPlan plan, Func<string, IEnumerable<NodeProto>> nodes)
    {
        var layer = plan.Layer;
        if (layer.Type == DataType.Float || !plan.RunsOnIntegers)
        {
            graph.Compute(layer.Name, nodes(layer.Name));
            return;
        }
        string single = graph.FreshName($"{layer.Name}_single");
        graph.Compute(layer.Name, [.. nodes(single), graph.Cast($"{layer.Name}_border", single, layer.Type, layer.Name)]);
    }

    public static void Factorize(Emission emission, LayerPlan.Factorize plan, Decomposition decomposition)
    {
        var (graph, layer) = (emission.Graph, plan.Layer);
        bool isInt8 = plan.Format == WeightFormat.Int8;
        var factors = Emission.Factors(decomposition, plan.Rank, Emission.WantsBalance(plan));
        var down = Store(emission, plan, $"{layer.Name}_down", MatMulEmitter.Transposed(factors.Down, plan.Rank, layer.In), Axes(layer));
        if (layer.Kind == LayerKind.Gather && isInt8)
        {
            var weight = Int8Product.AddWeight(graph, $"{layer.Name}_up", Int8.PerRow(factors.Up, layer.Out, bits: emission.WeightBits));
            LookUp((name, input, bias, output) => Int8Product.Nodes(graph, emission.Dialect, $"{name}_up", input, weight, bias, output));
            return;
        }
        var up = Store(emission, plan, $"{layer.Name}_up", MatMulEmitter.Transposed(factors.Up, layer.Out, plan.Rank), [plan.Rank]);
        if (layer.Kind == LayerKind.Gather)
        {
            LookUp((name, input, bias, output) => Product(graph, name, input, up.Values, bias, output));
            return;
        }
        string left = graph.FreshName($"{layer.Name}_left"), right = graph.FreshName($"{layer.Name}_right");
        IEnumerable<NodeProto> Multiplied(string output) =>
            [.. down.Expand($"{layer.Name}_down", left), .. up.Expand($"{layer.Name}_up", right), .. Product(graph, layer.Name, left, right, "", output)];
        Compute(graph, plan, Multiplied);

        void LookUp(Func<string, string, string, string, IEnumerable<NodeProto>> product)
        {
            for (int i = 0; i < layer.Uses.Count; i++)
            {
                var use = layer.Uses[i];
                string name = LayerFinder.Name(use.Node), middle = graph.FreshName($"{name}_rank{plan.Rank}");
                double[]? bias = CorrectedBias.Of(decomposition, plan.Rank, i, isFree: isInt8);
                string added = isInt8 ? emission.AddBias(name, bias) : emission.AddRealBias(plan, name, bias);
                Replace(emission, plan, use, [.. down.LookUp($"{name}_down", use.Input, middle), .. product(name, middle, added, use.Output)]);
            }
        }
    }

    /// <summary>The table's axes but the last.</summary>
    static long[] Axes(Layer layer) => layer.Weight.Dims[..^1];

    static StoredTable Store(Emission emission, LayerPlan plan, string name, ReadOnlySpan<float> values, long[] axes) => plan.StoresReals
        ? StoredTable.InFloats(emission, plan.Reals, name, values, axes)
        : StoredTable.InInt8(emission.Graph, name, Int8.PerRow(values, (int)StoredTable.Rows(axes)), axes);

    static IEnumerable<NodeProto> Product(GraphEditor graph, string name, string input, string weight, string bias, string output)
    {
        string product = bias.Length == 0 ? output : graph.FreshName($"{name}_product");
        yield return NodeAttributes.Create("MatMul", graph.FreshName($"{name}_up"), [input, weight], [product]);
        if (bias.Length > 0)
        {
            yield return NodeAttributes.Create("Add", graph.FreshName($"{name}_add"), [product, bias], [output]);
        }
    }
}
