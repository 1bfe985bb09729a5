using OnnxLowRank.Factorization;
using OnnxLowRank.Numerics;
using static OnnxLowRank.Tests.Numerics.DenseMath;

namespace OnnxLowRank.Tests.Factorization;

public class FittedKernelTests
{
    const int Outputs = 5, Parts = 6, Slots = 4, Inputs = Parts * Slots, Rows = 4, Vectors = 200;

    static readonly ILinearAlgebra s_algebra = LinearAlgebra.Create(1);

    readonly Matrix _weight = Gaussian.Random(Outputs, Inputs, seed: 1);
    readonly Matrix _down = Gaussian.Random(Rows, Parts, seed: 2);

    /// <summary>Patches that are alike to each other and not zero on average, one per column.</summary>
    readonly Matrix _patches = Matrix.Sum([Times(Gaussian.Random(Inputs, Inputs, seed: 3), Gaussian.Random(Inputs, Vectors, seed: 4)), Constant(Inputs, Vectors, 3)]);

    static Matrix Constant(int rows, int cols, double value)
    {
        var matrix = new Matrix(rows, cols);
        Array.Fill(matrix.Data, value);
        return matrix;
    }

    double[] Mean => [.. Enumerable.Range(0, Inputs).Select(i => Enumerable.Range(0, Vectors).Average(n => _patches[i, n]))];

    Matrix Centred => Minus(_patches, Times(new Matrix(Inputs, 1, Mean), Constant(1, Vectors, 1)));

    PatchMoment Moment => new(Scaled(Times(Centred, Centred.Transposed()), 1.0 / Vectors), [Mean]);

    FittedKernel Fit(Matrix down) => new(s_algebra, _weight, down, Slots, Moment, null);

    /// <summary>What the second convolution reads of the patches: every slot through every row, (rows·slots, n), written apart from the code under test.</summary>
    static Matrix Read(Matrix patches, Matrix down)
    {
        var read = new Matrix(down.Rows * Slots, patches.Cols);
        for (int n = 0; n < patches.Cols; n++)
        {
            for (int k = 0; k < down.Rows; k++)
            {
                for (int slot = 0; slot < Slots; slot++)
                {
                    read[k * Slots + slot, n] = Enumerable.Range(0, Parts).Sum(part => down[k, part] * patches[part * Slots + slot, n]);
                }
            }
        }
        return read;
    }

    double Lost(Matrix kernel, int rank, Matrix down)
    {
        var error = Minus(Times(_weight, Centred), Times(kernel, Read(Centred, down.TopRows(rank))));
        return Math.Pow(Norm(error), 2) / Vectors;
    }

    [Fact]
    public void At_every_rank_no_other_kernel_loses_less_and_what_it_loses_is_known()
    {
        var fit = Fit(_down);
        double total = Lost(new Matrix(Outputs, Slots), 1, _down);

        Assert.Equal(total, fit.Spectrum.Total, 1e-9 * total);
        for (int rank = 1; rank <= Rows; rank++)
        {
            var kernel = fit.Weight(rank);
            double lost = Lost(kernel, rank, _down);
            Assert.Equal(lost, fit.Spectrum.Tail(rank), 1e-5 * total);
            // At the least of a square, small steps to all sides cost as much as the step's own energy.
            for (int seed = 0; seed < 5; seed++)
            {
                var step = Scaled(Gaussian.Random(Outputs, rank * Slots, seed + 10), 0.1);
                double own = Math.Pow(Norm(Times(step, Read(Centred, _down.TopRows(rank)))), 2) / Vectors;
                Assert.Equal(lost + own, Lost(Matrix.Sum([step, kernel]), rank, _down), 1e-4 * own);
            }
        }
    }

    [Fact]
    public void With_all_of_a_patch_the_kernel_is_the_weight()
    {
        var fit = Fit(Gaussian.Random(Parts, Parts, seed: 7));
        double total = fit.Spectrum.Total;

        Assert.Equal(0, fit.Spectrum.Tail(Parts), 1e-6 * total);
        Assert.All(fit.Means.Lost(fit.Weight(Parts), 0), lost => Assert.Equal(0, lost, 1e-3));
    }

    [Fact]
    public void The_mean_that_is_lost_is_what_the_kernel_makes_less_of_the_mean_patch()
    {
        var fit = Fit(_down);
        var mean = new Matrix(Inputs, 1, Mean);

        var expected = Minus(Times(_weight, mean), Times(fit.Weight(2), Read(mean, _down.TopRows(2))));

        Assert.True(Norm(expected) > 1);
        Assert.All(expected.Data.Zip(fit.Means.Lost(fit.Weight(2), 0)), pair => Assert.Equal(pair.First, pair.Second, 1e-9));
    }

    /// <summary>As where channels are never used, or two rows read the same.</summary>
    [Fact]
    public void Rows_that_tell_nothing_new_add_nothing()
    {
        var down = new Matrix(4, Parts);
        _down.Row(0).CopyTo(down.Row(0));
        _down.Row(0).CopyTo(down.Row(2));
        _down.Row(1).CopyTo(down.Row(3));

        var fit = Fit(down);

        Assert.Equal(0, fit.Spectrum.Energy[1]);
        Assert.Equal(0, fit.Spectrum.Energy[2], 1e-6 * fit.Spectrum.Total);
        Assert.Equal(Fit(_down).Spectrum.Tail(2), fit.Spectrum.Tail(4), 1e-6 * fit.Spectrum.Total);
        Assert.Equal(fit.Spectrum.Tail(4), Lost(fit.Weight(4), 4, down), 1e-3 * fit.Spectrum.Total);
    }
}
