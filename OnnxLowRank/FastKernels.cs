using OnnxLowRank.Layers;
using OnnxLowRank.Planning;

namespace OnnxLowRank;

/// <summary>Whether ONNX Runtime runs a plan on the kernels it was made for; nobody would notice otherwise, as floats give the same answers.</summary>
static class FastKernels
{
    /// <summary>One line for every kind of product of which fewer run on integers than the plans have.</summary>
    /// <param name="kernels">Operators of the optimized graph, counted by type.</param>
    public static IEnumerable<string> Missing(IReadOnlyCollection<LayerPlan> plans, IReadOnlyDictionary<string, int> kernels)
    {
        int Count(params string[] names) => names.Sum(name => kernels.GetValueOrDefault(name));
        (string Products, int Expected, int Actual)[] kinds =
        [
            ("8-bit convolutions", Expected(plans, isConv: true, isInBlocks: false), Count("QLinearConv")),
            ("8-bit matrix products", Expected(plans, isConv: false, isInBlocks: false), Count("DynamicQuantizeMatMul", "MatMulIntegerToFloat")),
            ("4-bit matrix products in blocks", Expected(plans, isConv: false, isInBlocks: true), Count("MatMulNBits")),
        ];
        return kinds.Where(kind => kind.Actual < kind.Expected)
            .Select(kind => $"ONNX Runtime runs only {kind.Actual} of {kind.Expected} {kind.Products} on integers");
    }

    static int Expected(IEnumerable<LayerPlan> plans, bool isConv, bool isInBlocks) =>
        plans.Where(plan => plan.Layer.Kind == LayerKind.Conv == isConv).Sum(plan => plan.Layer.Uses.Count * plan switch
        {
            // Only a table's second factor is multiplied with; what is taken from a table is no product.
            { Layer.IsTable: true } => plan is { Layer.Kind: LayerKind.Gather } and LayerPlan.Factorize { Format: WeightFormat.Int8 } && !isInBlocks ? 1 : 0,
            { RunsOnIntegers: true } when plan.Block > 0 == isInBlocks => plan is LayerPlan.Factorize factorize ? factorize.Products : 1,
            _ => 0,
        });
}
