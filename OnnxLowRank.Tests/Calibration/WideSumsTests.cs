using OnnxLowRank.Calibration;
using OnnxLowRank.Numerics;

namespace OnnxLowRank.Tests.Calibration;

/// <summary>Sums that do not depend on the order of what is added.</summary>
public class WideSumsTests
{
    static double[] Rounded(double[] high, double[] low) => [.. high.Zip(low, (h, l) => h + l)];

    /// <summary>Seven, so that vectors and what is left of them are both tried.</summary>
    const int Length = 7;

    static double[] Sum(IEnumerable<double[]> terms)
    {
        double[] high = new double[Length], low = new double[Length];
        foreach (double[] term in terms)
        {
            WideSums.Add(term, high, low);
        }
        return Rounded(high, low);
    }

    [Fact]
    public void What_a_double_would_lose_is_kept()
    {
        double[][] terms = [.. new[] { 1e16, 1, 1e-3, -1e16 }.Select(value => Enumerable.Repeat(value, Length).ToArray())];

        Assert.All(Sum(terms), sum => Assert.Equal(1.001, sum));
    }

    /// <summary>A plain sum of doubles differs in some bits for nearly every order.</summary>
    [Fact]
    public void No_order_shows_in_the_rounded_sum()
    {
        double[][] terms = [.. Enumerable.Range(0, 1000).Select(seed => Gaussian.Random(1, Length, seed).Data)];
        double[] expected = Sum(terms);
        var random = new Random(1);
        int plainDiffers = 0;
        for (int i = 0; i < 50; i++)
        {
            random.Shuffle(terms);
            Assert.Equal(expected, Sum(terms));
            plainDiffers += terms.Sum(term => term[0]) == expected[0] ? 0 : 1;
        }

        Assert.True(plainDiffers > 10);
    }
}
