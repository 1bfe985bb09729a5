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
        from name in new[] { "MatMul then Add", "Gemm transB with alpha and beta", "Conv then Relu and MaxPool", "Conv with groups then BatchNormalization", "Gather" }
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
        bool isCorrected = bench.Layer.Kind != LayerKind.LeftMatMul || use.Bias != null;
        var expected = bench.Projected(bench.Layer, original, ChannelAxis(bench.Layer, original.Shape.Length), rank, isCorrected);
        Assert.True(ModelRuns.Distance(original.Values, expected.Values) > 0.1, "the rank is so high that nothing is tested");
        ModelRuns.AssertNear(expected, bench.Run(rewritten, use.Output)[0], Rounding);
    }

    /// <summary>C is no bias there, so nothing is corrected: P·(y − β·C) + β·C.</summary>
    [Theory]
    [InlineData("Gemm transA, addend (N, 1)", 2)]
    [InlineData("Gemm transA, addend (N, m)", 2)]
    [InlineData("Gemm, addend that is computed", 3)]
    public void A_Gemm_keeps_an_addend_that_is_no_bias(string name, float beta)
    {
        var (model, samples) = LayerCases.Make(name);
        var bench = new Bench(model, samples, new(Only: new("^y_node$")));
        var runs = bench.Run(model, "y", "c");
        float[] addend = [.. Enumerable.Range(0, runs[0].Values.Length).Select(i => beta * At(runs[1], i, runs[0]))];

        var rewritten = bench.Factorize(Bench.LowRank).Model;

        var product = runs[0] with { Values = [.. runs[0].Values.Zip(addend, (y, c) => y - c)] };
        float[] kept = bench.Projected(bench.Layer, product, axis: 1, Bench.LowRank(bench.Layer), isCorrected: false).Values;
        Assert.True(ModelRuns.Distance(product.Values, kept) > 0.1, "the rank is so high that nothing is tested");
        ModelRuns.AssertNear(runs[0] with { Values = [.. kept.Zip(addend, (y, c) => y + c)] }, bench.Run(rewritten, "y")[0], Rounding);
    }

    /// <summary>Element i of y's runs in C, which has y's rows and y's columns or one.</summary>
    static float At(Seen c, int i, Seen y)
    {
        int cols = (int)y.Shape[1], width = (int)c.Shape[1], row = i / cols;
        return c.Values[(row * width + i % cols % width) % c.Values.Length];
    }

    static int ChannelAxis(Layer layer, int rank) => layer.Kind switch
    {
        LayerKind.Conv or LayerKind.ConvTranspose => 1,
        LayerKind.LeftMatMul => Math.Max(0, rank - 2),
        _ => rank - 1,
    };
}
