using OnnxLowRank.Statistics;

namespace OnnxLowRank.Tests.Statistics;

public class MedianIntervalTests
{
    /// <summary>2·P(X ≤ k − 1) of X ~ B(n, 1/2): 2/64 for n = 6, k = 1; 22/1024 and 112/1024 for n = 10, k = 2 and 3.</summary>
    [Theory]
    [InlineData(6, 0.05, 1, 6)]
    [InlineData(10, 0.05, 2, 9)]
    [InlineData(10, 0.02, 1, 10)]
    [InlineData(10, 0.2, 3, 8)]
    public void Its_ends_are_order_statistics(int count, double alpha, double low, double high)
    {
        double[] values = [.. Enumerable.Range(1, count).Select(i => (double)i).Reverse()];

        Assert.Equal(new((count + 1) / 2.0, low, high), MedianInterval.Of(values, alpha));
    }

    [Fact]
    public void Few_values_prove_nothing()
    {
        Assert.Equal(new(3, double.NegativeInfinity, double.PositiveInfinity), MedianInterval.Of([5, 1, 3, 2, 4], 0.05));
    }

    /// <summary>Exponential: skewed, as times are. 4,000 tries have a standard error of 0.3 %.</summary>
    [Theory]
    [InlineData(10)]
    [InlineData(41)]
    public void The_true_median_is_covered_as_often_as_promised(int count)
    {
        const int Tries = 4000;
        var random = new Random(1);
        int covered = 0;
        for (int t = 0; t < Tries; t++)
        {
            double[] values = [.. Enumerable.Range(0, count).Select(_ => -Math.Log(1 - random.NextDouble()))];
            var interval = MedianInterval.Of(values, 0.05);
            covered += interval.Low <= Math.Log(2) && Math.Log(2) <= interval.High ? 1 : 0;
        }

        Assert.InRange((double)covered / Tries, 0.945, 0.985);
    }
}
