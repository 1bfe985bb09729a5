using OnnxLowRank.Factorization;
using OnnxLowRank.Numerics;
using OnnxLowRank.Quantization;

namespace OnnxLowRank.Tests.Factorization;

public class InputMomentTests
{
    static readonly ILinearAlgebra s_algebra = LinearAlgebra.Create(1);

    /// <summary>Of channels that are mixtures of a third as many.</summary>
    static Matrix Correlated(int channels)
    {
        var mixing = Gaussian.Random(channels, channels / 3, seed: 1);
        var moment = s_algebra.Multiply(mixing, mixing, transposeRight: true);
        for (int i = 0; i < channels; i++)
        {
            moment[i, i] += 0.02;
        }
        return moment;
    }

    /// <summary>G in full: channel c at tap t meets channel d at the same tap only.</summary>
    static Matrix InFull(Matrix channels, double[] taps)
    {
        var full = new Matrix(channels.Rows * taps.Length, channels.Rows * taps.Length);
        for (int c = 0; c < channels.Rows; c++)
        {
            for (int d = 0; d < channels.Rows; d++)
            {
                for (int t = 0; t < taps.Length; t++)
                {
                    full[c * taps.Length + t, d * taps.Length + t] = channels[c, d] * taps[t];
                }
            }
        }
        return full;
    }

    [Theory]
    [InlineData(new double[] { 1 })]
    [InlineData(new[] { 1, 0.5, 0.25 })]
    public void Products_are_those_with_the_whole_moment(double[] taps)
    {
        var channels = Correlated(12);
        var matrix = Gaussian.Random(5, 12 * taps.Length, seed: 2);

        var product = new InputMoment(channels, taps).Times(s_algebra, matrix);

        var expected = s_algebra.Multiply(matrix, InFull(channels, taps));
        Assert.All(expected.Data.Zip(product.Data), pair => Assert.Equal(pair.First, pair.Second, 1e-5));
    }

    [Theory]
    [InlineData(new double[] { 1 })]
    [InlineData(new[] { 1, 0.5, 0.25 })]
    public void What_rounding_loses_at_the_output_is_far_less_than_that_of_the_nearest(double[] taps)
    {
        var channels = Correlated(48);
        var matrix = Gaussian.Random(16, 48 * taps.Length, seed: 3);
        var moment = InFull(channels, taps);
        double Lost(NBitBlocks rounded)
        {
            var lost = new Matrix(matrix.Rows, matrix.Cols, [.. matrix.Data.Zip(rounded.Dequantize().Data, (left, right) => left - right)]);
            return s_algebra.Multiply(lost, moment).Data.Zip(lost.Data, (left, right) => left * right).Sum();
        }

        var split = new InputMoment(channels, taps);
        var rounded = split.Rounded(s_algebra, split.Feedback(s_algebra), matrix, new NBitGrid(4, matrix.Cols));

        Assert.Equal((matrix.Rows, matrix.Cols, matrix.Cols), (rounded.Rows, rounded.Cols, rounded.Grid.Block));
        Assert.InRange(Lost(rounded) / Lost(NBit.Nearest(matrix, new NBitGrid(4, matrix.Cols))), 0, 0.4);
    }
}
