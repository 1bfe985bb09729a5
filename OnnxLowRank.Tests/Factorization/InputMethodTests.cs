using OnnxLowRank.Factorization;
using OnnxLowRank.Numerics;
using OnnxLowRank.Tests.Numerics;
using static OnnxLowRank.Tests.Numerics.DenseMath;

namespace OnnxLowRank.Tests.Factorization;

public class InputMethodTests
{
    const int Out = 6, Channels = 8, Taps = 4, Vectors = 300;

    public static TheoryData<string> Implementations => ["OpenBLAS", "managed"];

    /// <summary>W (out, C·taps) and one pixel per column, its channels unequal and correlated.</summary>
    static (Matrix W, Matrix X) Problem()
    {
        var mixing = Gaussian.Random(Channels, Channels, seed: 3);
        var x = Times(ScaledCols(mixing, [.. Enumerable.Range(0, Channels).Select(i => Math.Pow(0.6, i))]), Gaussian.Random(Channels, Vectors, seed: 4));
        return (Gaussian.Random(Out, Channels * Taps, seed: 5), x);
    }

    static Matrix Second(Matrix x) => Scaled(Times(x, x.Transposed()), 1.0 / x.Cols);

    /// <summary>The kernel's positions stacked, (out·taps, C): written apart from the code under test.</summary>
    static Matrix Stacked(Matrix w)
    {
        var stacked = new Matrix(Out * Taps, Channels);
        for (int o = 0; o < Out; o++)
        {
            for (int c = 0; c < Channels; c++)
            {
                for (int t = 0; t < Taps; t++)
                {
                    stacked[o * Taps + t, c] = w[o, c * Taps + t];
                }
            }
        }
        return stacked;
    }

    [Theory, MemberData(nameof(Implementations))]
    public void The_loss_at_every_rank_is_the_optimum_and_the_tail_of_the_energies(string implementation)
    {
        var algebra = LinearAlgebraTests.Use(implementation);
        var (w, x) = Problem();
        var y = Times(Stacked(w), x);
        double[] singular = algebra.Svd(y).S; // Eckart and Young: no map of rank r is closer to y
        double total = singular.Sum(s => s * s) / Vectors;

        var basis = InputMethod.Of(algebra, w, Channels, Second(x), shrinkage: 0, Channels);

        Assert.Equal(total, basis.Total, 1e-9 * total);
        for (int rank = 1; rank <= Channels; rank++)
        {
            var approximation = Times(Times(basis.Kernel.LeftCols(rank), basis.Entry.TopRows(rank)), x);
            double loss = Math.Pow(Norm(Minus(y, approximation)), 2) / Vectors, optimum = singular.Skip(rank).Sum(s => s * s) / Vectors;
            Assert.Equal(optimum, loss, 1e-9 * total);
            Assert.Equal(optimum, basis.Tail(rank), 1e-9 * total);
        }
    }

    [Fact]
    public void Without_data_it_is_the_SVD_of_the_stacked_kernel()
    {
        var (w, _) = Problem();
        var algebra = new ManagedAlgebra(1);
        var stacked = Stacked(w);
        double[] singular = algebra.Svd(stacked).S;

        var basis = InputMethod.Of(algebra, w, Channels, second: null, shrinkage: 0, Channels);

        for (int rank = 1; rank <= Channels; rank++)
        {
            double optimum = singular.Skip(rank).Sum(s => s * s);
            Assert.Equal(optimum, basis.Tail(rank), 1e-9 * basis.Total);
            Assert.Equal(Math.Sqrt(optimum), Norm(Minus(stacked, Times(basis.Kernel.LeftCols(rank), basis.Entry.TopRows(rank)))), 1e-6);
        }
    }

    [Fact]
    public void A_dead_channel_breaks_nothing_and_costs_no_rank()
    {
        var (w, x) = Problem();
        x.Row(2).Clear();
        for (int o = 0; o < Out; o++)
        {
            w.Row(o).Slice(5 * Taps, Taps).Clear();
        }

        var basis = InputMethod.Of(new ManagedAlgebra(1), w, Channels, Second(x), shrinkage: 0, Channels);

        Assert.True(basis.Tail(Channels - 2) < 1e-12 * basis.Total);
        Assert.All(basis.Kernel.Data.Concat(basis.Entry.Data), value => Assert.True(double.IsFinite(value)));
    }
}
