using OnnxLowRank.Calibration;
using OnnxLowRank.Factorization;
using OnnxLowRank.Gradients;
using OnnxLowRank.Numerics;
using OnnxLowRank.Runtime;
using OnnxLowRank.Tests.Numerics;
using static OnnxLowRank.Tests.Numerics.DenseMath;

namespace OnnxLowRank.Tests.Factorization;

public class OutputMetricTests
{
    const int In = 20, Out = 12;

    /// <summary>G·Gᵀ of gradients that follow some directions much more than others.</summary>
    static Matrix Gradients(int channels)
    {
        var gradients = ScaledCols(Gaussian.Random(channels, channels, seed: 7), [.. Enumerable.Range(0, channels).Select(i => Math.Pow(0.6, i))]);
        return Times(gradients, gradients.Transposed());
    }

    [Fact]
    public void It_is_the_gradients_moment_and_a_share_of_the_plain_error_with_the_energy_of_that()
    {
        var (gradients, covariance) = (Gradients(Out), Times(Gaussian.Random(Out, Out, seed: 3), Gaussian.Random(Out, Out, seed: 3).Transposed()));

        var metric = OutputMetric.Of(LinearAlgebra.Create(1), gradients.Copy(), double.PositiveInfinity, covariance.Trace(), part => Times(part, covariance).Trace())!;

        var made = Times(metric.Root, metric.Root.Transposed());
        Assert.Equal(covariance.Trace(), Times(made, covariance).Trace(), 1e-9 * covariance.Trace());
        double factor = (1 - OutputMetric.PlainShare) * covariance.Trace() / Times(gradients, covariance).Trace();
        var expected = Scaled(gradients, factor);
        expected.AddToDiagonal(OutputMetric.PlainShare);
        AssertClose(expected, made, 1e-9, Norm(expected));
    }

    /// <summary>With all directions alike, what few vectors say of them is chance.</summary>
    [Theory]
    [InlineData(8, 0.9, 1.0)]
    [InlineData(100_000, 0.9, 1.0)]
    [InlineData(100_000, 0.0, 0.01, true)]
    public void Of_few_vectors_it_is_nearer_to_the_plain_error(int vectors, double atLeast, double atMost, bool areFew = false)
    {
        var g = Gaussian.Random(Out, vectors, seed: 11);
        for (int i = 1; areFew && i < Out; i++)
        {
            g.Row(i).Clear();
        }
        var moment = Scaled(Times(g, g.Transposed()), 1.0 / vectors);

        var made = OutputMetric.Of(LinearAlgebra.Create(1), moment, vectors, Out, metric => metric.Trace())!;

        double[] eigen = LinearAlgebra.Create(1).Eigen(Times(made.Root, made.Root.Transposed())).Values;
        double plain = (eigen[^1] - OutputMetric.PlainShare) / (1 - OutputMetric.PlainShare); // the least followed direction: 1 where all are alike
        Assert.InRange(plain, atLeast, atMost);
    }

    [Fact]
    public void There_is_none_where_nothing_is_followed() =>
        Assert.Null(OutputMetric.Of(LinearAlgebra.Create(1), new Matrix(Out, Out), 1, 1, metric => metric.Trace()));

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
        var metric = OutputMetric.Of(algebra, Gradients(m), double.PositiveInfinity, covariance.Trace(), part => Times(part, covariance).Trace())!;
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

    [Theory]
    [InlineData(Out, true)]
    [InlineData(2049, false)]
    public void Weights_are_rounded_by_more_of_the_plain_error_up_to_some_width(int channels, bool isNarrow)
    {
        var algebra = LinearAlgebra.Create(1);
        var gradients = Matrix.Identity(channels);
        gradients[0, 0] = 3;
        var metric = OutputMetric.Of(algebra, gradients, double.PositiveInfinity, channels, moment => moment.Trace())!;

        var rounding = metric.ForRounding(algebra);

        Assert.Equal(isNarrow, rounding != null);
        if (rounding != null)
        {
            var plain = Times(metric.Root, metric.Root.Transposed());
            plain.AddToDiagonal(0.2);
            Assert.Equal(0, Norm(Minus(rounding, plain)), 1e-12 * channels);
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
        double Lost(Moments[]? gradients)
        {
            var decomposition = Decomposing.Decompose(algebra, layer, bench.Measured, Method.Output, seed: 0, rank: 10, input: null, metrics: Decomposing.MetricsOf(algebra, layer, bench.Measured, gradients));
            var rewritten = bench.Factorize(layer, decomposition, rank: 8);
            return bench.Run(rewritten.Model, "z")[0].Values.Zip(original, (value, was) => Math.Pow(value - was, 2)).Sum();
        }

        var gradients = OutputGradients.Of(bench.Model, bench.Found.Layers, ["z"], areScores: false, bench.Sampling, bench.Shapes, Device.Cpu, threads: 1, macs: 1, memory: long.MaxValue, seed: 0)!;
        var found = gradients.Collect(bench.Found.Layers, Enumerable.Range(0, 400).ToArray())[layer];

        Assert.True(Lost(found) < 0.9 * Lost(null), $"{Lost(found)} and {Lost(null)}");
    }
}
