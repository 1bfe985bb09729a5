using OnnxLowRank.Numerics;

namespace OnnxLowRank.Tests.Numerics;

public class GaussianTests
{
    [Fact]
    public void The_integers_are_those_of_the_published_generators()
    {
        var state = new ulong[4];
        Gaussian.Seed(state, 1234567); // splitmix64.c, compiled
        Assert.Equal([6457827717110365317, 3203168211198807973, 9817491932198370423, 4593380528125082431], state);

        ulong[] counting = [1, 2, 3, 4]; // the reference vector in the tests of Rust's rand_xoshiro
        Assert.Equal([41943041, 58720359, 3588806011781223, 3591011842654386], new[] { 0, 0, 0, 0 }.Select(_ => Gaussian.Next(counting)));
    }

    [Fact]
    public void The_logarithm_is_right_to_the_last_bits()
    {
        for (double x = 1e-30; x < 1; x *= 1.01)
        {
            Assert.Equal(1, Gaussian.Log(x) / Math.Log(x), 4e-16); // two units in the last place
        }
        Assert.Equal(0, Gaussian.Log(1));
    }

    [Fact]
    public void A_seed_gives_these_bits_on_every_platform_and_for_ever()
    {
        Assert.Equal([4607014870392941435, -4620101263604288140, 4608715109237900042, 4600919044288970343], Gaussian.Random(2, 2, seed: 42).Data.Select(BitConverter.DoubleToInt64Bits));
    }

    [Fact]
    public void A_shorter_matrix_is_the_start_of_a_longer_one_and_other_seeds_are_other_matrices()
    {
        var matrix = Gaussian.Random(3, 5, seed: 1);

        Assert.Equal(matrix.Data[..9], Gaussian.Random(3, 3, seed: 1).Data);
        Assert.NotEqual(matrix.Data, Gaussian.Random(3, 5, seed: 2).Data);
        Assert.NotEqual(matrix.Data, Gaussian.Random(3, 5, seed: -1).Data);
        Assert.Empty(Gaussian.Random(0, 5, seed: 1).Data);
    }

    [Fact]
    public void Moments_tails_and_correlations_are_those_of_independent_standard_normals()
    {
        const int count = 400_000;
        var x = Gaussian.Random(1, count, seed: 3).Data;

        double Mean(Func<int, double> f) => Enumerable.Range(0, count - 2).Average(f);

        // Five standard errors each: √(variance of the term / count).
        double unit = 5 / Math.Sqrt(count);
        Assert.Equal(0, Mean(i => x[i]), unit);
        Assert.Equal(1, Mean(i => x[i] * x[i]), unit * Math.Sqrt(2));
        Assert.Equal(0, Mean(i => Math.Pow(x[i], 3)), unit * Math.Sqrt(15));
        Assert.Equal(3, Mean(i => Math.Pow(x[i], 4)), unit * Math.Sqrt(96));
        Assert.Equal(0, Mean(i => x[i] * x[i + 1]), unit);
        Assert.Equal(0, Mean(i => x[i] * x[i + 2]), unit);
        Assert.Equal(0.0026998, Mean(i => Math.Abs(x[i]) > 3 ? 1 : 0), unit * Math.Sqrt(0.0027));
    }
}
