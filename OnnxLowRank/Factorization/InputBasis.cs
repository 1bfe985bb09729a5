using OnnxLowRank.Numerics;

namespace OnnxLowRank.Factorization;

/// <summary>
/// Directions of a Conv's input channels, most important first: with the first r of them, x at every pixel is replaced by r numbers
/// Entry_r·x, and the kernel reads those.
/// </summary>
/// <param name="Entry">(k, C_in): row i gives number i.</param>
/// <param name="Kernel">(C_out·taps, k), rows ordered by output channel, then kernel position: what the kernel becomes.</param>
/// <param name="Energy">k numbers, largest first: output energy through each direction, kernel positions taken as uncorrelated.</param>
/// <param name="Total">Energy of all C_in directions.</param>
sealed record InputBasis(Matrix Entry, Matrix Kernel, double[] Energy, double Total) : Spectrum(Energy, Total)
{
    /// <summary>The largest rank that can be cut.</summary>
    public int MaxRank => Entry.Rows;
}
