using System.Numerics.Tensors;
using OnnxLowRank.Numerics;
using OnnxLowRank.Quantization;

namespace OnnxLowRank.Tests.Quantization;

public class NBitTests
{
    static readonly ILinearAlgebra s_algebra = LinearAlgebra.Create(1);

    static double Lost(Matrix weight, NBitBlocks rounded, Matrix moment)
    {
        var lost = rounded.Dequantize();
        for (int i = 0; i < lost.Data.Length; i++)
        {
            lost.Data[i] -= weight.Data[i];
        }
        var through = s_algebra.Multiply(lost, moment);
        return through.Data.Zip(lost.Data, (left, right) => left * right).Sum();
    }

    /// <summary>The moment of inputs that are mixtures of a few numbers, as a network's are.</summary>
    static Matrix Correlated(int size, int seed)
    {
        var moment = s_algebra.Gram(Gaussian.Random(size, size / 4, seed));
        for (int i = 0; i < size; i++)
        {
            moment[i, i] += 0.1;
        }
        return moment;
    }

    [Theory]
    [InlineData(4, 16, 0.7)]
    [InlineData(4, 32, 0.7)]
    [InlineData(4, 100, 0.7)]
    [InlineData(3, 100, 0.55)]
    [InlineData(5, 100, 0.7)]
    [InlineData(6, 100, 0.7)]
    public void Every_element_is_within_half_a_step_of_its_block_or_cut_off_little(int bits, int block, double finest)
    {
        var matrix = Gaussian.Random(5, 100, seed: 1);
        int half = 1 << (bits - 1);

        var rounded = NBit.Nearest(matrix, new NBitGrid(bits, block));

        var back = rounded.Dequantize();
        for (int i = 0; i < matrix.Rows; i++)
        {
            for (int j = 0; j < matrix.Cols; j++)
            {
                int start = j / block * block, count = Math.Min(block, matrix.Cols - start);
                double extreme = matrix.Row(i).Slice(start, count).ToArray().Max(Math.Abs), step = Math.Abs(rounded.Scales[i * rounded.BlocksPerRow + j / block]);
                Assert.InRange(step, finest * extreme / half, 1.001 * extreme / half);
                Assert.InRange(Math.Abs(matrix[i, j] - back[i, j]), 0, Math.Max(0.501 * step, Math.Abs(matrix[i, j]) - (half - 1.01) * step));
            }
        }
    }

    [Theory]
    [InlineData(4, 7, 7)]
    [InlineData(4, 20, 16)]
    [InlineData(3, 7, 7)]
    [InlineData(5, 7, 7)]
    [InlineData(6, 20, 20)]
    public void Values_are_read_as_they_were_set_whatever_the_columns(int bits, int cols, int block)
    {
        var grid = new NBitGrid(bits, block);
        int half = 1 << (bits - 1);
        var draft = new NBitDraft(3, cols, grid);
        Array.Fill(draft.Scales, 0.5f);
        for (int i = 0; i < 3 * cols; i++)
        {
            draft.Set(i / cols, i % cols, 0.5 * (i % (2 * half) - half));
            draft.Set(i / cols, i % cols, 0.5 * (i * 5 % (2 * half) - half)); // over an earlier value
        }

        var blocks = draft.Done();

        sbyte[] expected = [.. Enumerable.Range(0, 3 * cols).Select(i => (sbyte)(i * 5 % (2 * half) - half))];
        Assert.Equal(expected, blocks.Plain(transposed: false));
        Assert.Equal(expected[cols + 2], blocks.Plain(transposed: true)[2 * 3 + 1]);
        Assert.Equal(3 * NBitBlocks.RowBytes(cols, grid), blocks.Packed.Length);
        Assert.Equal(blocks.Packed.ToArray(), NBitBlocks.Joined([blocks]).Packed.ToArray());
    }

    [Fact]
    public void Half_as_many_values_lose_about_four_times_as_much()
    {
        var matrix = Gaussian.Random(8, 2000, seed: 2);
        double Lost(int bits)
        {
            var back = NBit.Nearest(matrix, new NBitGrid(bits, 2000)).Dequantize();
            return matrix.Data.Zip(back.Data, (wanted, value) => (wanted - value) * (wanted - value)).Average();
        }

        // Max (1960), table II: 0.0374, 0.0115, 0.0035, 0.0010 of the variance, of infinitely many numbers; a row's own extreme is nearer
        Assert.InRange(Lost(3), 0.037, 0.047);
        Assert.InRange(Lost(4), 0.0115, 0.0135);
        Assert.InRange(Lost(5), 0.0034, 0.0042);
        Assert.InRange(Lost(6), 0.0009, 0.0012);
    }

    [Fact]
    public void Wider_steps_cut_off_the_extreme_that_they_do_not_reach()
    {
        var narrow = NBit.Nearest(new(2, 2, [1, -0.5, 4, 2]), new NBitGrid(4, 2)); // steps -1/8 and -1/2

        var wider = narrow.WithStepsOfAtLeast([0.126f, 0.126f]);

        Assert.Equal([0.126f, narrow.Scales[1]], wider.Scales);
        Assert.Equal([7, -4, -8, -4], wider.Plain(transposed: false).Select(value => (int)value));
    }

    [Fact]
    public void The_extreme_keeps_its_sign()
    {
        Assert.Equal(-1, NBit.Nearest(new(1, 2, [-1, 0.5]), new NBitGrid(4, 16)).Dequantize()[0, 0], 6);
        Assert.Equal(1, NBit.Nearest(new(1, 2, [1, -0.5]), new NBitGrid(4, 16)).Dequantize()[0, 0], 6);
    }

    [Fact]
    public void Zeros_and_next_to_nothing_are_zeros()
    {
        var rounded = NBit.Nearest(new(1, 3, [0, 1e-44, -1e-44]), new NBitGrid(4, 16));

        Assert.All(rounded.Dequantize().Data, value => Assert.Equal(0, value));
        Assert.All(rounded.Packed.ToArray(), value => Assert.Equal(0x88, value));
    }

    [Fact]
    public void The_block_is_the_one_that_takes_the_fewest_bytes()
    {
        Assert.Equal((16, 16, 32, 64, 128), (NBit.BlockFor(10, 128), NBit.BlockFor(48, 32), NBit.BlockFor(64, 32), NBit.BlockFor(64, 128), NBit.BlockFor(1000, 128)));
    }

    [Theory]
    [InlineData(32, 40)]
    [InlineData(64, 128)]
    [InlineData(16, 300)]
    [InlineData(300, 300)]
    public void Feedback_loses_much_less_of_the_output_than_rounding_to_the_nearest(int block, int size)
    {
        var weight = Gaussian.Random(24, size, seed: 2);
        var moment = Correlated(size, seed: 3);

        double nearest = Lost(weight, NBit.Nearest(weight, new NBitGrid(4, block)), moment);
        double fedBack = Lost(weight, NBit.WithFeedback(s_algebra, weight, new(s_algebra, moment), new NBitGrid(4, block)), moment);

        Assert.InRange(fedBack / nearest, 0, 0.5);
    }

    /// <summary>tr(M·E·H·Eᵀ).</summary>
    static double LostOf(Matrix weight, NBitBlocks rounded, Matrix inputs, Matrix outputs)
    {
        var lost = rounded.Dequantize();
        TensorPrimitives.Subtract<double>(lost.Data, weight.Data, lost.Data);
        var through = s_algebra.Multiply(s_algebra.Multiply(outputs, lost), inputs);
        return TensorPrimitives.Dot<double>(through.Data, lost.Data);
    }

    [Theory]
    [InlineData(40, 200, 3)]
    [InlineData(70, 100, 4)]
    public void Feedback_across_outputs_loses_much_less_of_what_they_do(int outputs, int inputs, int bits)
    {
        var weight = Gaussian.Random(outputs, inputs, seed: 5);
        Matrix moment = Correlated(inputs, seed: 6), matters = Correlated(outputs, seed: 7);
        ErrorFeedback feedback = new(s_algebra, moment), across = new(s_algebra, matters);
        var grid = new NBitGrid(bits, inputs);

        double alone = LostOf(weight, NBit.WithFeedback(s_algebra, weight, feedback, grid), moment, matters);
        double together = LostOf(weight, NBit.WithFeedback(s_algebra, weight, feedback, grid, across), moment, matters);

        Assert.InRange(together / alone, 0, 0.5);
    }

    [Theory]
    [InlineData(70, 150, 1)] // more outputs than a band and more inputs than a stripe
    [InlineData(40, 130, 4)] // four rows per output, as a kernel of four taps has
    public void Feedback_across_outputs_is_what_the_definition_says(int outputs, int inputs, int rowsEach)
    {
        var weight = Gaussian.Random(outputs * rowsEach, inputs, seed: 8);
        ErrorFeedback feedback = new(s_algebra, Correlated(inputs, seed: 9)), across = new(s_algebra, Correlated(outputs, seed: 10));
        var grid = new NBitGrid(4, inputs);
        float[] scales = NBit.RowScales(weight, grid);

        var rounded = NBit.WithFeedback(s_algebra, weight, feedback, grid, across, scales).Dequantize();

        var lost = new Matrix(weight.Rows, inputs);
        var seen = new Matrix(weight.Rows, inputs);
        for (int row = 0; row < weight.Rows; row++)
        {
            for (int col = 0; col < inputs; col++)
            {
                double received = Enumerable.Range(0, row / rowsEach).Sum(k => across.Carried(row / rowsEach, k, [1]) * lost[k * rowsEach + row % rowsEach, col]);
                double carried = Enumerable.Range(0, col).Sum(k => feedback.Carried(col, k, [1]) * seen[row, k]);
                double value = scales[row] * (double)NBit.Nearest(weight[row, col] + received + carried, scales[row], grid);
                lost[row, col] = weight[row, col] - value;
                seen[row, col] = lost[row, col] + received;
            }
        }
        double different = Enumerable.Range(0, weight.Data.Length).Count(i => Math.Abs(weight.Data[i] - lost.Data[i] - rounded.Data[i]) > 1e-9);
        Assert.True(different == 0, $"{different} of {weight.Data.Length} values");
    }

    [Fact]
    public void Without_correlations_feedback_changes_nothing()
    {
        var weight = Gaussian.Random(6, 200, seed: 4);

        var fedBack = NBit.WithFeedback(s_algebra, weight, new(s_algebra, Matrix.Identity(200)), new NBitGrid(4, 32));

        Assert.Equal(NBit.Nearest(weight, new NBitGrid(4, 32)).Packed.ToArray(), fedBack.Packed.ToArray());
        Assert.Equal(NBit.Nearest(weight, new NBitGrid(4, 32)).Scales, fedBack.Scales);
    }

    [Fact]
    public void Where_outputs_are_unrelated_feedback_across_them_changes_nothing()
    {
        var weight = Gaussian.Random(50, 200, seed: 4);
        var feedback = new ErrorFeedback(s_algebra, Correlated(200, seed: 3));

        var across = NBit.WithFeedback(s_algebra, weight, feedback, new NBitGrid(4, 32), new(s_algebra, Matrix.Identity(50)));

        var alone = NBit.WithFeedback(s_algebra, weight, feedback, new NBitGrid(4, 32));
        Assert.Equal(alone.Packed.ToArray(), across.Packed.ToArray());
        Assert.Equal(alone.Scales, across.Scales);
    }

    [Fact]
    public void Inputs_that_are_functions_of_each_other_get_finite_feedback()
    {
        var feedback = new ErrorFeedback(s_algebra, new(2, 2, [1, 1, 1, 1]));

        Assert.Equal(1, feedback.Carried(1, 0, [1]), 1e-5);
    }

    [Fact]
    public void A_moment_that_is_no_moment_is_refused()
    {
        Assert.Throws<ArithmeticException>(() => new ErrorFeedback(s_algebra, new(2, 2, [1, 0, 0, -1])));
        Assert.Throws<ArithmeticException>(() => new ErrorFeedback(s_algebra, new(2, 2, [double.NaN, 0, 0, 1])));
    }
}
