using OnnxLowRank.Calibration;

namespace OnnxLowRank.Tests.Calibration;

public class RowMaximaTests
{
    static double Spread(params float[][] runs)
    {
        var maxima = new RowMaxima();
        Array.ForEach(runs, run => maxima.Add(run));
        return maxima.Spread;
    }

    [Theory]
    [InlineData(1e-30f)]
    [InlineData(0.3f)]
    [InlineData(1e30f)]
    public void It_is_the_largest_in_units_of_the_median_one(float unit)
    {
        float[] rows = [.. Enumerable.Range(1, 99).Select(i => i * unit), 5000 * unit];

        Assert.InRange(Spread(rows), 100, 100 * 1.032);
        Assert.Equal(Spread(rows), Spread(rows[..30], rows[30..]));
    }

    [Fact]
    public void A_few_small_rows_are_no_spread() => Assert.InRange(Spread([1e-6f, 1e-6f, 1, 1, 1, 1.2f]), 1.2, 1.24);

    [Fact]
    public void Rows_of_zeros_do_not_count() => Assert.Equal(Spread([1, 2, 3]), Spread([0, 0, 0, 0, 1, 2, 3]));

    [Fact]
    public void Rows_of_one_size_and_no_rows_have_none()
    {
        Assert.InRange(Spread([7, 7, 7]), 1, 1.032);
        Assert.Equal(1, Spread([]));
        Assert.Equal(1, Spread([0, 0]));
    }
}
