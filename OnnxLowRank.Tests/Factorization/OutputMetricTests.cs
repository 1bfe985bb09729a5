using OnnxLowRank.Factorization;
using OnnxLowRank.Layers;
using OnnxLowRank.Numerics;
using OnnxLowRank.Tests.Numerics;
using static OnnxLowRank.Tests.Numerics.DenseMath;

namespace OnnxLowRank.Tests.Factorization;

public class OutputMetricTests
{
    const int In = 20, Out = 12, Behind = 16;

    /// <summary>A layer that reads as many channels, and its weight.</summary>
    static Layer Reader(int channels, int taps = 1)
    {
        var model = new TinyModel();
        if (taps == 1)
        {
            model.Input("x", null, channels);
            model.Node("MatMul", ["x", model.Weight("w", channels, Behind)], "y");
        }
        else
        {
            model.Input("x", null, channels, null);
            model.Node("Conv", ["x", model.Weight("w", Behind, channels, taps)], "y");
        }
        model.Outputs("y");
        return Assert.Single(LayerFinder.Find(model.Build(), new()).Layers);
    }

    /// <summary>eᵀ·M·e without the plain part, up to a factor.</summary>
    static double Seen(OutputMetric metric, Matrix error) =>
        Math.Pow(Norm(Times(metric.Root.Transposed(), error)), 2) - OutputMetric.PlainShare * Math.Pow(Norm(error), 2);

    static OutputMetric Of(Downstream downstream, double[] means, double[] variances) =>
        OutputMetric.Of(LinearAlgebra.Create(1), downstream, means, variances, metric => metric.Trace())!;

    [Theory]
    [InlineData(1)]
    [InlineData(3)]
    public void Without_gates_it_is_what_the_readers_make_of_an_error(int taps)
    {
        Layer[] readers = [Reader(Out, taps), Reader(Out)];
        var metric = Of(new(readers, IsGated: false), new double[Out], [.. Enumerable.Repeat(1.0, Out)]);
        double Made(Matrix error) => readers.Sum(reader =>
        {
            int positions = reader.In / Out;
            var weight = reader.ReadWeight();
            return Enumerable.Range(0, positions).Sum(t =>
            {
                var at = new Matrix(Behind, Out);
                for (int o = 0; o < Behind; o++)
                {
                    for (int i = 0; i < Out; i++)
                    {
                        at[o, i] = weight[o, i * positions + t];
                    }
                }
                return Math.Pow(Norm(Times(at, error)), 2);
            });
        });
        var (first, second) = (Gaussian.Random(Out, 1, seed: 1), Gaussian.Random(Out, 1, seed: 2));

        Assert.Equal(Made(first) / Made(second), Seen(metric, first) / Seen(metric, second), 1e-9);
    }

    [Fact]
    public void Gates_let_through_what_a_relu_of_normal_channels_lets_through()
    {
        const int Samples = 40_000;
        var reader = Reader(Out);
        double[] means = [.. Enumerable.Range(0, Out).Select(i => 1.5 - 0.3 * i)], variances = [.. Enumerable.Range(0, Out).Select(i => 0.5 + 0.1 * i)];
        var metric = Of(new([reader], IsGated: true), means, variances);
        var normal = Gaussian.Random(Out, Samples, seed: 3);
        double Made(Matrix error)
        {
            var moved = new Matrix(Out, Samples);
            for (int i = 0; i < Out; i++)
            {
                for (int j = 0; j < Samples; j++)
                {
                    double y = means[i] + Math.Sqrt(variances[i]) * normal[i, j];
                    moved[i, j] = Math.Max(0, y + 1e-3 * error[i, 0]) - Math.Max(0, y);
                }
            }
            return Math.Pow(Norm(Times(reader.ReadWeight(), moved)), 2);
        }
        var (first, second) = (Gaussian.Random(Out, 1, seed: 1), Gaussian.Random(Out, 1, seed: 2));
        double expected = Made(first) / Made(second), ungated = Of(new([reader], IsGated: false), means, variances) is var open ? Seen(open, first) / Seen(open, second) : 0;

        Assert.Equal(expected, Seen(metric, first) / Seen(metric, second), 0.02 * expected); // a hundredth is the samples' noise
        Assert.True(Math.Abs(ungated / expected - 1) > 0.1, "without gates the answer would be another");
    }

    [Fact]
    public void Channels_that_never_vary_are_open_or_shut()
    {
        OutputMetric Made(bool isGated) => Of(new([Reader(Out)], isGated), [1, -1, .. new double[Out - 2]], [0, 0, .. Enumerable.Repeat(1.0, Out - 2)]);
        var (gated, open) = (Made(true), Made(false));
        double Let(int channel) => new Matrix(Out, 1, [.. Enumerable.Range(0, Out).Select(i => i == channel ? 1.0 : 0)]) is var error ? Seen(gated, error) / Seen(open, error) : 0;

        Assert.Equal(0, Let(1), 1e-12);
        Assert.Equal(2, Let(0) / Let(2), 1e-9); // always open, against half of the time
    }

    [Fact]
    public void There_is_none_where_the_readers_see_nothing()
    {
        var model = new TinyModel();
        model.Input("x", null, Out);
        model.Node("MatMul", ["x", model.Floats("w", new float[Out * Behind], Out, Behind)], "y");
        model.Outputs("y");
        var reader = Assert.Single(LayerFinder.Find(model.Build(), new()).Layers);

        Assert.Null(OutputMetric.Of(LinearAlgebra.Create(1), new([reader], false), new double[Out], new double[Out], metric => metric.Trace()));
    }

    public static TheoryData<string, int, int> Shapes => [.. (
        from implementation in new[] { "OpenBLAS", "managed" }
        from shape in new[] { (Out, In), (In, Out), (9, 9) }
        select (implementation, shape.Item1, shape.Item2))];

    [Theory, MemberData(nameof(Shapes))]
    public void The_basis_loses_least_of_what_matters_and_says_what_it_loses_of_the_rest(string implementation, int m, int n)
    {
        var algebra = LinearAlgebraTests.Use(implementation);
        var (w, x) = (Gaussian.Random(m, n, seed: 5), ScaledCols(Gaussian.Random(200, n, seed: 4), [.. Enumerable.Range(0, n).Select(i => Math.Pow(0.8, i))]).Transposed());
        var second = Scaled(Times(x, x.Transposed()), 1.0 / x.Cols);
        var y = Times(w, x);
        var covariance = Scaled(Times(y, y.Transposed()), 1.0 / x.Cols);
        double[] variances = [.. Enumerable.Range(0, m).Select(i => covariance[i, i])];
        var metric = OutputMetric.Of(algebra, new([Reader(m)], IsGated: true), new double[m], variances, part => Times(part, covariance).Trace())!;
        int full = Math.Min(m, n);

        OutputBasis[] bases =
        [
            OutputMethod.FromOutput(algebra, covariance.Copy(), [w.Transposed()], shrinkage: 0, full, metric),
            OutputMethod.FromInput(algebra, second, [w.TopRows(m / 2), new(m - m / 2, n, w.Data[(m / 2 * n)..])], shrinkage: 0, full, metric),
        ];

        double[] singular = algebra.Svd(Times(metric.Root.Transposed(), y)).S; // Eckart and Young on what is seen of the outputs
        double total = Math.Pow(Norm(y), 2) / x.Cols, seen = singular.Sum(s => s * s) / x.Cols;
        foreach (var basis in bases)
        {
            AssertClose(Matrix.Identity(full), Times(basis.Dual.Transposed(), basis.Vectors), 1e-8, 1);
            Assert.All(Enumerable.Range(0, full), k => Assert.Equal(1, Norm(basis.Vectors.Transposed().Row(k).ToArray() is var column ? new(m, 1, column) : new(0, 0)), 1e-9));
            Assert.Equal(total, basis.Total, 1e-9 * total);
            for (int rank = 1; rank <= full; rank++)
            {
                var lost = Minus(y, Times(basis.Vectors.LeftCols(rank), Times(basis.Dual.LeftCols(rank).Transposed(), y)));
                Assert.Equal(singular.Skip(rank).Sum(s => s * s) / x.Cols, Math.Pow(Norm(Times(metric.Root.Transposed(), lost)), 2) / x.Cols, 1e-8 * seen);
                Assert.Equal(Math.Pow(Norm(lost), 2) / x.Cols, basis.Tail(rank), 1e-8 * total);
            }
        }
    }

    [Fact]
    public void A_pair_of_layers_loses_less_behind_the_second()
    {
        var model = new TinyModel();
        model.Input("x", null, In);
        model.Node("Gemm", ["x", model.Weight("w", In, 40), model.Weight("b", 40)], "y");
        model.Node("Relu", ["y"], "a");
        model.Node("Gemm", ["a", model.Weight("w2", 40, Out)], "z");
        model.Outputs("z");
        var bench = new Bench(model.Build(), new MemorySamples([Feed.Random("x", 400, In)]));
        var layer = bench.Found.Layers[0];
        var algebra = LinearAlgebra.Create(1);
        float[] original = bench.Run(bench.Model, "z")[0].Values;
        double Lost(Downstream? downstream)
        {
            var decomposition = Decomposing.Decompose(algebra, layer, bench.Measured, Method.Output, seed: 0, rank: 10, input: null, downstream: downstream);
            var rewritten = bench.Factorize(layer, decomposition, rank: 8);
            return bench.Run(rewritten.Model, "z")[0].Values.Zip(original, (value, was) => Math.Pow(value - was, 2)).Sum();
        }

        var found = Downstream.Find(bench.Model.Graph, bench.Found.Layers)[layer];

        Assert.True(Lost(found) < 0.9 * Lost(null), $"{Lost(found)} and {Lost(null)}");
    }
}
