using System.Runtime.InteropServices;
using OnnxLowRank.Numerics;

namespace OnnxLowRank.Quantization;

/// <summary>A matrix in few bits with one scale per block of a row: element ≈ scale · value.</summary>
/// <param name="Cols">Columns of the matrix; rows are stored up to a whole number of blocks, with zeros.</param>
/// <param name="Grid">With blocks of a power of two, 16…256, as MatMulNBits takes them in 4 bits, or of all columns.</param>
/// <param name="Packed">
/// Up to 4 bits in MatMulNBits' layout, (rows, blocks, block/2): two values per byte, the earlier one in the low half, 8 standing for
/// zero. Beyond that every value has a byte: (rows, cols).
/// </param>
/// <param name="Scales">(rows, blocks); negative ones occur.</param>
sealed record NBitBlocks(int Rows, int Cols, NBitGrid Grid, ReadOnlyMemory<byte> Packed, float[] Scales)
{
    public int BlocksPerRow => NBit.BlocksOf(Cols, Grid.Block);

    /// <summary>Whether two values share a byte of <see cref="Packed"/>.</summary>
    public static bool AreHalves(NBitGrid grid) => grid.Bits <= 4;

    /// <summary>Bytes of a row of <see cref="Packed"/>.</summary>
    public static int RowBytes(int cols, NBitGrid grid) => AreHalves(grid) ? (NBit.BlocksOf(cols, grid.Block) * grid.Block + 1) / 2 : cols;

    /// <summary>One matrix of the rows of several, whose columns and blocks are the same.</summary>
    public static NBitBlocks Joined(IReadOnlyList<NBitBlocks> parts)
    {
        if (parts.Count == 1)
        {
            return parts[0];
        }
        byte[] packed = new byte[parts.Sum(part => part.Packed.Length)];
        int done = 0;
        foreach (var part in parts)
        {
            part.Packed.CopyTo(packed.AsMemory(done));
            done += part.Packed.Length;
        }
        return parts[0] with { Rows = parts.Sum(part => part.Rows), Packed = packed, Scales = [.. parts.SelectMany(part => part.Scales)] };
    }

    /// <summary>The values of a row, without padding.</summary>
    public void Read(int row, Span<sbyte> values)
    {
        int bytes = RowBytes(Cols, Grid);
        var packed = Packed.Span.Slice(row * bytes, bytes);
        if (!AreHalves(Grid))
        {
            MemoryMarshal.Cast<byte, sbyte>(packed).CopyTo(values);
            return;
        }
        for (int j = 0; j < values.Length; j++)
        {
            values[j] = (sbyte)(((packed[j / 2] >> (j % 2 * 4)) & 15) - 8);
        }
    }

    /// <summary>The values without padding, (rows, cols) or, when <paramref name="transposed"/>, (cols, rows).</summary>
    public sbyte[] Plain(bool transposed)
    {
        var values = new sbyte[Rows * Cols];
        var row = new sbyte[Cols];
        for (int i = 0; i < Rows; i++)
        {
            if (!transposed)
            {
                Read(i, values.AsSpan(i * Cols, Cols));
                continue;
            }
            Read(i, row);
            for (int j = 0; j < Cols; j++)
            {
                values[j * Rows + i] = row[j];
            }
        }
        return values;
    }

    /// <summary>The matrix (rows, cols) that is stored.</summary>
    public Matrix Dequantize()
    {
        var matrix = new Matrix(Rows, Cols);
        var values = new sbyte[Cols];
        for (int i = 0; i < Rows; i++)
        {
            Read(i, values);
            var row = matrix.Row(i);
            for (int j = 0; j < Cols; j++)
            {
                row[j] = (double)Scales[i * BlocksPerRow + j / Grid.Block] * values[j];
            }
        }
        return matrix;
    }

    /// <summary>The same matrix on steps of at least a given size per row, of which there is one block.</summary>
    public NBitBlocks WithStepsOfAtLeast(ReadOnlySpan<float> smallest)
    {
        var wider = new NBitDraft(Rows, Cols, Grid);
        var values = new sbyte[Cols];
        for (int i = 0; i < Rows; i++)
        {
            Read(i, values);
            wider.Scales[i] = Math.Abs(Scales[i]) < smallest[i] ? smallest[i] : Scales[i];
            for (int j = 0; j < Cols; j++)
            {
                wider.Set(i, j, (double)Scales[i] * values[j]);
            }
        }
        return wider.Done();
    }
}
