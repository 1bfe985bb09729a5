namespace OnnxLowRank.Quantization;

/// <summary>What numbers in few bits are stored on.</summary>
/// <param name="Bits">3 to 6; values are −2^(bits−1)…2^(bits−1) − 1.</param>
/// <param name="Block">Numbers that share a scale, or fewer where that takes no more bytes; 0: a whole row.</param>
readonly record struct NBitGrid(int Bits, int Block = 0)
{
    /// <summary>As many values are negative; 0 and the positive ones are as many again.</summary>
    public int Half => 1 << (Bits - 1);

    /// <summary>The same values, with a scale for all of a row of this many numbers where that was meant.</summary>
    public NBitGrid For(int cols) => this with { Block = Block == 0 ? cols : NBit.BlockFor(cols, Block) };

    /// <summary>Bytes of a matrix's values and scales.</summary>
    public double Bytes(int rows, int cols) =>
        Block == 0 ? NBitPacking.Bytes((long)rows * cols, Bits) + (double)sizeof(float) * rows : NBit.Bytes(rows, cols, NBit.BlockFor(cols, Block));
}
