using OnnxLowRank.Factorization;

namespace OnnxLowRank.Tests;

public class LayerSpectrumTests
{
    static Spectrum Falling(int count)
    {
        double[] energy = [.. Enumerable.Range(1, count).Select(i => 4.0 / i / i)];
        return new(energy, energy.Sum() + 1);
    }

    [Fact]
    public void Values_are_singular_and_relative_to_the_largest()
    {
        var spectrum = LayerSpectrum.Of("a", "output", 10, Falling(4), rank: 2);

        Assert.Equal([1, 2, 3, 4], spectrum.Ranks);
        Assert.Equal([1, 1f / 2, 1f / 3, 1f / 4], spectrum.Values);
        Assert.Equal((4 + 1.0) / (4 + 1 + 4 / 9.0 + 4 / 16.0 + 1), spectrum.KeptEnergy!.Value, 1e-12);
    }

    [Theory]
    [InlineData(1)]
    [InlineData(64)]
    [InlineData(65)]
    [InlineData(3000)]
    public void A_long_spectrum_is_thinned_and_keeps_its_ends(int count)
    {
        var spectrum = LayerSpectrum.Of("a", "output", count, Falling(count), rank: null);

        Assert.Equal(spectrum.Ranks.Count, spectrum.Values.Count);
        Assert.InRange(spectrum.Ranks.Count, Math.Min(count, 32), 64);
        Assert.Equal((1, count), (spectrum.Ranks[0], spectrum.Ranks[^1]));
        Assert.Equal(spectrum.Ranks.Distinct().Order(), spectrum.Ranks);
        Assert.Equal(1f / count, spectrum.Values[^1], 1e-6f);
        Assert.Null(spectrum.KeptEnergy);
    }

    [Fact]
    public void A_weight_of_zeros_has_a_spectrum_of_zeros()
    {
        var spectrum = LayerSpectrum.Of("a", "output", 2, new([0, 0], 0), rank: 1);

        Assert.Equal([0, 0], spectrum.Values);
        Assert.Null(spectrum.KeptEnergy);
    }
}
