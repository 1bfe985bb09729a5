using OnnxLowRank.Statistics;

namespace OnnxLowRank.Tests.Statistics;

public class QuantileTests
{
    [Theory]
    [InlineData(0, 1)]
    [InlineData(0.5, 2.5)]
    [InlineData(0.9, 7.9)] // 2.7 of 3: between 3 and 10
    [InlineData(1, 10)]
    public void Quantiles_lie_between_neighbours(double p, double expected)
    {
        Assert.Equal(expected, Quantile.Of([1, 2, 3, 10], p), 1e-12);
    }

    [Fact]
    public void One_value_is_all_quantiles()
    {
        Assert.Equal(7, Quantile.Of([7], 0.99));
    }

    [Fact]
    public void No_values_and_other_shares_are_refused()
    {
        Assert.Throws<ArgumentException>(() => Quantile.Of([], 0.5));
        Assert.Throws<ArgumentException>(() => Quantile.Of([1], 1.1));
        Assert.Throws<ArgumentException>(() => Quantile.Of([1], double.NaN));
    }
}
