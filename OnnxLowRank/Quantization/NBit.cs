using OnnxLowRank.Numerics;

namespace OnnxLowRank.Quantization;

/// <summary>Quantization of weights to few bits, symmetric, in blocks along rows.</summary>
static class NBit
{
    /// <summary>The smallest block that kernels take.</summary>
    public const int SmallestBlock = 16;

    /// <summary>Columns that are rounded before their error is handed on to all that follow, by one matrix product.</summary>
    const int Stripe = 128;

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
    /// </summary>
    /// <param name="matrix">W (rows, cols).</param>
    /// <param name="scales">One per row, of one block each; null chooses each block's when it is reached.</param>
    public static NBitBlocks WithFeedback(ILinearAlgebra algebra, Matrix matrix, ErrorFeedback feedback, NBitGrid grid, float[]? scales = null)
    {
        int block = grid.Block;
        var rounded = new NBitDraft(matrix.Rows, matrix.Cols, grid);
        scales?.CopyTo(rounded.Scales, 0);
        var targets = matrix.Copy();
        for (int first = 0; first < matrix.Cols; first += Stripe)
        {
            var errors = new Matrix(matrix.Rows, Math.Min(Stripe, matrix.Cols - first));
            int start = first;
            Parallel.For(0, matrix.Rows, new ParallelOptions { MaxDegreeOfParallelism = algebra.Threads }, i =>
            {
                Span<double> made = errors.Row(i), target = targets.Row(i);
                for (int j = 0; j < made.Length; j++)
                {
                    int col = start + j;
                    if (scales == null && col % block == 0)
                    {
                        // What the block will be rounded from is known as far as the errors before it are.
                        var ahead = target.Slice(col, Math.Min(block, matrix.Cols - col));
                        for (int k = 0; j > 0 && k < ahead.Length && j + k < made.Length; k++)
                        {
                            ahead[k] += feedback.Carried(col + k, start, made[..j]);
                        }
                        rounded.Scales[rounded.ScaleOf(i, col)] = Scale(ahead, grid);
                    }
                    int known = Math.Max(0, col / block * block - start); // errors before the block are in the target
                    made[j] = matrix[i, col] - rounded.Set(i, col, target[col] + feedback.Carried(col, start + known, made[known..j]));
                }
            });
            feedback.HandOn(algebra, errors, first, targets);
        }
        return rounded.Done();
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
