using OnnxLowRank.Calibration;
using OnnxLowRank.Gradients;
using OnnxLowRank.Numerics;
using OnnxLowRank.Runtime;
using static OnnxLowRank.Tests.Numerics.DenseMath;

namespace OnnxLowRank.Tests.Gradients;

public class OutputGradientsTests
{
    const int Samples = 300, Rows = 20, In = 40, Middle = 24, Out = 30;

    /// <summary>z = (x·W)·A, and its softmax p.</summary>
    static (Bench Bench, Matrix A) Linear()
    {
        var model = new TinyModel();
        model.Input("x", null, Rows, In);
        model.Node("MatMul", ["x", model.Weight("w", In, Middle)], "y");
        model.Node("MatMul", ["y", model.Weight("a", Middle, Out)], "z");
        model.Node("Softmax", ["z"], "p", ("axis", -1));
        model.Outputs("z", "p");
        var bench = new Bench(model.Build(), new MemorySamples([Feed.Random("x", Samples, Rows, In)]));
        return (bench, bench.Found.Layers[1].ReadWeight());
    }

    static OutputGradients? Of(Bench bench, string output, bool areScores, double macs = 1, long memory = long.MaxValue) =>
        OutputGradients.Of(bench.Model, bench.Found.Layers, [output], areScores, bench.Sampling, bench.Shapes, Device.Cpu, threads: 1, macs, memory, seed: 3);

    static Matrix Moment(Bench bench, string output, bool areScores, int layer)
    {
        var moments = Of(bench, output, areScores)!.Collect(bench.Found.Layers, Enumerable.Range(0, Samples).ToArray())[bench.Found.Layers[layer]];
        return Assert.Single(moments).Second(0, centred: false);
    }

    /// <summary>I − 1·1ᵀ/n.</summary>
    static Matrix Centring(int n)
    {
        var centring = Matrix.Identity(n);
        for (int i = 0; i < n * n; i++)
        {
            centring.Data[i] -= 1.0 / n;
        }
        return centring;
    }

    [Theory]
    [InlineData("z", false)]
    [InlineData("z", true)]
    [InlineData("p", false)]
    public void The_moment_is_that_of_random_directions_through_what_is_behind(string output, bool areScores)
    {
        var (bench, a) = Linear();

        var moment = Moment(bench, output, areScores, layer: 0);

        // What all scores have in common is nothing to a softmax, and directions start in front of it.
        var directions = areScores || output == "p" ? Centring(Out) : Matrix.Identity(Out);
        var expected = Times(a.Transposed(), Times(directions, a));
        // Of n equal eigenvalues √(n / vectors) is noise: √(24 / 1,280) = 0.14.
        double distance = Norm(Minus(moment, expected)) / Norm(expected);
        Assert.True(distance < 0.25, $"{distance:g3}");
        double off = Norm(Minus(moment, Scaled(Matrix.Identity(Middle), moment.Trace() / Middle))) / Norm(expected);
        Assert.True(distance < off, $"{distance:g3}, and beside a multiple of the identity {off:g3}");
    }

    [Fact]
    public void Numbers_repeat()
    {
        var (bench, _) = Linear();

        Assert.Equal(Moment(bench, "z", areScores: true, layer: 0).Data, Moment(bench, "z", areScores: true, layer: 0).Data);
    }

    [Fact]
    public void A_costly_model_gets_fewer_samples()
    {
        var (bench, _) = Linear();
        double Vectors(double macs) => Of(bench, "z", areScores: false, macs)!.Collect(bench.Found.Layers, Enumerable.Range(0, Samples).ToArray())[bench.Found.Layers[0]][0].Count;

        Assert.Equal(64 * Rows, Vectors(1));
        Assert.Equal(16 * Rows, Vectors(1e15));
        Assert.Equal(40 * Rows, Vectors(2.5e9));
    }

    [Fact]
    public void A_pass_for_every_wave_of_a_costly_model_is_too_much()
    {
        var (bench, _) = Linear();

        var gradients = Of(bench, "z", areScores: false, macs: 1e10)!; // 16 samples, forward and back: 3.2e11 each time

        Assert.Equal([true, true, false], new[] { 1, 15, 16 }.Select(gradients.IsAffordable));
    }

    [Fact]
    public void There_is_none_where_a_sample_takes_more_than_the_memory()
    {
        var (bench, _) = Linear();
        long needed = Calibrator.BytesPerSample(bench.Shapes);

        Assert.NotNull(Of(bench, "z", areScores: false, memory: needed));
        Assert.Null(Of(bench, "z", areScores: false, memory: needed - 1));
    }

    [Fact]
    public void A_convolutions_gradients_are_counted_at_every_position_and_a_weight_used_twice_has_two_sets()
    {
        var model = new TinyModel();
        model.Input("x", null, 16, 6, 6);
        string shared = model.Weight("w", 16, 16, 3, 3);
        model.Node("Conv", ["x", shared], "y", ("pads", new long[] { 1, 1, 1, 1 }));
        model.Node("Relu", ["y"], "r");
        model.Node("Conv", ["r", shared], "z", ("pads", new long[] { 1, 1, 1, 1 }));
        model.Outputs("z");
        var bench = new Bench(model.Build(), new MemorySamples([Feed.Random("x", 100, 16, 6, 6)]));

        var moments = Of(bench, "z", areScores: false)!.Collect(bench.Found.Layers, Enumerable.Range(0, 100).ToArray())[bench.Layer];

        Assert.Equal([64.0 * 36, 64.0 * 36], moments.Select(use => use.Count));
        Assert.All(Enumerable.Range(0, 16), i => Assert.InRange(moments[1].Second(0, centred: false)[i, i], 0.8, 1.2)); // of z itself
    }

    [Fact]
    public void There_is_none_where_no_known_operator_leads_to_the_outputs()
    {
        var model = new TinyModel();
        model.Input("x", null, In);
        model.Node("MatMul", ["x", model.Weight("w", In, Middle)], "y");
        model.Node("CumSum", ["y", model.Ints("axis", 1)], "z");
        model.Outputs("z");

        Assert.Null(Of(new Bench(model.Build(), new MemorySamples([Feed.Random("x", 50, In)])), "z", areScores: false));
    }
}
