namespace OnnxLowRank.Quantization;

/// <summary>A matrix in few bits that is being made. Rows may be written by several threads.</summary>
sealed class NBitDraft
{
    readonly int _rows, _cols, _blocksPerRow, _rowBytes;
    readonly byte[] _packed;

    /// <summary>All values are 0, on steps of 0.</summary>
    public NBitDraft(int rows, int cols, NBitGrid grid)
    {
        (Grid, _rows, _cols, _blocksPerRow, _rowBytes) = (grid, rows, cols, NBit.BlocksOf(cols, grid.Block), NBitBlocks.RowBytes(cols, grid));
        _packed = new byte[rows * _rowBytes];
        Array.Fill(_packed, (byte)(NBitBlocks.AreHalves(grid) ? 0x88 : 0));
        Scales = new float[rows * _blocksPerRow];
    }

    public NBitGrid Grid { get; }

    /// <summary>(rows, blocks); one is set before the values of its block are.</summary>
    public float[] Scales { get; }

    /// <summary>Index of an element's scale.</summary>
    public int ScaleOf(int row, int col) => row * _blocksPerRow + col / Grid.Block;

    /// <summary>Rounds one element; returns what it became.</summary>
    public double Set(int row, int col, double target)
    {
        float scale = Scales[ScaleOf(row, col)];
        int value = NBit.Nearest(target, scale, Grid);
        if (NBitBlocks.AreHalves(Grid))
        {
            int shift = col % 2 * 4;
            ref byte pair = ref _packed[row * _rowBytes + col / 2];
            pair = (byte)((pair & (0xF0 >> shift)) | ((value + 8) << shift));
        }
        else
        {
            _packed[row * _rowBytes + col] = (byte)value;
        }
        return (double)scale * value;
    }

    /// <summary>The matrix; it is not written to any more.</summary>
    public NBitBlocks Done() => new(_rows, _cols, Grid, _packed, Scales);
}
