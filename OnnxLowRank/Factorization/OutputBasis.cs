using System.Numerics.Tensors;
using OnnxLowRank.Numerics;

namespace OnnxLowRank.Factorization;

/// <summary>How a layer's output is spread over directions.</summary>
/// <param name="Energy">k numbers: what each direction carries, as variance of the output, or as σ² where that is not measured; largest first where the directions were chosen by it.</param>
/// <param name="Total">Energy of all directions, those beyond k included.</param>
record Spectrum(double[] Energy, double Total)
{
    /// <summary>Energy lost when only the first <paramref name="rank"/> directions are kept; never negative.</summary>
    public double Tail(int rank) => Math.Max(0, Total - TensorPrimitives.Sum<double>(Energy.AsSpan(0, rank)));
}

/// <summary>
/// Directions of a layer's output, most important first. Any method boils down to one: keeping the first r of them gives
/// W ≈ U_r·(P_rᵀ·W), so a basis is computed once and cut at any rank.
/// </summary>
/// <param name="Vectors">U (m, k), columns of length 1.</param>
sealed record OutputBasis(Matrix Vectors, double[] Energy, double Total) : Spectrum(Energy, Total)
{
    /// <summary>P (m, k) with Pᵀ·U = I, what an output is projected by: U itself where its columns are orthogonal.</summary>
    public Matrix Dual { get; init; } = Vectors;
}
