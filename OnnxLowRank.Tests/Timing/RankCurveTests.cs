using OnnxLowRank.Timing;

namespace OnnxLowRank.Tests.Timing;

public class RankCurveTests
{
    [Fact]
    public void It_goes_through_measured_points_on_straight_lines()
    {
        var curve = new RankCurve([4, 8, 16], [10, 14, 30]);

        Assert.Equal([10, 14, 30], new[] { 4, 8, 16 }.Select(curve.At));
        Assert.Equal([12, 22, 34], new[] { 6, 12, 18 }.Select(curve.At)); // the last line goes on
        Assert.Equal(10, curve.At(1)); // starting an operator takes its time however thin it is
        Assert.Equal(7, new RankCurve([3], [7]).At(50));
    }

    [Fact]
    public void No_rank_takes_longer_than_a_larger_one()
    {
        var curve = new RankCurve([1, 2, 3, 4], [9, 5, 20, 6]);

        Assert.Equal([5, 5, 6, 6], new[] { 1, 2, 3, 4 }.Select(curve.At));
    }

    [Fact]
    public void Few_ranks_are_measured_up_to_the_largest_that_kernels_like()
    {
        for (int largest = 1; largest < 700; largest++)
        {
            int[] ranks = RankCurve.Ranks(largest);

            Assert.Equal(ranks.Distinct().Order(), ranks);
            Assert.InRange(ranks.Length, 1, 5);
            int multiple = largest switch { < 4 => 1, < 64 => 4, < 128 => 8, _ => 16 };
            Assert.True(ranks[0] >= 1 && ranks[^1] == largest / multiple * multiple, $"{largest}: {string.Join(' ', ranks)}");
        }
    }
}
