using OnnxLowRank.Planning;
using OnnxLowRank.Rewriting;

namespace OnnxLowRank.Tests.Rewriting;

/// <summary>Convolutions whose kernel becomes columns and rows.</summary>
public class SpatialTests
{
    const double Rounding = 2e-5;

    /// <summary>One more quantized value than in one piece.</summary>
    const double Int8Noise = 0.04;

    static readonly string[] s_names = [.. Bench.ConvsWhere(layer => layer.BreakEvenSpatialRank > 0)];

    public static TheoryData<string> Cases => [.. s_names];

    static Bench Open(string name)
    {
        var (model, samples) = LayerCases.Make(name);
        return new(model, samples);
    }

    static LayerPlan.Factorize Plan(Bench bench, int rank, WeightFormat format = WeightFormat.Float32) => new(bench.Layer, rank, format, IsSpatial: true);

    [Fact]
    public void There_are_enough_cases() => Assert.True(s_names.Length >= 6);

    [Theory, MemberData(nameof(Cases))]
    public void With_all_columns_the_output_is_the_originals_and_fewer_lose_about_what_was_predicted(string name)
    {
        var bench = Open(name);
        var (layer, use) = (bench.Layer, bench.Layer.Uses[0]);
        var original = bench.Run(bench.Model, use.Output)[0];
        double last = double.PositiveInfinity;
        var spatial = bench.Decompose(layer).Spatial!;
        foreach (int rank in new[] { 1, 2, 4, spatial.MaxRank / 2 })
        {
            double lost = bench.Run(bench.Rewrite(Dialect.Ort, _ => Plan(bench, rank)).Model, use.Output)[0].Loss(original);

            Assert.True(lost < last);
            // Positions of the kernel are taken as uncorrelated, and padding is not seen: a prediction within a factor, not an identity.
            Assert.InRange(lost / bench.Decompose(layer).SpatialError(rank), 0.3, 3);
            last = lost;
        }
        var whole = bench.Rewrite(Dialect.Ort, _ => Plan(bench, spatial.MaxRank)).Model;
        ModelRuns.AssertNear(original, bench.Run(whole, use.Output)[0], Rounding);
    }

    [Theory, MemberData(nameof(Cases))]
    public void In_8_bits_the_output_is_nearly_that_in_floats_and_runs_on_integers(string name)
    {
        foreach (var dialect in Enum.GetValues<Dialect>())
        {
            var bench = Open(name);
            string output = bench.Layer.Uses[0].Output;
            var floats = bench.Rewrite(dialect, _ => Plan(bench, 4)).Model;
            var integers = bench.Rewrite(dialect, _ => Plan(bench, 4, WeightFormat.Int8)).Model;
            var stored = bench.Rewrite(dialect, _ => Plan(bench, 4, WeightFormat.Int8) with { WeightOnly = true }).Model;

            ModelRuns.AssertNear(bench.Run(floats, output)[0], bench.Run(integers, output)[0], Int8Noise);
            ModelRuns.AssertNear(bench.Run(floats, output)[0], bench.Run(stored, output)[0], Int8Noise);
            Assert.Equal(2, ModelRuns.Optimized(integers).GetValueOrDefault("QLinearConv"));
        }
    }

    static Bench Strided(string autoPad, long[] pads, long[] strides, long[] dilations)
    {
        var tiny = new TinyModel();
        tiny.Input("x", null, 4, 13, 11);
        (string, object)[] padding = autoPad.Length > 0 ? [("auto_pad", autoPad)] : [("pads", pads)];
        tiny.Node("Conv", ["x", tiny.Weight("w", 6, 4, 3, 5), tiny.Weight("b", 6)], "y", [.. padding, ("strides", strides), ("dilations", dilations)]);
        tiny.Outputs("y");
        return new(tiny.Build(), new([Feed.Random("x", 8, 4, 13, 11)]));
    }

    [Theory]
    [InlineData("", new long[] { 1, 0, 2, 3 }, new long[] { 2, 1 }, new long[] { 1, 2 })]
    [InlineData("", new long[] { 0, 2, 1, 0 }, new long[] { 1, 3 }, new long[] { 2, 1 })]
    [InlineData("SAME_UPPER", new long[0], new long[] { 2, 3 }, new long[] { 1, 1 })]
    [InlineData("SAME_LOWER", new long[0], new long[] { 3, 2 }, new long[] { 1, 1 })]
    [InlineData("VALID", new long[0], new long[] { 1, 2 }, new long[] { 1, 1 })]
    public void Each_axis_has_its_own_strides_pads_and_dilations(string autoPad, long[] pads, long[] strides, long[] dilations)
    {
        var bench = Strided(autoPad, pads, strides, dilations);

        var rewritten = bench.Rewrite(Dialect.Ort, _ => Plan(bench, bench.Decompose(bench.Layer).Spatial!.MaxRank)).Model;

        ModelRuns.AssertNear(bench.Run(bench.Model, "y")[0], bench.Run(rewritten, "y")[0], Rounding);
    }

    [Fact]
    public void Elements_and_multiply_adds_are_those_that_are_written_and_done()
    {
        var bench = Strided("", [1, 2, 1, 2], [1, 2], [1, 1]); // 13×11 → 13×6
        var plan = Plan(bench, 3);

        var rewritten = bench.Rewrite(Dialect.Ort, _ => plan).Model;

        long written = rewritten.Graph.Initializer.Where(tensor => tensor.Dims.Count > 1).Sum(tensor => tensor.Dims.Aggregate(1L, (product, dim) => product * dim));
        Assert.Equal(((3 * 4 * 3) + (6 * 3 * 5), (long)(3 * 4 * 3) + (6 * 3 * 5)), (written, plan.Elements));
        var products = Product.Of(plan, new(13 * 11, 13 * 6)).ToList();
        Assert.Equal([13 * 12 * (3 * 4 * 3), 13 * 6 * (6 * 3 * 5)], products.Select(product => product.Macs)); // 11 columns, told as twice 6
        Assert.Equal(("spatial", 2, false), (plan.Scheme, plan.Products, plan.HasUp));
    }

    [Fact]
    public void Spans_between_columns_and_rows_are_measured()
    {
        var bench = Strided("", [1, 2, 1, 2], [2, 1], [1, 1]);
        var calibrator = new OnnxLowRank.Calibration.Calibrator(bench.Model, bench.Found.Layers, OnnxLowRank.Runtime.Device.Cpu, threads: 1);
        var samples = new MemorySamples([Feed.Random("x", 8, 4, 13, 11)]);
        var range = calibrator.InnerRanges(new OnnxLowRank.Calibration.Sampling(samples, 4, CancellationToken.None), samples.All, bench.Shapes, [bench.Decompose(bench.Layer)]).Columns[bench.Layer];

        float[][] between = bench.Run(bench.Rewrite(Dialect.Ort, _ => Plan(bench, 3)).Model, "y_node_column3")[0].Vectors(1);

        for (int k = 0; k < 3; k++)
        {
            double min = between.Min(vector => vector[k]), max = between.Max(vector => vector[k]);
            Assert.Equal(Math.Min(0, min), range.Min[k], 1e-4 * (max - min));
            Assert.Equal(Math.Max(0, max), range.Max[k], 1e-4 * (max - min));
        }
    }
}
