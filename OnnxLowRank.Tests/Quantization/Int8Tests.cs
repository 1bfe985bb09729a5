using OnnxLowRank.Quantization;

namespace OnnxLowRank.Tests.Quantization;

public class Int8Tests
{
    [Theory]
    [InlineData(1, 1)]
    [InlineData(7, 33)]
    [InlineData(64, 10)]
    public void Every_element_is_within_half_a_step(int rows, int cols)
    {
        float[] matrix = TinyModel.Random([rows, cols], seed: 5);
        for (int i = 0; i < matrix.Length; i++)
        {
            matrix[i] *= MathF.Pow(10, i / cols % 7 - 3); // rows of very different sizes
        }

        var quantized = Int8.PerRow(matrix, rows);

        for (int i = 0; i < matrix.Length; i++)
        {
            float scale = quantized.Scales[i / cols];
            Assert.True(MathF.Abs(matrix[i] - scale * quantized.Values[i]) <= scale * 0.5001f);
        }
        for (int i = 0; i < rows; i++)
        {
            var row = matrix.AsSpan(i * cols, cols).ToArray();
            Assert.Equal(row.Max(MathF.Abs) / 127, quantized.Scales[i], 1e-6f * quantized.Scales[i]);
            Assert.Equal(127, quantized.Values.AsSpan(i * cols, cols).ToArray().Max(value => Math.Abs((int)value)));
        }
    }

    /// <summary>What vpmaddubsw does, the multiply-add of x86 without dot-product instructions: two products are added in 16 bits and saturate there.</summary>
    static int SaturatingDot(byte[] activations, sbyte[] weights)
    {
        int sum = 0;
        for (int i = 0; i < weights.Length; i += 2)
        {
            sum += Math.Clamp(activations[i] * weights[i] + activations[i + 1] * weights[i + 1], short.MinValue, short.MaxValue);
        }
        return sum;
    }

    [Theory]
    [InlineData(8, true)]
    [InlineData(7, false)]
    public void Weights_of_7_bits_never_saturate_the_sum_of_two_products_and_those_of_8_bits_do(int bits, bool saturates)
    {
        var random = new Random(1);
        float[][] rows = [[1, 1, -1, -1], [-1, -1, -1, -1], .. Enumerable.Range(0, 50).Select(_ => TinyModel.Random([64], random.Next()))];
        int wrong = 0;
        foreach (float[] row in rows)
        {
            sbyte[] weights = Int8.PerRow(row, rows: 1, bits: bits).Values;
            foreach (bool isLargest in new[] { true, false })
            {
                byte[] activations = [.. weights.Select(_ => isLargest ? (byte)255 : (byte)random.Next(256))];
                wrong += SaturatingDot(activations, weights) != weights.Select((weight, i) => weight * activations[i]).Sum() ? 1 : 0;
            }
        }

        Assert.Equal(saturates, wrong > 0);
    }

    [Fact]
    public void Seven_bits_have_steps_twice_as_large()
    {
        var quantized = Int8.PerRow([-2, 2, 1, -0.5f], rows: 1, bits: 7);

        Assert.Equal([-64, 64, 32, -16], quantized.Values);
        Assert.Equal([2f / 64], quantized.Scales);
    }

    [Fact]
    public void Rows_of_zeros_or_of_next_to_nothing_are_zeros()
    {
        var quantized = Int8.PerRow([0, 0, 1e-44f, -1e-44f, 1, -1], rows: 3);

        Assert.Equal([0, 0, 0, 0, 127, -127], quantized.Values);
        Assert.Equal([1, 1, 1f / 127], quantized.Scales);
    }

    [Fact]
    public void Both_signs_reach_the_same_size()
    {
        Assert.Equal([-127, 127, -64, 64], Int8.PerRow([-2, 2, -1.01f, 1.01f], rows: 1).Values);
        Assert.Equal([-127, 0], Int8.PerRow([-5, 0], rows: 1).Values);
    }

    [Fact]
    public void No_rows_and_no_columns_are_no_error()
    {
        Assert.Empty(Int8.PerRow([], rows: 0).Scales);
        Assert.Equal([1, 1], Int8.PerRow([], rows: 2).Scales);
    }

    [Fact]
    public void Transposed_values_have_columns_first()
    {
        Assert.Equal([1, 4, 2, 5, 3, 6], new Int8Rows([1, 2, 3, 4, 5, 6], [1, 1]).TransposedValues());
    }

    [Theory]
    [InlineData(1e6, 1e-3f)]
    [InlineData(-123.0, 1e-8f)]
    [InlineData(0.1, 0.02f)]
    [InlineData(1e30, 1f)]
    public void A_step_chosen_for_a_bias_lets_it_fit_32_bits(double bias, float inputScale)
    {
        float smallest = Int8.SmallestScaleForBias(bias, inputScale);

        float scale = Int8.PerRow([1e-30f, 0], rows: 1, [smallest]).Scales[0];

        double units = bias / ((double)scale * inputScale);
        Assert.InRange(Math.Abs(units), 0, int.MaxValue / 1.5);
        Assert.True(scale >= smallest);
    }

    [Fact]
    public void A_step_that_is_large_enough_is_not_changed_for_a_bias()
    {
        Assert.Equal(1f / 127, Int8.PerRow([1, 0], rows: 1, [Int8.SmallestScaleForBias(5, 0.1f)]).Scales[0]);
    }

    [Theory]
    [InlineData(-1.0, 1.0)]
    [InlineData(0.0, 6.0)]
    [InlineData(-7.0, 0.0)]
    [InlineData(3.0, 5.0)]
    [InlineData(-5.0, -3.0)]
    [InlineData(-1e-3, 4e3)]
    [InlineData(-0.3, 0.7)]
    public void A_grid_covers_its_range_and_holds_zero_exactly(double min, double max)
    {
        var grid = UInt8Grid.Covering(min, max);

        double lowest = grid.Scale * (0 - grid.ZeroPoint), highest = grid.Scale * (255 - grid.ZeroPoint);
        Assert.Equal(Math.Min(min, 0), lowest, grid.Scale * 0.501);
        Assert.Equal(Math.Max(max, 0), highest, grid.Scale * 0.501);
        Assert.Equal((Math.Max(max, 0) - Math.Min(min, 0)) / 255, grid.Scale, 1e-6 * grid.Scale);
        if (min >= 0)
        {
            Assert.Equal(0, grid.ZeroPoint); // what a Relu makes uses all 256 values
        }
        if (max <= 0)
        {
            Assert.Equal(255, grid.ZeroPoint);
        }
    }

    [Fact]
    public void A_range_of_nothing_has_a_grid_all_the_same()
    {
        Assert.Equal(new UInt8Grid(1, 0), UInt8Grid.Covering(0, 0));
        Assert.Equal(new UInt8Grid(1, 0), UInt8Grid.Covering(0, 1e-44));
    }
}
