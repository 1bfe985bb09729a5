using OnnxLowRank.Statistics;

namespace OnnxLowRank.Tests.Statistics;

public class MeanIntervalTests
{
    [Fact]
    public void Mean_interval_uses_student_t()
    {
        // mean 3, s = sqrt(2.5), t(0.975, 4) = 2.776445 from tables
        var interval = MeanInterval.OfMean([1, 2, 3, 4, 5], 0.05);

        Assert.Equal(3, interval.Estimate);
        Assert.Equal(3 - 2.776445 * Math.Sqrt(2.5 / 5), interval.Low, 1e-5);
        Assert.Equal(3 + 2.776445 * Math.Sqrt(2.5 / 5), interval.High, 1e-5);
    }

    [Theory]
    [InlineData(2, 0.05, 12.706205)]
    [InlineData(2, 1e-6, 636619.772)]
    [InlineData(11, 0.01, 3.169273)]
    [InlineData(100_001, 0.05, 1.959988)]
    [InlineData(10_001, 1e-9, 6.115)]
    public void Student_t_quantile_is_right_at_both_extremes(int samples, double alpha, double expected)
    {
        var losses = Enumerable.Range(0, samples).Select(i => i % 2 == 0 ? 1.0 : -1.0).ToArray();
        double mean = losses.Average();
        double deviation = Math.Sqrt(losses.Sum(x => Math.Pow(x - mean, 2)) / (samples - 1) / samples);

        var interval = MeanInterval.OfMean(losses, alpha);

        Assert.Equal(expected, (interval.High - interval.Estimate) / deviation, expected * 2e-4);   // the last row's table value has four digits
    }

    [Fact]
    public void One_loss_says_nothing_about_the_mean()
    {
        Assert.Equal(new(7, double.NegativeInfinity, double.PositiveInfinity), MeanInterval.OfMean([7], 0.05));
        Assert.Equal(new(double.NaN, double.NegativeInfinity, double.PositiveInfinity), MeanInterval.OfMean([], 0.05));
    }

    [Fact]
    public void Equal_losses_have_no_spread()
    {
        Assert.Equal(new(0.25, 0.25, 0.25), MeanInterval.OfMean([0.25, 0.25, 0.25, 0.25], 0.05));
    }

    [Fact]
    public void Large_offset_does_not_drown_the_spread()
    {
        var near = MeanInterval.OfMean([1, 2, 3], 0.05);
        var far = MeanInterval.OfMean([1e9 + 1, 1e9 + 2, 1e9 + 3], 0.05);

        Assert.Equal(near.High - near.Low, far.High - far.Low, 1e-5);   // a one-pass variance is off by whole units here
    }

    [Fact]
    public void Mean_of_normal_losses_is_covered_as_promised()
    {
        double covered = Coverage(4000, random =>
        {
            var losses = Enumerable.Range(0, 5).Select(_ => 2 + 3 * Gaussian(random)).ToArray();
            return Holds(MeanInterval.OfMean(losses, 0.05), 2);
        });

        Assert.InRange(covered, 0.94, 0.96);   // exact method; standard error 0.34 points
    }

    [Fact]
    public void Mean_of_skewed_losses_is_covered_with_enough_samples()
    {
        double covered = Coverage(4000, random =>
        {
            var losses = Enumerable.Range(0, 200).Select(_ => -Math.Log(1 - random.NextDouble())).ToArray();
            return Holds(MeanInterval.OfMean(losses, 0.05), 1);
        });

        Assert.InRange(covered, 0.935, 0.96);
    }

    [Theory]
    [InlineData(0.1)]
    [InlineData(0.01)]
    public void Alpha_is_the_share_of_misses(double alpha)
    {
        double covered = Coverage(4000, random =>
        {
            var losses = Enumerable.Range(0, 10).Select(_ => Gaussian(random)).ToArray();
            return Holds(MeanInterval.OfMean(losses, alpha), 0);
        });

        Assert.Equal(1 - alpha, covered, 0.012);
    }

    [Fact]
    public void Ratio_is_of_sums_not_of_samples()
    {
        Assert.Equal(0.4, MeanInterval.OfRatio([3, 1], [5, 5], 0.05).Estimate);
        Assert.Equal(4.0 / 101, MeanInterval.OfRatio([3, 1], [100, 1], 0.05).Estimate);
    }

    [Fact]
    public void Ratio_with_equal_denominators_is_a_mean()
    {
        var ratio = MeanInterval.OfRatio([2, 4, 6, 8, 10], [2, 2, 2, 2, 2], 0.05);
        var mean = MeanInterval.OfMean([1, 2, 3, 4, 5], 0.05);

        Assert.Equal(mean.Low, ratio.Low, 1e-12);
        Assert.Equal(mean.High, ratio.High, 1e-12);
    }

    [Fact]
    public void Ratio_matches_a_jackknife_done_by_leaving_samples_out()
    {
        double[] above = [1, 2, 0.5, 4, 3, 1.5], below = [10, 30, 4, 25, 40, 12];
        var without = Enumerable.Range(0, 6).Select(i => (above.Sum() - above[i]) / (below.Sum() - below[i])).ToArray();
        double error = Math.Sqrt(5.0 / 6 * without.Sum(r => Math.Pow(r - without.Average(), 2)));

        var interval = MeanInterval.OfRatio(above, below, 0.05);

        Assert.Equal(interval.Estimate + 2.570582 * error, interval.High, 1e-6);   // t(0.975, 5)
    }

    [Fact]
    public void Ratio_of_correlated_sums_is_covered()
    {
        double covered = Coverage(4000, random =>
        {
            var below = Enumerable.Range(0, 400).Select(_ => Math.Exp(0.5 * Gaussian(random))).ToArray();
            var above = below.Select(d => 0.01 * d * -Math.Log(1 - random.NextDouble())).ToArray();   // relative error 0.01 on average
            return Holds(MeanInterval.OfRatio(above, below, 0.05), 0.01);
        });

        Assert.InRange(covered, 0.935, 0.96);   // with 100 of these skewed samples it is 0.93
    }

    [Fact]
    public void Ratio_of_squares_never_goes_below_zero()
    {
        var interval = MeanInterval.OfRatio([0, 0, 9], [1, 1, 1], 0.05);

        Assert.Equal(0, interval.Low);
        Assert.True(interval.High > interval.Estimate);
    }

    [Fact]
    public void Ratio_may_be_negative_if_a_numerator_is()
    {
        Assert.True(MeanInterval.OfRatio([-1, 0, 1], [1, 1, 1], 0.05).Low < 0);
    }

    [Fact]
    public void Ratio_needs_two_positive_denominators()
    {
        Assert.Equal(double.PositiveInfinity, MeanInterval.OfRatio([1, 1], [3, 0], 0.05).High);
        Assert.True(double.IsNaN(MeanInterval.OfRatio([], [], 0.05).Estimate));
    }

    [Fact]
    public void Values_that_are_not_finite_are_refused()
    {
        Assert.Throws<ArgumentException>(() => MeanInterval.OfMean([1, double.NaN], 0.05));
        Assert.Throws<ArgumentException>(() => MeanInterval.OfRatio([1, double.PositiveInfinity], [1, 1], 0.05));
        Assert.Throws<ArgumentException>(() => MeanInterval.OfRatio([1, 1], [1, -1], 0.05));
        Assert.Throws<ArgumentException>(() => MeanInterval.OfRatio([1, 1], [1], 0.05));
        Assert.Throws<ArgumentException>(() => MeanInterval.OfMean([1, 2], 2));
    }

    static double Coverage(int runs, Func<Random, bool> holds)
    {
        var random = new Random(1);
        return Enumerable.Range(0, runs).Count(_ => holds(random)) / (double)runs;
    }

    static bool Holds(Interval interval, double truth) => interval.Low <= truth && truth <= interval.High;

    static double Gaussian(Random random) =>
        Math.Sqrt(-2 * Math.Log(1 - random.NextDouble())) * Math.Cos(2 * Math.PI * random.NextDouble());
}
