using OnnxLowRank.Planning;

namespace OnnxLowRank.Tests.Planning;

public class DamageCurveTests
{
    [Fact]
    public void A_power_law_through_two_points_passes_through_both()
    {
        var curve = DamageCurve.Through([(0.03, 2 * Math.Pow(0.03, 1.5)), (0.2, 2 * Math.Pow(0.2, 1.5))]);

        Assert.Equal(1.5, curve.Exponent, 1e-9);
        Assert.Equal(2 * Math.Pow(0.1, 1.5), curve.At(0.1), 1e-9);
        Assert.Equal(0, curve.At(0));
    }

    [Fact]
    public void Rounding_does_what_was_measured_of_it_or_what_the_curve_says()
    {
        var curve = DamageCurve.Through([(0.03, 2 * Math.Pow(0.03, 1.5)), (0.2, 2 * Math.Pow(0.2, 1.5))]);

        var measured = curve with { PerRounding = 5 };

        Assert.Equal([curve.At(0.01), 0], [curve.OfRounding(0.01), curve.OfRounding(0)]);
        Assert.Equal([0.05, 0], [measured.OfRounding(0.01), measured.OfRounding(0)]);
        Assert.Equal(curve.At(0.11), measured.At(0.11));
    }

    [Fact]
    public void Damage_falls_at_least_as_fast_as_the_error_below_the_smallest_measured_one()
    {
        var curve = DamageCurve.Through([(0.03, 0.01), (0.12, 0.02)]);
        var steep = DamageCurve.Through([(0.03, 0.01), (0.12, 0.16)]);

        Assert.Equal(0.5, curve.Exponent, 1e-9);
        Assert.Equal([0.02, 0.01, 0.001, 1e-5], new[] { 0.12, 0.03, 0.003, 3e-5 }.Select(error => Math.Round(curve.At(error), 9)));
        Assert.Equal([0.16, 0.01, 0.0001], new[] { 0.12, 0.03, 0.003 }.Select(error => Math.Round(steep.At(error), 9)));
        Assert.All([0.5, 0.12, 0.03, 0.003], error => Assert.Equal(error, curve.ErrorOf(curve.At(error)), 1e-9));
    }

    [Fact]
    public void One_point_gives_a_straight_line()
    {
        var curve = DamageCurve.Through([(0.1, 0.4)]);

        Assert.Equal(0.8, curve.At(0.2), 1e-12);
    }

    [Theory]
    [InlineData(0.5, 0.4, 0.5)]  // damage that falls as the error grows is noise
    [InlineData(1e-9, 1.0, 3.0)] // a cliff
    public void Exponents_beyond_reason_are_clamped_and_the_curve_keeps_the_larger_error(double small, double large, double exponent)
    {
        var curve = DamageCurve.Through([(0.03, small), (0.2, large)]);

        Assert.Equal(exponent, curve.Exponent, 1e-12);
        Assert.Equal(large, curve.At(0.2), 1e-9);
    }

    [Fact]
    public void A_layer_without_damage_or_without_error_gives_finite_numbers()
    {
        Assert.True(double.IsFinite(DamageCurve.Through([(0.03, 0), (0.2, 0)]).At(0.5)));
        Assert.True(double.IsFinite(DamageCurve.Through([(0, 0)]).At(0.5)));
    }
}
