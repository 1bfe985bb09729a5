using System.Numerics.Tensors;
using OnnxLowRank.Numerics;

namespace OnnxLowRank.Quantization;

/// <summary>Quantization of weights to few bits, symmetric, in blocks along rows.</summary>
static class NBit
{
    /// <summary>The smallest block that kernels take.</summary>
    public const int SmallestBlock = 16;

    /// <summary>Columns that are rounded before their error is handed on to all that follow, by one matrix product.</summary>
    const int Stripe = 128;

    /// <summary>Outputs that are rounded before all that follow get their part of the errors, by one matrix product.</summary>
    const int Band = 32;

    /// <summary>How much finer each step is that is tried for a block, in units of the one that just reaches its extreme.</summary>
    const double Finer = 0.06;

    public static int BlocksOf(int cols, int block) => (cols + block - 1) / block;

    /// <summary>Bytes of a matrix's values in 4 bits and scales, packed in blocks.</summary>
    public static double Bytes(int rows, int cols, int block) => rows * (double)BlocksOf(cols, block) * (block / 2 + sizeof(float));

    /// <summary>The block that takes the fewest bytes for this many columns, at most <paramref name="largest"/>; of equals, the finer.</summary>
    public static int BlockFor(int cols, int largest)
    {
        int best = SmallestBlock;
        for (int block = 2 * SmallestBlock; block <= largest; block *= 2)
        {
            best = Bytes(1, cols, block) < Bytes(1, cols, best) ? block : best;
        }
        return best;
    }

    /// <summary>Rounds every element to the nearest value of its block.</summary>
    /// <param name="matrix">(rows, cols).</param>
    public static NBitBlocks Nearest(Matrix matrix, NBitGrid grid)
    {
        int block = grid.Block;
        var rounded = new NBitDraft(matrix.Rows, matrix.Cols, grid);
        for (int i = 0; i < matrix.Rows; i++)
        {
            var row = matrix.Row(i);
            for (int j = 0; j < matrix.Cols; j++)
            {
                if (j % block == 0)
                {
                    rounded.Scales[rounded.ScaleOf(i, j)] = Scale(row.Slice(j, Math.Min(block, matrix.Cols - j)), grid);
                }
                rounded.Set(i, j, row[j]);
            }
        }
        return rounded.Done();
    }

    /// <summary>
    /// Rounds column after column, each corrected for what the columns before it did to the output, so that E‖(W − Q)·x‖² is small
    /// rather than ‖W − Q‖². Source: Frantar et al., "GPTQ" (2022), in the form of Chee et al., "QuIP" (2023), which inverts nothing.
    /// Where errors of some outputs matter more than others', rows are corrected for the rows before them, too.
    /// Source: Tseng, Sun and De Sa, "Model-preserving adaptive rounding" (2025).
    /// </summary>
    /// <param name="matrix">W (rows, cols).</param>
    /// <param name="across">Of the outputs, to each of which as many consecutive rows belong; null where all count alike.</param>
    /// <param name="scales">One per row, of one block each; null chooses each block's when it is reached.</param>
    public static NBitBlocks WithFeedback(ILinearAlgebra algebra, Matrix matrix, ErrorFeedback feedback, NBitGrid grid, ErrorFeedback? across = null, float[]? scales = null)
    {
        var rounded = new NBitDraft(matrix.Rows, matrix.Cols, grid);
        scales?.CopyTo(rounded.Scales, 0);
        var targets = matrix.Copy();
        for (int first = 0; first < matrix.Cols; first += Stripe)
        {
            var errors = new Matrix(matrix.Rows, Math.Min(Stripe, matrix.Cols - first));
            int start = first;
            void Round(int row, ReadOnlySpan<double> received) => RoundRow(rounded, row, start, matrix.Row(row), targets.Row(row), received, errors.Row(row), feedback, hasScales: scales != null);
            if (across == null)
            {
                Parallel.For(0, matrix.Rows, new ParallelOptions { MaxDegreeOfParallelism = algebra.Threads }, row => Round(row, []));
            }
            else
            {
                RoundAcross(algebra, across, errors, Round);
            }
            feedback.HandOn(algebra, errors, first, targets);
        }
        return rounded.Done();
    }

    /// <summary>Rounds a stripe output after output.</summary>
    /// <param name="errors">Of the stripe's rows, as far as they are rounded, with what they received.</param>
    /// <param name="round">Rounds a row, given what it receives.</param>
    static void RoundAcross(ILinearAlgebra algebra, ErrorFeedback across, Matrix errors, RowRounding round)
    {
        int rowsEach = errors.Rows / across.Size;
        var lost = new Matrix(across.Size, rowsEach * errors.Cols);
        for (int top = 0; top < across.Size; top += Band)
        {
            int count = Math.Min(Band, across.Size - top);
            var received = across.Received(algebra, lost, top, count);
            for (int i = 0; i < count; i++)
            {
                int output = top + i;
                across.Receive(output, top, lost, received.Row(i));
                for (int row = 0; row < rowsEach; row++)
                {
                    round(output * rowsEach + row, received.Row(i).Slice(row * errors.Cols, errors.Cols));
                }
                var made = errors.Data.AsSpan(output * lost.Cols, lost.Cols);
                TensorPrimitives.Subtract<double>(made, received.Row(i), lost.Row(output));
            }
        }
    }

    delegate void RowRounding(int row, ReadOnlySpan<double> received);

    /// <param name="weight">The row of W.</param>
    /// <param name="target">The same with what it gets from the errors of all stripes before.</param>
    /// <param name="received">What it gets from the rows before it, in this stripe; empty for nothing.</param>
    /// <param name="errors">Of the stripe: what is left of W and of what was received.</param>
    static void RoundRow(
        NBitDraft rounded, int row, int start, ReadOnlySpan<double> weight, Span<double> target, ReadOnlySpan<double> received, Span<double> errors, ErrorFeedback feedback, bool hasScales)
    {
        int block = rounded.Grid.Block;
        weight.Slice(start, errors.Length).CopyTo(errors);
        if (!received.IsEmpty)
        {
            var part = target.Slice(start, errors.Length);
            TensorPrimitives.Add(part, received, part);
            TensorPrimitives.Add(errors, received, errors);
        }
        for (int j = 0; j < errors.Length; j++)
        {
            int col = start + j;
            if (!hasScales && col % block == 0)
            {
                // What the block will be rounded from is known as far as the errors before it are.
                var ahead = target.Slice(col, Math.Min(block, target.Length - col));
                for (int k = 0; j > 0 && k < ahead.Length && j + k < errors.Length; k++)
                {
                    ahead[k] += feedback.Carried(col + k, start, errors[..j]);
                }
                rounded.Scales[rounded.ScaleOf(row, col)] = Scale(ahead, rounded.Grid);
            }
            int known = Math.Max(0, col / block * block - start); // errors before the block are in the target
            errors[j] -= rounded.Set(row, col, target[col] + feedback.Carried(col, start + known, errors[known..j]));
        }
    }

    /// <summary>The best step for every row as a whole.</summary>
    public static float[] RowScales(Matrix matrix, NBitGrid grid)
    {
        var scales = new float[matrix.Rows];
        for (int i = 0; i < scales.Length; i++)
        {
            scales[i] = Scale(matrix.Row(i), grid);
        }
        return scales;
    }

    /// <summary>Some matrix.</summary>
    public static NBitBlocks Any(int rows, int cols, NBitGrid grid)
    {
        var any = new NBitDraft(rows, cols, grid);
        Array.Fill(any.Scales, 1f / 128);
        return any.Done();
    }

    /// <summary>The value that stands for a number best; 0 on steps of nothing.</summary>
    public static int Nearest(double number, float scale, NBitGrid grid) =>
        scale == 0 ? 0 : (int)Math.Clamp(Math.Round(number / scale), -grid.Half, grid.Half - 1);

    /// <summary>
    /// The least step that is tried, in units of the one that reaches the extreme: cutting the extreme off a little makes all others
    /// finer, which with fewer values is worth more.
    /// </summary>
    static double Finest(NBitGrid grid) => grid.Bits < 4 ? 0.58 : 0.76;

    /// <summary>The best step for a block; its sign is such that the extreme becomes the most negative value, which has no positive twin.</summary>
    static float Scale(ReadOnlySpan<double> block, NBitGrid grid)
    {
        double extreme = 0;
        foreach (double value in block)
        {
            extreme = Math.Abs(value) > Math.Abs(extreme) ? value : extreme;
        }
        if (!(Math.Abs(extreme) > 16 * float.Epsilon))
        {
            return 0;
        }
        float best = 0;
        double finest = Finest(grid) - Finer / 2, least = double.PositiveInfinity;
        for (double step = 1; step > finest; step -= Finer)
        {
            float scale = (float)(step * extreme / -grid.Half);
            double loss = 0;
            foreach (double value in block)
            {
                double error = value - (double)scale * Nearest(value, scale, grid);
                loss += error * error;
            }
            if (loss < least)
            {
                (least, best) = (loss, scale);
            }
        }
        return best;
    }
}
