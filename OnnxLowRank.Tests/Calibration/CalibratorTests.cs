using OnnxLowRank.Calibration;
using OnnxLowRank.Layers;
using OnnxLowRank.Numerics;
using OnnxLowRank.Runtime;
using OnnxLowRank.Tests.Rewriting;

namespace OnnxLowRank.Tests.Calibration;

/// <summary>What ONNX Runtime sums inside the graph is what a loop over the activations sums.</summary>
public class CalibratorTests
{
    /// <summary>Sums of floats in ONNX Runtime against sums of doubles here; a wrong axis or group errs by about 1.</summary>
    const double Rounding = 1e-5;

    public static TheoryData<string> Cases => [.. LayerCases.Names];

    [Theory, MemberData(nameof(Cases))]
    public void Moments_are_those_of_the_layers_vectors(string name)
    {
        var (model, samples) = LayerCases.Make(name);
        var bench = new Bench(model, samples, new(Only: new("^y_node$")));
        var layer = bench.Layer;
        var use = layer.Uses[0];
        bool isAtInput = Tap.IsAtInput(layer);
        var seen = bench.Run(model, isAtInput ? use.Input : use.Output)[0];
        int rank = seen.Shape.Length;
        int axis = layer.Kind switch
        {
            LayerKind.Conv or LayerKind.ConvTranspose => 1,
            LayerKind.LeftMatMul => Math.Max(0, rank - 2),
            _ when use.TransA && isAtInput => 0,
            _ => rank - 1,
        };

        var moments = bench.Measured.Moments[layer][0];

        AssertMoments(seen.Vectors(axis), isAtInput ? 1 : layer.Groups, moments);
    }

    /// <summary>One sample in four is enough where each has many positions, however samples are ordered; ranges and what has few positions are of all samples.</summary>
    [Theory]
    [InlineData(null)]
    [InlineData(8)]
    public void Values_with_many_positions_are_measured_on_one_sample_in_four(int? fixedBatch)
    {
        const int Samples = 256, Channels = 8, Outputs = 8, Features = 16, Quarter = Samples / 4;
        var tiny = new TinyModel();
        tiny.Input("x", null, Channels, 10, 10);
        tiny.Node("Conv", ["x", tiny.Weight("w", Outputs, Channels, 3, 3)], "c");
        tiny.Node("MaxPool", ["c"], "p", ("kernel_shape", new long[] { 4, 4 }), ("strides", new long[] { 4, 4 }));
        tiny.Node("Flatten", ["p"], "f");
        tiny.Node("Gemm", ["f", tiny.Weight("v", Outputs * 4, Features)], "y");
        tiny.Outputs("y");
        var model = tiny.Build();
        var feed = Feed.Random("x", Samples, Channels, 10, 10);
        const float Largest = 1000;
        feed.Values[^1] = Largest; // of a sample that is not among the fourth ones
        var samples = new MemorySamples([feed], fixedBatch: fixedBatch);
        var sampling = new Sampling(samples, batch: 8, CancellationToken.None);
        var layers = LayerFinder.Find(model, new()).Layers;
        var (conv, gemm) = (layers.Single(layer => layer.Kind == LayerKind.Conv), layers.Single(layer => layer.Kind == LayerKind.Gemm));
        var calibrator = new Calibrator(model, layers, Device.Cpu, threads: 1);
        var few = new MemorySamples([new("x", [.. Enumerable.Range(0, Quarter).SelectMany(i => feed.Values.Skip(4 * i * feed.Size).Take(feed.Size))], feed.Shape)]);

        var measured = calibrator.Collect(sampling, samples.All, calibrator.Shapes(sampling), withRanges: true);

        Assert.Equal(1, sampling.Passes);
        AssertMoments(ModelRuns.Run(model, few, "c")[0].Vectors(1), 1, measured.Moments[conv][0]);
        Assert.Equal(Quarter * 64, measured.Moments[conv][0].Count);
        Assert.Equal(Samples, measured.Moments[gemm][0].Count);
        Assert.InRange(255 * measured.Grids["x"].Scale, Largest, Largest * 1.01);
    }

    public static TheoryData<string> CasesWithInputs => [.. LayerCases.Names.Where(name => !name.StartsWith("Gather", StringComparison.Ordinal) && !name.StartsWith("Deconv", StringComparison.Ordinal))];

    /// <summary>What is known of a layer's inputs tells what it answers: E[(y − b)·(y − b)ᵀ] = W·E[x·xᵀ]·Wᵀ, x being a Conv's patches.</summary>
    [Theory, MemberData(nameof(CasesWithInputs))]
    public void Moments_of_inputs_tell_those_of_outputs(string name)
    {
        var (model, samples) = LayerCases.Make(name);
        var layer = LayerFinder.Find(model, new(Only: new("^y_node$"))).Layers.Single(layer => !layer.IsTable);
        var use = layer.Uses[0];
        var sampling = new Sampling(samples, batch: 7, CancellationToken.None);
        var calibrator = new Calibrator(model, [layer], Device.Cpu, threads: 1);
        var shapes = calibrator.Shapes(sampling);
        var seen = ModelRuns.Run(model, samples, use.Output)[0];
        float[][] outputs = seen.Vectors(Tap.AtOutput(layer, use, shapes).Axis);
        if (use.Addend != null)
        {
            return; // what is added is no constant to take off again
        }

        var moments = Assert.Single(calibrator.CollectInputs(layer, sampling, samples.All, shapes));

        Assert.Equal(outputs.Length, moments.Count);
        var algebra = LinearAlgebra.Create(1);
        for (int g = 0; g < layer.Groups; g++)
        {
            var part = layer.GroupOf(layer.ReadWeight(), g);
            var actual = algebra.Multiply(algebra.Multiply(part, moments.Second(g, centred: false)), part, transposeRight: true);
            var expected = new double[part.Rows * part.Rows];
            for (int i = 0; i < expected.Length; i++)
            {
                int a = g * part.Rows + i / part.Rows, b = g * part.Rows + i % part.Rows;
                expected[i] = outputs.Average(y => (y[a] - (use.Bias?[a] ?? 0)) * (y[b] - (use.Bias?[b] ?? 0)));
            }
            Near(expected, actual.Data);
        }
    }

    static void AssertMoments(float[][] vectors, int groups, Moments moments)
    {
        int size = vectors[0].Length / groups;
        Assert.Equal((vectors.Length, size), (moments.Count, moments.Size));
        double[] mean = [.. Enumerable.Range(0, vectors[0].Length).Select(i => vectors.Average(vector => (double)vector[i]))];
        Near(mean, moments.Mean());
        for (int g = 0; g < groups; g++)
        {
            var second = new double[size * size];
            var centred = new double[size * size];
            for (int i = 0; i < size * size; i++)
            {
                (int a, int b) = (g * size + i / size, g * size + i % size);
                second[i] = vectors.Average(vector => (double)vector[a] * vector[b]);
                centred[i] = second[i] - mean[a] * mean[b];
            }
            Near(second, moments.Second(g, centred: false).Data);
            Near(centred, moments.Second(g, centred: true).Data);
        }
    }

    /// <summary>Single precision has seven digits, of which a mean 3,000 times as large as the deviation leaves nothing of a square.</summary>
    [Theory]
    [InlineData("MatMul")]
    [InlineData("Conv")]
    [InlineData("long Conv")]
    public void A_small_variance_beside_a_large_mean_is_seen(string kind)
    {
        const double Mean = 3000;
        var tiny = new TinyModel();
        long[] shape = kind == "MatMul" ? [8] : kind == "Conv" ? [8, 2, 2] : [8, 5, 5];
        tiny.Input("x", [null, .. shape.Select(dim => (long?)dim)]);
        tiny.Node("Add", ["x", tiny.Floats("shift", [(float)Mean])], "shifted");
        if (kind == "MatMul")
        {
            tiny.Node("MatMul", ["shifted", tiny.Weight("w", 8, 20)], "y");
        }
        else
        {
            tiny.Node("Conv", ["shifted", tiny.Weight("w", 20, 8, 2, 2)], "y");
        }
        tiny.Outputs("y");
        var samples = new MemorySamples([Feed.Random("x", 64, shape)]);
        var bench = new Bench(tiny.Build(), samples);
        float[][] vectors = bench.Run(bench.Model, "x")[0].Vectors(1);

        var moments = kind == "MatMul" ? bench.Measured.Moments[bench.Layer][0] : bench.Measured.InputMoments[bench.Layer][0];
        var actual = moments.Second(0, centred: true);

        double[] mean = [.. Enumerable.Range(0, 8).Select(i => vectors.Average(vector => (double)vector[i]))];
        for (int i = 0; i < 8; i++)
        {
            for (int j = 0; j < 8; j++)
            {
                // What is left is the rounding of x + 3000 itself.
                Assert.Equal(vectors.Average(vector => (vector[i] - mean[i]) * (vector[j] - mean[j])), actual[i, j], 1e-3);
            }
        }
    }

    static void Near(double[] expected, double[] actual)
    {
        double scale = expected.Max(Math.Abs);
        Assert.All(expected.Zip(actual), pair => Assert.Equal(pair.First, pair.Second, Rounding * scale));
    }

    [Theory]
    [InlineData("MatMul of rank 3")]
    [InlineData("Conv with groups")]
    public void How_samples_are_batched_does_not_matter(string name)
    {
        var (model, samples) = LayerCases.Make(name);

        var at64 = new Bench(model, samples, batch: 64);
        var at7 = new Bench(model, samples, batch: 7);

        Assert.Equal(at64.Measured.Moments[at64.Layer][0].Count, at7.Measured.Moments[at7.Layer][0].Count);
        Near(at64.Measured.Moments[at64.Layer][0].Second(0, true).Data, at7.Measured.Moments[at7.Layer][0].Second(0, true).Data);
        Assert.Equal(at64.Measured.Grids, at7.Measured.Grids);
    }

    [Fact]
    public void Padding_of_a_fixed_batch_is_not_counted()
    {
        // 64 samples in runs of 20: the last four would be repeated sixteen times.
        var (model, _) = LayerCases.Make("MatMul");
        var feed = Feed.Random("x", 64, 24);
        var first60 = new Feed("x", feed.Values[..(60 * 24)], 24);

        var padded = new Bench(model, new([feed], fixedBatch: 20));
        var whole = new Bench(model, new([first60]));

        Assert.Equal(60, padded.Measured.Moments[padded.Layer][0].Count);
        Near(whole.Measured.Moments[whole.Layer][0].Mean(), padded.Measured.Moments[padded.Layer][0].Mean());
    }

    [Fact]
    public void A_single_incomplete_batch_is_better_than_nothing()
    {
        var (model, _) = LayerCases.Make("MatMul");

        var bench = new Bench(model, new([Feed.Random("x", 6, 24)], fixedBatch: 20));

        Assert.Equal(20, bench.Measured.Moments[bench.Layer][0].Count);
    }

    [Fact]
    public void Two_uses_of_a_weight_are_measured_apart()
    {
        var model = new TinyModel();
        model.Input("x", null, 24);
        model.Node("MatMul", ["x", model.Weight("w", 24, 24)], "y1");
        model.Node("Relu", ["y1"], "r");
        model.Node("MatMul", ["r", "w"], "y2");
        model.Outputs("y2");
        var bench = new Bench(model.Build(), new([Feed.Random("x", 64, 24)]));

        var seen = bench.Run(bench.Model, "x", "r");

        AssertMoments(seen[0].Vectors(1), 1, bench.Measured.Moments[bench.Layer][0]);
        AssertMoments(seen[1].Vectors(1), 1, bench.Measured.Moments[bench.Layer][1]);
    }

    [Fact]
    public void Ranges_cover_what_enters_and_leaves_a_convolution()
    {
        var (model, samples) = LayerCases.Make("Conv then Relu");
        var bench = new Bench(model, samples);
        var seen = bench.Run(model, "x", "r");

        Assert.Equal(["r", "x"], bench.Measured.Grids.Keys.Order(StringComparer.Ordinal));
        foreach (var (name, values) in new[] { ("x", seen[0].Values), ("r", seen[1].Values) })
        {
            var grid = bench.Measured.Grids[name];
            Assert.Equal((Math.Max(0, values.Max()) - Math.Min(0, values.Min())) / 255, grid.Scale, 1e-6);
            Assert.Equal(Math.Min(0, values.Min()), -grid.Scale * grid.ZeroPoint, grid.Scale / 2 + 1e-6);
        }
    }

    [Theory]
    [InlineData("MatMul")]
    [InlineData("MatMul of rank 4")]
    [InlineData("Gemm transA")]
    public void The_spread_is_that_of_the_input_s_rows(string name)
    {
        var (model, samples) = LayerCases.Make(name);
        var bench = new Bench(model, samples);
        var seen = bench.Run(model, "x")[0];
        float[] maxima = [.. seen.Vectors(bench.Layer.Uses[0].TransA ? 0 : seen.Shape.Length - 1).Select(row => row.Max(MathF.Abs)).Order()];

        double exact = maxima[^1] / maxima[(maxima.Length - 1) / 2];

        Assert.InRange(bench.Measured.Spreads[bench.Layer], exact, 1.032 * exact);
    }

    [Fact]
    public void Convolutions_have_ranges_instead_of_a_spread()
    {
        var (model, samples) = LayerCases.Make("Conv");

        Assert.Empty(new Bench(model, samples).Measured.Spreads);
    }

    [Theory]
    [InlineData("Conv with bias then BatchNormalization")]
    [InlineData("Conv with groups")]
    [InlineData("Conv over one axis")]
    public void Inner_ranges_cover_the_numbers_between_the_factors(string name)
    {
        var (model, samples) = LayerCases.Make(name);
        var bench = new Bench(model, samples);
        int rank = 2, groups = bench.Layer.Groups;
        var calibrator = new Calibrator(model, bench.Found.Layers, OnnxLowRank.Runtime.Device.Cpu, threads: 1);
        var ranges = calibrator.InnerRanges(new Sampling(samples, 16, CancellationToken.None), samples.All, bench.Shapes, [bench.Decompose(bench.Layer)]);
        var rewritten = bench.Factorize(_ => rank).Model;
        float[][] inner = bench.Run(rewritten, "y_node_rank2")[0].Vectors(1);

        var range = ranges.Outputs[bench.Layer];

        int stored = range.Min.Length / groups;
        for (int i = 0; i < groups * rank; i++)
        {
            int at = i / rank * stored + i % rank;
            double min = inner.Min(vector => vector[i]), max = inner.Max(vector => vector[i]);
            Assert.Equal(Math.Min(0, min), range.Min[at], 1e-4 * (max - min));
            Assert.Equal(Math.Max(0, max), range.Max[at], 1e-4 * (max - min));
        }
        var grid = range.Grid(groups, rank, [.. Enumerable.Repeat(2.0, groups * rank)]);
        double lowest = inner.Min(vector => vector.Min()), highest = inner.Max(vector => vector.Max());
        Assert.Equal(2 * (highest - lowest) / 255, grid.Scale, 1e-4 * grid.Scale);
    }

    public static TheoryData<string> Broken => ["nan", "infinity", "minus infinity", "overflow of the square"];

    [Theory, MemberData(nameof(Broken))]
    public void An_activation_that_is_no_number_is_an_error_that_names_it(string kind)
    {
        var model = new TinyModel();
        model.Input("x", null, 24);
        string factor = model.Floats("factor", [kind switch { "nan" => float.NaN, "infinity" => float.PositiveInfinity, "minus infinity" => float.NegativeInfinity, _ => 1e30f }]);
        model.Node("Mul", ["x", factor], "bad");
        model.Node("MatMul", ["x", model.Weight("w1", 24, 16)], "good");
        model.Node("MatMul", ["bad", model.Weight("w2", 24, 16)], "worse");
        model.Outputs("good", "worse");

        var e = Assert.Throws<ModelException>(() => new Bench(model.Build(), new([Feed.Random("x", 8, 24)])));

        Assert.Equal("activation 'bad' holds NaN or infinity (or its square overflows) on calibration samples", e.Message);
    }

    [Fact]
    public void A_range_that_is_no_number_is_an_error_too()
    {
        // The Conv steps over the infinite pixel, so its output is finite.
        var model = new TinyModel();
        model.Input("x", null, 6, 8, 8);
        float[] factors = [.. Enumerable.Range(0, 64).Select(i => i == 9 ? float.PositiveInfinity : 1)];
        model.Node("Mul", ["x", model.Floats("factors", factors, 8, 8)], "bad");
        model.Node("Conv", ["bad", model.Weight("w", 24, 6, 1, 1)], "y", ("strides", new long[] { 2, 2 }));
        model.Outputs("y");

        var e = Assert.Throws<ModelException>(() => new Bench(model.Build(), new([Feed.Random("x", 8, 6, 8, 8)])));

        Assert.StartsWith("activation 'bad' holds NaN or infinity", e.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Shapes_are_those_of_one_sample()
    {
        var (model, samples) = LayerCases.Make("Conv with strides");

        var shapes = new Bench(model, samples).Shapes;

        Assert.Equal([1, 6, 9, 8], shapes["x"]);
        Assert.Equal([1, 14, 4, 2], shapes["y"]);
    }

    [Fact]
    public void The_model_itself_is_not_changed()
    {
        foreach (string name in LayerCases.Names)
        {
            var (model, samples) = LayerCases.Make(name);
            var before = model.Proto.Clone();

            new Bench(model, samples).Factorize(_ => 1);

            Assert.Equal(before, model.Proto);
        }
    }

    [Theory]
    [InlineData(7, 3)]
    [InlineData(12, 7)]
    [InlineData(13, 8)]
    [InlineData(18, 8)]
    [InlineData(24, 10)]
    public void Moments_and_ranges_can_be_had_at_every_opset(int opset, int ir)
    {
        foreach (string name in new[] { "Conv with groups", "MatMul of rank 3", "Gemm transA" })
        {
            var (model, samples) = LayerCases.Make(name, opset, ir);
            var (reference, _) = LayerCases.Make(name);

            var bench = new Bench(model, samples);
            var expected = new Bench(reference, samples);

            Near(expected.Measured.Moments[expected.Layer][0].Second(0, true).Data, bench.Measured.Moments[bench.Layer][0].Second(0, true).Data);
            bench.Factorize(_ => 2);
        }
    }

    [Fact]
    public void Probes_avoid_the_names_that_a_model_has()
    {
        var model = new TinyModel();
        model.Input("x", null, 24);
        model.Node("MatMul", ["x", model.Weight("probe_shape", 24, 16)], "probe_Reshape");
        model.Node("Relu", ["probe_Reshape"], "probe_MatMul");
        model.Outputs("probe_MatMul");

        var bench = new Bench(model.Build(), new([Feed.Random("x", 64, 24)]));

        Assert.Equal(64, bench.Measured.Moments[bench.Layer][0].Count);
    }
}
