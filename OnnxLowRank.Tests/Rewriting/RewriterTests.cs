using OnnxLowRank.Layers;

namespace OnnxLowRank.Tests.Rewriting;

/// <summary>Every kind of layer, rewritten and run: the new model computes what the algebra says.</summary>
public class RewriterTests
{
    /// <summary>Sums of some hundred floats in another order; a wrong bias, factor or axis errs by more than a tenth.</summary>
    const double Rounding = 2e-5;

    /// <summary>The oldest and newest opset, and those around changes of Gemm, BatchNormalization, quantization and reductions.</summary>
    static readonly int[] s_opsets = [7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24];

    public static TheoryData<string> Cases => [.. LayerCases.Names];

    public static TheoryData<string> CasesWithoutAddend => [.. LayerCases.WithoutAddend];

    public static TheoryData<string, int> CasesPerOpset => [.. (
        from name in new[] { "MatMul then Add", "Gemm transB with alpha and beta", "Conv then Relu and MaxPool", "Conv with groups then BatchNormalization" }
        from opset in s_opsets
        select (name, opset))];

    [Theory, MemberData(nameof(Cases))]
    public void At_full_rank_the_outputs_are_the_originals(string name)
    {
        var (model, samples) = LayerCases.Make(name);
        var bench = new Bench(model, samples);
        string output = model.Graph.Output[0].Name;

        var rewritten = bench.Factorize(Bench.FullRank).Model;

        ModelRuns.AssertNear(bench.Run(model, output)[0], bench.Run(rewritten, output)[0], Rounding);
    }

    [Theory, MemberData(nameof(CasesWithoutAddend))]
    public void At_a_low_rank_the_output_is_projected_and_its_mean_is_kept(string name) => AssertProjected(name, opset: 17);

    [Theory, MemberData(nameof(CasesPerOpset))]
    public void Every_opset_gives_the_same_output(string name, int opset) => AssertProjected(name, opset);

    static void AssertProjected(string name, int opset)
    {
        var (model, samples) = LayerCases.Make(name, opset);
        var bench = new Bench(model, samples);
        var use = Assert.Single(bench.Layer.Uses);
        int rank = Bench.LowRank(bench.Layer);

        var rewritten = bench.Factorize(Bench.LowRank).Model;

        var original = bench.Run(model, use.Output)[0];
        var expected = bench.Projected(bench.Layer, original, ChannelAxis(bench.Layer, original.Shape.Length), rank);
        Assert.True(ModelRuns.Distance(original.Values, expected.Values) > 0.1, "the rank is so high that nothing is tested");
        if (bench.Layer.Kind is LayerKind.MatMul or LayerKind.LeftMatMul && use.Bias == null)
        {
            // A correction that is worth less than an Add is left out.
            Assert.True(ModelRuns.Distance(expected.Values, bench.Run(rewritten, use.Output)[0].Values) < 0.05);
            return;
        }
        ModelRuns.AssertNear(expected, bench.Run(rewritten, use.Output)[0], Rounding);
    }

    static int ChannelAxis(Layer layer, int rank) => layer.Kind switch
    {
        LayerKind.Conv => 1,
        LayerKind.LeftMatMul => rank - 2,
        _ => rank - 1,
    };
}
