using OnnxLowRank.Factorization;
using OnnxLowRank.Numerics;
using OnnxLowRank.Planning;
using OnnxLowRank.Quantization;
using OnnxLowRank.Rewriting;

namespace OnnxLowRank.Tests.Rewriting;

/// <summary>Weights stored in few bits whose layers run in floats.</summary>
public class WeightOnlyTests
{
    /// <summary>Of an 8-bit weight alone: a step is max/127, so about 0.3 % of Gaussian numbers; a scale of another channel errs by 10 % and more.</summary>
    const double Noise = 0.012;

    /// <summary>Of sums in single precision.</summary>
    const double Rounding = 2e-5;

    public static TheoryData<string, Dialect> Cases => [.. (
        from name in LayerCases.Names from dialect in Enum.GetValues<Dialect>() select (name, dialect))];

    static Bench Open(string name, int opset = 17)
    {
        var (model, samples) = LayerCases.Make(name, opset);
        return new(model, samples);
    }

    [Theory, MemberData(nameof(Cases))]
    public void Weights_in_8_bits_give_nearly_the_output_of_those_in_floats(string name, Dialect dialect)
    {
        var bench = Open(name);
        string output = bench.Layer.Uses[0].Output;
        int rank = Bench.LowRank(bench.Layer);

        var dense = bench.Rewrite(dialect, layer => new LayerPlan.Quantize(layer, WeightFormat.Int8, WeightOnly: true)).Model;
        var pair = bench.Rewrite(dialect, layer => new LayerPlan.Factorize(layer, rank, WeightFormat.Int8, WeightOnly: true)).Model;

        ModelRuns.AssertNear(bench.Run(bench.Model, output)[0], bench.Run(dense, output)[0], Noise);
        ModelRuns.AssertNear(bench.Run(bench.Factorize(Bench.LowRank).Model, output)[0], bench.Run(pair, output)[0], 2 * Noise);
    }

    public static TheoryData<string> Products => [.. LayerCases.NamesWith("MatMul").Concat(LayerCases.NamesWith("Gemm")).Intersect(LayerCases.WithoutAddend)];

    /// <summary>y is x·Qᵀ + b with the Q that was stored: nothing is packed in the wrong order, and no activation is rounded.</summary>
    [Theory, MemberData(nameof(Products))]
    public void Weights_in_few_bits_compute_what_was_stored(string name)
    {
        var bench = Open(name);
        var (use, int4) = (bench.Layer.Uses[0], bench.InFewBits(bench.Layer));
        int rank = Bench.LowRank(bench.Layer);
        var (dense, pair) = (int4.Dense(new NBitGrid(4)), int4.Pair(rank, new NBitGrid(4)));
        var (inThree, pairInFive) = (int4.Dense(new NBitGrid(3)), int4.Pair(rank, new NBitGrid(5)));
        Matrix Product(NBitPair pair) => LinearAlgebra.Create(1).Multiply(pair.Up.Dequantize(), pair.Down.Dequantize());
        foreach (var (plan, stored, gains) in new (LayerPlan, Matrix, double[]?)[]
        {
            (new LayerPlan.Quantize(bench.Layer, WeightFormat.Int4, WeightOnly: true), dense.Weight.Dequantize(), dense.Gains[0]),
            (new LayerPlan.Factorize(bench.Layer, rank, WeightFormat.Int4, WeightOnly: true), Product(pair), pair.Gains[0]),
            (new LayerPlan.Quantize(bench.Layer, WeightFormat.Int3, WeightOnly: true), inThree.Weight.Dequantize(), inThree.Gains[0]),
            (new LayerPlan.Factorize(bench.Layer, rank, WeightFormat.Int5, WeightOnly: true), Product(pairInFive), pairInFive.Gains[0]),
        })
        {
            var input = bench.Run(bench.Model, use.Input)[0];
            var vectors = input.Vectors(use.TransA ? 0 : input.Shape.Length - 1);
            float[] expected = [.. vectors.SelectMany(x => Enumerable.Range(0, stored.Rows).Select(o =>
                (float)((use.Bias?[o] ?? 0) + gains![o] + Enumerable.Range(0, stored.Cols).Sum(i => stored[o, i] * x[i]))))];

            var actual = bench.Run(bench.Rewrite(Dialect.Ort, _ => plan).Model, use.Output)[0];

            ModelRuns.AssertNear(actual with { Values = expected }, actual, Rounding);
        }
    }

    public static TheoryData<string> Convs => [.. LayerCases.NamesWith("Conv")];

    /// <summary>As in the integer Conv of the same weight, up to the rounding of its activations.</summary>
    [Theory, MemberData(nameof(Convs))]
    public void A_Conv_in_4_bits_computes_what_the_integer_one_does(string name)
    {
        var bench = Open(name);
        string output = bench.Layer.Uses[0].Output;
        int rank = Bench.LowRank(bench.Layer);
        foreach (bool isDense in new[] { true, false })
        {
            LayerPlan Plan(bool weightOnly) => isDense
                ? new LayerPlan.Quantize(bench.Layer, WeightFormat.Int4, WeightOnly: weightOnly)
                : new LayerPlan.Factorize(bench.Layer, rank, WeightFormat.Int4, WeightOnly: weightOnly);
            ModelRuns.AssertNear(
                bench.Run(bench.Rewrite(Dialect.Ort, _ => Plan(false)).Model, output)[0], bench.Run(bench.Rewrite(Dialect.Ort, _ => Plan(true)).Model, output)[0], 0.03);
        }
    }

    [Fact]
    public void A_Conv_may_combine_input_channels()
    {
        var bench = Open("Conv with bias and pads");
        string output = bench.Layer.Uses[0].Output;
        LayerPlan Plan(WeightFormat format, bool weightOnly) => new LayerPlan.Factorize(bench.Layer, bench.Layer.Out / 2, format, InputRank: 2, WeightOnly: weightOnly);

        ModelRuns.AssertNear(
            bench.Run(bench.Rewrite(Dialect.Ort, _ => Plan(WeightFormat.Float32, false)).Model, output)[0],
            bench.Run(bench.Rewrite(Dialect.Ort, _ => Plan(WeightFormat.Int8, true)).Model, output)[0], 3 * Noise);
    }

    public static TheoryData<string, int, WeightFormat> Opsets => new()
    {
        { "MatMul then Add", 7, WeightFormat.Int8 },
        { "Gemm transB with alpha and beta", 7, WeightFormat.Int8 },
        { "Conv with bias and pads", 7, WeightFormat.Int8 },
        { "MatMul of rank 3", 11, WeightFormat.Int4 },
        { "Conv with bias and pads", 17, WeightFormat.Int4 },
        { "Gemm", 21, WeightFormat.Int4 },
    };

    /// <summary>What runs is what would run of the same plan in floats.</summary>
    [Theory, MemberData(nameof(Opsets))]
    public void Floats_are_made_of_weights_when_the_model_is_loaded(string name, int opset, WeightFormat format)
    {
        var bench = Open(name, opset);
        int rank = Bench.LowRank(bench.Layer);
        // Weights rounded to 4 bits may come with a bias, which is an operator behind a MatMul.
        Dictionary<string, int> Kernels(LayerPlan plan) =>
            ModelRuns.Optimized(bench.Rewrite(Dialect.Ort, _ => plan).Model).Where(item => item.Key != "Add").ToDictionary();

        Assert.Equal(Kernels(new LayerPlan.Keep(bench.Layer)), Kernels(new LayerPlan.Quantize(bench.Layer, format, WeightOnly: true)));
        Assert.Equal(Kernels(new LayerPlan.Factorize(bench.Layer, rank, WeightFormat.Float32)), Kernels(new LayerPlan.Factorize(bench.Layer, rank, format, WeightOnly: true)));
    }
}
