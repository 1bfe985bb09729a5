using OnnxLowRank.Factorization;
using OnnxLowRank.Numerics;
using static OnnxLowRank.Tests.Numerics.DenseMath;

namespace OnnxLowRank.Tests.Factorization;

public class SpatialMethodTests
{
    const int Outputs = 7, Channels = 5, Height = 3, Width = 2, Rank = 4;

    static readonly ILinearAlgebra s_algebra = LinearAlgebra.Create(1);

    /// <summary>A kernel (outputs, channels·height·width) of columns and rows.</summary>
    static Matrix Kernel(SpatialBasis basis, int rank)
    {
        var kernel = new Matrix(Outputs, Channels * Height * Width);
        for (int o = 0; o < Outputs; o++)
        {
            for (int i = 0; i < Channels; i++)
            {
                for (int u = 0; u < Height; u++)
                {
                    for (int v = 0; v < Width; v++)
                    {
                        for (int k = 0; k < rank; k++)
                        {
                            kernel[o, ((i * Height) + u) * Width + v] += basis.Columns[u][i, k] * basis.Rows[v * Outputs + o, k];
                        }
                    }
                }
            }
        }
        return kernel;
    }

    /// <summary>E‖(W − Ŵ)·x‖² where columns of the kernel see uncorrelated pixels of the same second moment (channels·height, channels·height).</summary>
    static double Lost(Matrix weight, Matrix approximation, Matrix second)
    {
        var error = Minus(weight, approximation);
        double lost = 0;
        for (int v = 0; v < Width; v++)
        {
            var at = new Matrix(Outputs, Channels * Height);
            for (int o = 0; o < Outputs; o++)
            {
                for (int i = 0; i < Channels * Height; i++)
                {
                    at[o, i] = error[o, i * Width + v];
                }
            }
            lost += Times(Times(at, second), at.Transposed()).Trace();
        }
        return lost;
    }

    /// <summary>What pixels u and w of a column have to do with each other.</summary>
    static Func<int, int, Matrix?> Between(Matrix second) => (u, w) =>
    {
        var between = new Matrix(Channels, Channels);
        for (int i = 0; i < Channels; i++)
        {
            for (int j = 0; j < Channels; j++)
            {
                between[i, j] = second[i * Height + u, j * Height + w];
            }
        }
        return between;
    };

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void The_energy_of_what_is_cut_is_what_is_lost_and_no_other_rows_lose_less(bool isDataAware)
    {
        var weight = Gaussian.Random(Outputs, Channels * Height * Width, seed: 1);
        var root = Gaussian.Random(Channels * Height, Channels * Height, seed: 2);
        var second = isDataAware ? Times(root, root.Transposed()) : Matrix.Identity(Channels * Height);

        var basis = SpatialMethod.Of(s_algebra, weight, Channels, Width, isDataAware ? Between(second) : null, shrinkage: 0, Math.Min(Channels * Height, Width * Outputs));

        Assert.Equal(0, Lost(weight, Kernel(basis, basis.Energy.Length), second), 1e-9);
        double lost = Lost(weight, Kernel(basis, Rank), second);
        Assert.Equal(basis.Tail(Rank), lost, 1e-9 * basis.Total);
        Assert.Equal(Lost(weight, new(Outputs, Channels * Height * Width), second), basis.Total, 1e-9 * basis.Total);
        for (int seed = 0; seed < 20; seed++)
        {
            // Rows a little turned, and the columns that are the best for them.
            var rows = s_algebra.Orthonormalize(Matrix.Sum([basis.Rows.LeftCols(Rank), Scaled(Gaussian.Random(Width * Outputs, Rank, seed + 10), 0.02)]));
            var full = SpatialMethod.Of(s_algebra, weight, Channels, Width, isDataAware ? Between(second) : null, shrinkage: 0, Width * Outputs);
            var other = full with { Columns = [.. full.Columns.Select(part => Times(Times(part, full.Rows.Transposed()), rows))], Rows = rows };
            Assert.True(Lost(weight, Kernel(other, Rank), second) > lost);
        }
    }

    [Fact]
    public void Shrinkage_mixes_in_what_the_weight_alone_says()
    {
        var weight = Gaussian.Random(Outputs, Channels * Height * Width, seed: 1);
        var second = new Matrix(Channels, Channels);
        second[0, 0] = 1; // the others are never seen

        SpatialBasis Of(double shrinkage) => SpatialMethod.Of(s_algebra, weight, Channels, Width, (u, w) => u == w ? second : null, shrinkage, Width * Outputs);

        Assert.Equal(Height, Of(0).Energy.Count(energy => energy > 1e-9));
        Assert.True(Of(0.01).Energy.Count(energy => energy > 1e-9) > Height);
        Assert.Equal(1.01, Of(0.01).Total / Of(0).Total, 1e-9);
    }
}
