using OnnxLowRank.Calibration;
using OnnxLowRank.Samples;

namespace OnnxLowRank.Tests.Calibration;

public class SampleSharesTests
{
    [Theory]
    [InlineData(4)]
    [InlineData(5)]
    [InlineData(7)]
    [InlineData(100)]
    [InlineData(1003)]
    public void Shares_are_disjoint_and_complete(int count)
    {
        var shares = SampleShares.Of(count, seed: 3);

        int[] all = [.. shares.Moments.Span, .. shares.Search.Span, .. shares.Verification.Span];
        Assert.Equal(Enumerable.Range(0, count), all.Order());
        Assert.Equal((count / 4, count / 4), (shares.Search.Length, shares.Verification.Length));
        Assert.All([shares.Moments, shares.Search, shares.Verification], share => Assert.Equal(share.ToArray().Order(), share.ToArray()));
    }

    [Fact]
    public void The_same_seed_shares_alike_and_another_does_not()
    {
        int[] Verification(int seed) => SampleShares.Of(100, seed).Verification.ToArray();

        Assert.Equal(Verification(1), Verification(1));
        Assert.NotEqual(Verification(1), Verification(2));
    }

    [Fact]
    public void Neighbours_in_the_file_are_spread_over_the_shares()
    {
        // Files are often sorted by class: a share that is one piece of the file would hold other classes than the rest.
        int[] verification = SampleShares.Of(1000, seed: 0).Verification.ToArray();

        Assert.All(Enumerable.Range(0, 4), quarter => Assert.InRange(verification.Count(index => index / 250 == quarter), 40, 85));
    }

    [Fact]
    public void Too_few_samples_are_refused()
    {
        var e = Assert.Throws<DataException>(() => SampleShares.Of(3, seed: 0));

        Assert.Contains("3 calibration samples are too few", e.Message, StringComparison.Ordinal);
    }
}
