namespace OnnxLowRank.Tests;

public class TargetTests
{
    [Theory]
    [InlineData("0.2", 0.2, true)]
    [InlineData("5MB", 5e6, false)]
    [InlineData("700KiB", 700 * 1024, false)]
    [InlineData("1.5GB", 1.5e9, false)]
    [InlineData("900B", 900, false)]
    public void Sizes_are_read(string text, double value, bool isFraction) => Assert.Equal(new Target(value, isFraction), Target.Size(text));

    [Theory]
    [InlineData("0.5", 0.5, true)]
    [InlineData("3ms", 3, false)]
    [InlineData("250us", 0.25, false)]
    [InlineData("1.5s", 1500, false)]
    public void Times_are_read(string text, double milliseconds, bool isFraction) => Assert.Equal(new Target(milliseconds, isFraction), Target.Time(text));

    [Theory]
    [InlineData("")]
    [InlineData("0")]
    [InlineData("-1")]
    [InlineData("1")]
    [InlineData("20")]
    [InlineData("NaN")]
    [InlineData("0,2")]
    [InlineData("MB")]
    [InlineData("5 MB")]
    [InlineData("5mb")]
    [InlineData("3ms")]
    public void Anything_else_is_no_size(string text) => Assert.Null(Target.Size(text));

    [Fact]
    public void A_fraction_is_of_the_original() => Assert.Equal((20, 7), (new Target(0.2, true).Of(100), new Target(7, false).Of(100)));
}
