using OnnxLowRank.Factorization;
using OnnxLowRank.Layers;
using OnnxLowRank.Numerics;
using OnnxLowRank.Planning;
using OnnxLowRank.Quantization;
using OnnxLowRank.Rewriting;
using static OnnxLowRank.Tests.Numerics.DenseMath;

namespace OnnxLowRank.Tests.Rewriting;

/// <summary>Dense weights in 4 bits with a low-rank part beside them: ONNX Runtime adds them up when it loads the model.</summary>
public class CorrectionTests
{
    const int In = 64, Out = 97; // an odd number of outputs leaves a row without a partner in its byte

    static readonly ILinearAlgebra s_algebra = LinearAlgebra.Create(1);

    /// <summary>Of sums in single precision.</summary>
    const double Rounding = 2e-5;

    /// <summary>What quantizing activations to 8 bits does; without its correction the weight errs by three times as much.</summary>
    const double Noise = 0.03;

    static Bench Open(string form, int opset = 17)
    {
        var tiny = new TinyModel(opset);
        tiny.Input("x", null, In);
        switch (form)
        {
            case "MatMul":
                tiny.Node("MatMul", ["x", tiny.Weight("w", In, Out)], "y");
                break;
            case "MatMul then Add":
                tiny.Node("Add", [tiny.Node("MatMul", ["x", tiny.Weight("w", In, Out)], "product"), tiny.Weight("b", Out)], "y");
                break;
            case "Gemm":
                tiny.Node("Gemm", ["x", tiny.Weight("w", In, Out), tiny.Weight("b", Out)], "y", ("alpha", 0.25f));
                break;
            case "Gemm transB":
                tiny.Node("Gemm", ["x", tiny.Weight("w", Out, In), tiny.Weight("b", Out)], "y", ("transB", 1));
                break;
        }
        tiny.Node("Tanh", ["y"], "out");
        tiny.Outputs("out");
        return new(tiny.Build(), new([Feed.Random("x", 256, In)]));
    }

    /// <summary>Q + Up·Down (out, in).</summary>
    static Matrix Sum(NBitDense stored) => Matrix.Sum([stored.Weight.Dequantize(), Times(stored.Correction!.Up.Dequantize(), Correction.DownOf(stored.Correction.Down, stored.Correction.Rank))]);

    /// <summary>x·Wᵀ + b, with the bias that the plan gives.</summary>
    static Seen Expected(Bench bench, Matrix weight, double[] gains)
    {
        var use = bench.Layer.Uses[0];
        var original = bench.Run(bench.Model, use.Output)[0];
        return original with
        {
            Values = [.. bench.Run(bench.Model, use.Input)[0].Vectors(1).SelectMany(x => Enumerable.Range(0, weight.Rows).Select(o =>
                (float)((use.Bias?[o] ?? 0) + gains[o] + Enumerable.Range(0, weight.Cols).Sum(i => weight[o, i] * x[i]))))],
        };
    }

    public static TheoryData<string, int> Forms => [.. (
        from form in new[] { "MatMul", "MatMul then Add", "Gemm", "Gemm transB" } from rank in new[] { 8, 16 } select (form, rank))];

    [Theory, MemberData(nameof(Forms))]
    public void What_is_run_in_floats_is_the_sum_of_what_was_stored(string form, int rank)
    {
        var bench = Open(form);
        var stored = bench.InFewBits(bench.Layer).Corrected(rank);

        var rewritten = bench.Rewrite(Dialect.Ort, layer => new LayerPlan.Quantize(layer, WeightFormat.Int4, WeightOnly: true, Correction: rank)).Model;

        ModelRuns.AssertNear(Expected(bench, Sum(stored), stored.Gains[0]!), bench.Run(rewritten, bench.Layer.Uses[0].Output)[0], Rounding);
    }

    [Theory, MemberData(nameof(Forms))]
    public void What_is_run_on_integers_is_the_sum_rounded_to_8_bits(string form, int rank)
    {
        var bench = Open(form);
        var stored = bench.InFewBits(bench.Layer).Corrected(rank);
        var sum = Sum(stored);
        var rounded = Int8.PerRow(Array.ConvertAll(sum.Data, value => (float)value), sum.Rows).Dequantize();
        foreach (var dialect in Enum.GetValues<Dialect>())
        {
            var rewritten = bench.Rewrite(dialect, layer => new LayerPlan.Quantize(layer, WeightFormat.Int4, Correction: rank)).Model;

            ModelRuns.AssertNear(Expected(bench, rounded, stored.Gains[0]!), bench.Run(rewritten, bench.Layer.Uses[0].Output)[0], Noise);
        }
    }

    [Theory]
    [InlineData("MatMul then Add", 11)]
    [InlineData("Gemm transB", 13)]
    [InlineData("Gemm", 21)]
    public void What_runs_is_what_runs_of_a_dense_weight(string form, int opset)
    {
        var bench = Open(form, opset);
        IReadOnlyDictionary<string, int> Kernels(LayerPlan plan, Dialect dialect) => ModelRuns.Optimized(bench.Rewrite(dialect, _ => plan).Model);
        foreach (var dialect in Enum.GetValues<Dialect>())
        {
            foreach (bool weightOnly in new[] { false, true })
            {
                var plan = new LayerPlan.Quantize(bench.Layer, WeightFormat.Int4, WeightOnly: weightOnly, Correction: 8);

                Assert.Equal(Kernels(plan.AsRun, dialect), Kernels(plan, dialect));
            }
        }
    }

    [Fact]
    public void It_takes_the_time_of_a_dense_weight()
    {
        var bench = Open("MatMul");
        string Key(LayerPlan plan) => bench.Timer().Key(plan.AsRun, use: 0);

        Assert.Equal(Key(new LayerPlan.Quantize(bench.Layer, WeightFormat.Int8)), Key(new LayerPlan.Quantize(bench.Layer, WeightFormat.Int4, Correction: 8)));
        Assert.Equal(Key(new LayerPlan.Keep(bench.Layer)), Key(new LayerPlan.Quantize(bench.Layer, WeightFormat.Int4, WeightOnly: true, Correction: 8)));
    }

    [Fact]
    public void With_weights_of_7_bits_no_integer_is_larger_than_those_allow()
    {
        var bench = Open("MatMul");
        var stored = bench.InFewBits(bench.Layer).Corrected(8);

        var rewritten = bench.Rewrite(Dialect.Ort, layer => new LayerPlan.Quantize(layer, WeightFormat.Int4, Correction: 8), Int8.UnsaturatedBits).Model;

        string integers = rewritten.Graph.Node.Single(node => node.OpType == "DynamicQuantizeMatMul").Input[1];
        var node = rewritten.Graph.Node.Single(node => node.Output[0] == integers);
        Assert.Equal(64, bench.Run(rewritten, node.Input[0])[0].Values.Max(Math.Abs));
        ModelRuns.AssertNear(Expected(bench, Sum(stored), stored.Gains[0]!), bench.Run(rewritten, "y")[0], Noise);
    }

    [Theory]
    [InlineData("MatMul then Add")]
    [InlineData("Gemm transB")]
    public void Planned_bytes_are_about_those_that_the_file_gains(string form)
    {
        var bench = Open(form);
        int rest = bench.Model.ToBytes().Length - (int)bench.Layer.Bytes;
        var corrected = Candidates.Of(
            bench.Layer, bench.Decompose(bench.Layer), bench.InFewBits(bench.Layer), new ShapeCostModel(new Dictionary<Layer, Positions> { [bench.Layer] = new(1, 1) }),
            new(Scale: 1, Exponent: 1), _ => true, new([WeightFormat.Int4], [WeightFormat.Int4], Factorizes: true, [0, 32]))
            .Where(candidate => candidate.Plan is LayerPlan.Quantize { Correction: > 0 }).ToList();

        Assert.Equal([8, 16, 8, 16], corrected.Select(candidate => ((LayerPlan.Quantize)candidate.Plan).Correction));
        foreach (var candidate in corrected)
        {
            var rewritten = bench.Rewrite(Dialect.Ort, _ => candidate.Plan).Model;

            Assert.InRange(rewritten.ToBytes().Length - rest - candidate.Bytes, -250, 250); // Up and Down of rank 8 take 1,288
        }
    }
}
