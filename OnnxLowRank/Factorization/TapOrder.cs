using OnnxLowRank.Numerics;

namespace OnnxLowRank.Factorization;

/// <summary>Weights lie tap within channel; what does the same to the channels of every tap wants the taps apart.</summary>
static class TapOrder
{
    /// <summary>(rows·taps, channels) of (rows, channels·taps), for reading only: of one tap it is the same matrix.</summary>
    public static Matrix ByTap(Matrix matrix, int taps)
    {
        if (taps == 1)
        {
            return matrix;
        }
        var split = new Matrix(matrix.Rows * taps, matrix.Cols / taps);
        Reorder(matrix.Data, split.Data, matrix.Rows, split.Cols, taps);
        return split;
    }

    /// <summary>The reverse: (rows, channels·taps).</summary>
    public static Matrix ByChannel(Matrix split, int taps)
    {
        if (taps == 1)
        {
            return split;
        }
        var matrix = new Matrix(split.Rows / taps, split.Cols * taps);
        Reorder(split.Data, matrix.Data, matrix.Rows, taps, split.Cols);
        return matrix;
    }

    /// <summary>(rows, outer, inner) → (rows, inner, outer).</summary>
    static void Reorder(ReadOnlySpan<double> from, Span<double> to, int rows, int outer, int inner)
    {
        for (int i = 0; i < rows; i++)
        {
            var source = from.Slice(i * outer * inner, outer * inner);
            var target = to.Slice(i * outer * inner, outer * inner);
            for (int j = 0; j < source.Length; j++)
            {
                target[j % inner * outer + j / inner] = source[j];
            }
        }
    }
}
