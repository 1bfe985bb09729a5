using OnnxLowRank.Cli;

namespace OnnxLowRank.Tests.Cli;

public class ValueRangeTests
{
    [Theory]
    [InlineData("0.5", new[] { 0.5 })]
    [InlineData("1e-3", new[] { 0.001 })]
    [InlineData("3..3", new[] { 3.0 })]
    [InlineData("1..4", new[] { 1.0, 2, 3, 4 })]
    [InlineData("1..10:4", new[] { 1.0, 5, 9 })]
    [InlineData("0.1..0.3:0.1", new[] { 0.1, 0.2, 0.3 })]
    public void A_range_stands_for_its_numbers(string text, double[] expected)
    {
        double[] values = [.. ValueRange.Parse(text)!];

        Assert.Equal(expected.Length, values.Length);
        Assert.All(expected.Zip(values), pair => Assert.Equal(pair.First, pair.Second, 1e-12));
    }

    [Theory]
    [InlineData("")]
    [InlineData("x")]
    [InlineData("1..")]
    [InlineData("..4")]
    [InlineData("4..1")]
    [InlineData("1..4:0")]
    [InlineData("1..4:1:1")]
    [InlineData("1..2..3")]
    [InlineData("1..1e9")]
    [InlineData("NaN")]
    public void Anything_else_is_none(string text) => Assert.Null(ValueRange.Parse(text));
}
