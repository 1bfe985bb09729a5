using OnnxLowRank.Numerics;

namespace OnnxLowRank.Tests.Numerics;

public class StoredSymmetricTests
{
    [Theory]
    [InlineData(1)]
    [InlineData(7)]
    public void Elements_come_back_in_single_precision(int size)
    {
        var symmetric = LinearAlgebra.Create(1).Gram(Gaussian.Random(size, 3, seed: 1));

        var read = new StoredSymmetric(symmetric).Read();

        Assert.Equal((size, size), (read.Rows, read.Cols));
        Assert.Equal(symmetric.Data.Select(value => (double)(float)value), read.Data);
    }

    /// <summary>Sums in single precision are symmetric up to rounding only; a solver that trusts them finds negative pivots.</summary>
    [Fact]
    public void It_is_symmetric_where_the_matrix_was_not_quite()
    {
        var almost = new Matrix(2, 2, [4, 1.5, 1.25, 9]);

        Assert.Equal([4, 1.25, 1.25, 9], new StoredSymmetric(almost).Read().Data);
    }
}
