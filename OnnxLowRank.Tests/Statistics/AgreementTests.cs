using OnnxLowRank.Statistics;

namespace OnnxLowRank.Tests.Statistics;

public class AgreementTests
{
    [Theory]
    [InlineData(10, 3, 0.05)]
    [InlineData(10, 0, 0.05)]
    [InlineData(10, 10, 0.05)]
    [InlineData(1, 1, 0.1)]
    [InlineData(500, 7, 0.01)]
    [InlineData(10_000, 4_321, 0.05)]
    public void Each_end_leaves_half_of_alpha_in_its_tail(int samples, int disagreements, double alpha)
    {
        var interval = Agreement.Loss(samples, disagreements, alpha);

        if (disagreements > 0)
        {
            Assert.Equal(alpha / 2, 1 - AtMost(disagreements - 1, samples, interval.Low), alpha * 1e-6);
        }
        if (disagreements < samples)
        {
            Assert.Equal(alpha / 2, AtMost(disagreements, samples, interval.High), alpha * 1e-6);
        }
    }

    [Theory]
    [InlineData(1)]
    [InlineData(30)]
    [InlineData(1000)]
    [InlineData(10_000_000)]
    public void No_disagreement_gives_the_closed_form(long samples)
    {
        var interval = Agreement.Loss(samples, 0, 0.05);
        double expected = -double.ExpM1(Math.Log(0.025) / samples);

        Assert.Equal(new(0, 0, interval.High), interval);
        Assert.Equal(expected, interval.High, expected * 1e-6);
    }

    [Fact]
    public void All_disagreeing_mirrors_none_disagreeing()
    {
        var none = Agreement.Loss(40, 0, 0.05);
        var all = Agreement.Loss(40, 40, 0.05);

        Assert.Equal(1, all.High);
        Assert.Equal(1 - none.High, all.Low, 1e-12);
    }

    [Fact]
    public void Large_samples_approach_the_normal_interval()
    {
        var interval = Agreement.Loss(100_000_000, 50_000_000, 0.05);

        Assert.Equal(0.5 - 1.959964 * 0.5e-4, interval.Low, 1e-8);   // the two differ by about 1/n
        Assert.Equal(0.5 + 1.959964 * 0.5e-4, interval.High, 1e-8);
    }

    [Theory]
    [InlineData(0.001)]
    [InlineData(0.02)]
    [InlineData(0.3)]
    public void Exact_coverage_is_never_below_nominal(double rate)
    {
        foreach (int samples in new[] { 1, 5, 20, 100, 300 })
        {
            double covered = 0;
            for (int k = 0; k <= samples; k++)
            {
                var interval = Agreement.Loss(samples, k, 0.05);
                if (interval.Low <= rate && rate <= interval.High)
                {
                    covered += AtMost(k, samples, rate) - (k > 0 ? AtMost(k - 1, samples, rate) : 0);
                }
            }

            Assert.True(covered >= 0.95 - 1e-9, $"n={samples}: covers {covered:p2}");
        }
    }

    [Fact]
    public void Smaller_alpha_widens()
    {
        var usual = Agreement.Loss(200, 5, 0.05);
        var strict = Agreement.Loss(200, 5, 0.005);

        Assert.True(strict.Low < usual.Low && strict.High > usual.High);
    }

    [Theory]
    [InlineData(0, 0, 0.05)]
    [InlineData(10, -1, 0.05)]
    [InlineData(10, 11, 0.05)]
    [InlineData(10, 1, 0.0)]
    [InlineData(10, 1, 1.0)]
    public void Impossible_arguments_are_refused(long samples, long disagreements, double alpha)
    {
        Assert.Throws<ArgumentException>(() => Agreement.Loss(samples, disagreements, alpha));
    }

    /// <summary>P(X ≤ k) of the binomial distribution, summed term by term.</summary>
    static double AtMost(int k, int n, double p)
    {
        double logTerm = n * Math.Log(1 - p), sum = Math.Exp(logTerm);
        for (int i = 1; i <= k; i++)
        {
            logTerm += Math.Log((double)(n - i + 1) / i) + Math.Log(p) - Math.Log(1 - p);
            sum += Math.Exp(logTerm);
        }
        return sum;
    }
}
