namespace OnnxLowRank.Quantization;

/// <summary>A matrix in 4 bits that is being made. Rows may be written by several threads.</summary>
sealed class NBitDraft
{
    readonly int _rows, _cols, _block, _blocksPerRow, _rowBytes;
    readonly byte[] _packed;

    /// <summary>All values are 0, on steps of 0.</summary>
    public NBitDraft(int rows, int cols, int block)
    {
        (_rows, _cols, _block, _blocksPerRow, _rowBytes) = (rows, cols, block, NBit.BlocksOf(cols, block), NBit.PackedBytes(cols, block));
        _packed = new byte[rows * _rowBytes];
        Array.Fill(_packed, (byte)0x88);
        Scales = new float[rows * _blocksPerRow];
    }

    /// <summary>(rows, blocks); one is set before the values of its block are.</summary>
    public float[] Scales { get; }

    /// <summary>Index of an element's scale.</summary>
    public int ScaleOf(int row, int col) => row * _blocksPerRow + col / _block;

    /// <summary>Rounds one element; returns what it became.</summary>
    public double Set(int row, int col, double target)
    {
        float scale = Scales[ScaleOf(row, col)];
        int value = NBit.Nearest(target, scale), shift = col % 2 * 4;
        ref byte pair = ref _packed[row * _rowBytes + col / 2];
        pair = (byte)((pair & (0xF0 >> shift)) | ((value + 8) << shift));
        return (double)scale * value;
    }

    /// <summary>The matrix; it is not written to any more.</summary>
    public NBitBlocks Done() => new(_rows, _cols, _block, _packed, Scales);
}
