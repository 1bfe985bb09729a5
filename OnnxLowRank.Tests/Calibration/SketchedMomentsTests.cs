using OnnxLowRank.Calibration;
using OnnxLowRank.Numerics;
using OnnxLowRank.Onnx;
using OnnxLowRank.Onnx.Proto;
using OnnxLowRank.Runtime;
using OnnxLowRank.Storage;
using static OnnxLowRank.Tests.Numerics.DenseMath;

namespace OnnxLowRank.Tests.Calibration;

public class SketchedMomentsTests
{
    const int Channels = 300, Width = 40;

    /// <summary>Enough for so many mixtures, and too little for moments.</summary>
    const long Memory = 16 * Channels * Width;

    static readonly ILinearAlgebra s_algebra = LinearAlgebra.Create(1);

    /// <summary>A layer that is measured at its input, and one that is measured at its output.</summary>
    static OnnxModel Model()
    {
        var model = new TinyModel();
        model.Input("x", null, null, Channels);
        model.Node("Add", ["x", model.Floats("shift", [.. Enumerable.Range(0, Channels).Select(i => i % 7 - 1f)], Channels)], "shifted");
        model.Node("MatMul", ["shifted", model.Weight("w1", Channels, 7 * Channels)], "a");
        model.Node("MatMul", ["a", model.Weight("w2", 7 * Channels, Channels)], "y");
        model.Outputs("y");
        return model.Build();
    }

    static readonly MemorySamples s_samples = new([Feed.Random("x", 10, 6, Channels)]);

    static Measured Sketched(Bench bench, int batch) => new Calibrator(bench.Model, bench.Found.Layers, Device.Cpu, threads: 1)
        .Collect(new Sampling(s_samples, batch, CancellationToken.None), s_samples.All, bench.Shapes, withRanges: true, Memory);

    static void AssertSketchOf(Moments[] expected, SketchedMoments[] actual, double tolerance)
    {
        Assert.Equal(expected.Select(moments => moments.Count), actual.Select(moments => moments.Count));
        Assert.All(expected.Zip(actual), pair => Assert.All(
            pair.First.Mean().Zip(pair.Second.Mean()), mean => Assert.InRange(mean.Second, mean.First - tolerance * pair.First.Mean().Max(), mean.First + tolerance * pair.First.Mean().Max())));
        foreach (bool centred in new[] { true, false })
        {
            var (matrix, sketch) = (Moments.Pooled(expected, 0, centred), SketchedMoments.Pooled(actual, centred));
            Assert.Equal((Channels, Width), (sketch.TestMatrix.Rows, sketch.TestMatrix.Cols));
            AssertClose(Times(matrix, sketch.TestMatrix), sketch.Products, tolerance, Norm(sketch.Products));
            Assert.InRange(sketch.Trace, (1 - tolerance) * matrix.Trace(), (1 + tolerance) * matrix.Trace());
        }
    }

    [Theory]
    [InlineData(10)]
    [InlineData(3)]
    public void A_sketch_is_the_moments_times_its_mixtures(int batch)
    {
        var bench = new Bench(Model(), s_samples);

        var sketched = Sketched(bench, batch);

        Assert.Empty(sketched.Moments);
        Assert.Equal(2, sketched.Sketches.Count);
        Assert.All(bench.Measured.Moments, item => AssertSketchOf(item.Value, sketched.Sketches[item.Key], 1e-5));
        Assert.Equal(bench.Measured.Spreads, sketched.Spreads);
    }

    [Fact]
    public void Values_read_by_several_layers_are_pooled()
    {
        var bench = new Bench(Model(), s_samples);
        var sketched = Sketched(bench, batch: 10);
        var layers = bench.Found.Layers;

        AssertSketchOf(
            [bench.Measured.Moments[layers[0]][0], bench.Measured.Moments[layers[1]][0]], [sketched.Sketches[layers[0]][0], sketched.Sketches[layers[1]][0]], 1e-5);
    }

    /// <summary>A weight to the left of a vector, whose channels come last too, and of matrices, whose channels do not.</summary>
    [Fact]
    public void What_is_measured_of_a_layer_is_one_for_all_its_uses()
    {
        var model = new TinyModel();
        model.Input("x", null, null, Channels);
        string weight = model.Weight("w", Channels, Channels);
        model.Node("MatMul", [weight, model.Node("ReduceMean", ["x"], "vector", ("axes", new long[] { 0, 1 }), ("keepdims", 0))], "a");
        model.Node("MatMul", [weight, model.Node("Transpose", ["x"], "matrices", ("perm", new long[] { 0, 2, 1 }))], "b");
        model.Node("Add", ["a", "b"], "y");
        model.Outputs("y");
        var bench = new Bench(model.Build(), s_samples);
        Assert.Equal([1, 3], bench.Layer.Uses.Select(use => bench.Shapes[use.Input].Length));

        var measured = Sketched(bench, batch: 10);

        Assert.Equal(2, measured.Moments[bench.Layer].Length);
    }

    /// <summary>Rows in pieces of any size.</summary>
    [Theory]
    [InlineData(1)]
    [InlineData(7)]
    [InlineData(Channels)]
    public void Moments_known_in_full_give_the_same(int most)
    {
        var bench = new Bench(Model(), s_samples);
        var moments = bench.Measured.Moments[bench.Found.Layers[0]][0];
        var products = moments.Second(0, centred: false);
        IEnumerable<(int First, Matrix Rows)> Triangle()
        {
            for (int first = 0; first < Channels; first += most)
            {
                int end = Math.Min(Channels, first + most);
                var rows = new Matrix(end - first, end);
                for (int i = first; i < end; i++)
                {
                    for (int j = 0; j <= i; j++)
                    {
                        rows[i - first, j] = products[i, j] * moments.Count;
                    }
                }
                yield return (first, rows);
            }
        }

        var sketch = SketchedMoments.Of(s_algebra, Spill.None, Width, moments.Count, [.. moments.Mean().Select(mean => mean * moments.Count)], Triangle());

        AssertSketchOf([moments], [sketch], 1e-12);
    }

    [Fact]
    public void Only_what_is_too_wide_is_sketched()
    {
        Tap tap = new("x", 2, 3, 1, Channels, TensorProto.Types.DataType.Float);
        const long All = 12L * Channels * Channels;

        Assert.Equal(0, MomentChoice.SketchWidth(tap, All));
        Assert.Equal(Channels / 2, MomentChoice.SketchWidth(tap, All - 1));
        Assert.Equal(Width, MomentChoice.SketchWidth(tap, Memory));
        Assert.Equal(Width - 1, MomentChoice.SketchWidth(tap, Memory - 1));
        Assert.Equal(0, MomentChoice.SketchWidth(tap with { Axis = 1 }, Memory));
        Assert.InRange(MomentChoice.SketchWidth(tap, 1), 11, Channels);
    }
}
