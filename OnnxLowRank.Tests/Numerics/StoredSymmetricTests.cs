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
}
