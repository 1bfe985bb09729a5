namespace OnnxLowRank.Tests;

public class SensitivityTests
{
    [Fact]
    public void Few_layers_are_measured_on_many_samples() => Assert.Equal(256, Sensitivity.SamplesEach(2000, 40));

    [Theory]
    [InlineData(2000, 200)]
    [InlineData(512, 98)]
    [InlineData(256, 34)]
    public void Many_layers_share_eight_passes(int samples, int measurements)
    {
        int each = Sensitivity.SamplesEach(samples, measurements);

        Assert.InRange((double)each * measurements / samples, 7, 8);
    }

    [Fact]
    public void No_measurement_is_left_without_samples() => Assert.Equal(8, Sensitivity.SamplesEach(20, 1000));
}
