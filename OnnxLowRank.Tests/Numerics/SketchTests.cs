using OnnxLowRank.Numerics;
using static OnnxLowRank.Tests.Numerics.DenseMath;

namespace OnnxLowRank.Tests.Numerics;

public class SketchTests
{
    /// <summary>U·diag(values)·Uᵀ.</summary>
    static Matrix Covariance(ILinearAlgebra algebra, int size, Func<int, double> value)
    {
        var directions = algebra.Orthonormalize(Gaussian.Random(size, size, seed: 8));
        return Times(ScaledCols(directions, [.. Enumerable.Range(0, size).Select(value)]), directions.Transposed());
    }

    static Sketch Of(Matrix matrix, int width)
    {
        var random = Gaussian.Random(matrix.Rows, width, seed: 9);
        return new(random, Times(matrix, random), matrix.Trace());
    }

    [Theory]
    [InlineData("OpenBLAS")]
    [InlineData("managed")]
    public void As_many_mixtures_as_directions_tell_all(string implementation)
    {
        var algebra = LinearAlgebraTests.Use(implementation);
        var matrix = Covariance(algebra, 40, i => i < 12 ? 100.0 / (i + 1) : 0);

        var root = Of(matrix, 20).Root(algebra);

        Assert.Equal((40, 20), (root.Rows, root.Cols));
        AssertClose(matrix, Times(root, root.Transposed()), 1e-9, Norm(matrix));
    }

    /// <summary>Source of the bound: Tropp et al., E‖A − A'‖₁ ≤ (1 + r/(k − r − 1)) times the best of rank r.</summary>
    [Theory]
    [InlineData("OpenBLAS", 20)]
    [InlineData("OpenBLAS", 60)]
    [InlineData("managed", 20)]
    public void Fewer_give_nearly_the_best_of_their_half_and_never_too_much(string implementation, int width)
    {
        const int Size = 90;
        var algebra = LinearAlgebraTests.Use(implementation);
        double[] values = [.. Enumerable.Range(0, Size).Select(i => Math.Pow(i + 1, -1.4))];
        var matrix = Covariance(algebra, Size, i => values[i]);

        var root = Of(matrix, width).Root(algebra);
        var rest = Minus(matrix, Times(root, root.Transposed()));

        int rank = width / 2;
        Assert.InRange(rest.Trace(), values[width..].Sum(), (1 + rank / (width - rank - 1.0)) * values[rank..].Sum());
        Assert.True(algebra.Eigen(rest).Values[^1] > -1e-9);
    }

    [Fact]
    public void Nothing_is_nothing() => Assert.All(Of(new(5, 5), 3).Root(LinearAlgebra.Create(1)).Data, value => Assert.Equal(0, value));
}
