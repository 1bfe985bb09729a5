using System.Runtime.CompilerServices;

namespace OnnxLowRank.Numerics;

/// <summary>What is known of a symmetric positive semidefinite matrix A (n, n) that is too large to form: some random mixtures of its columns.</summary>
/// <param name="TestMatrix">Ω (n, k), independent normal numbers.</param>
/// <param name="Products">A·Ω (n, k).</param>
/// <param name="Trace">tr(A).</param>
sealed record Sketch(Matrix TestMatrix, Matrix Products, double Trace)
{
    /// <summary>Directions of Ωᵀ·A·Ω weaker than this share of the strongest are the noise of products summed in single precision.</summary>
    const double Weakest = 1e-7;

    /// <summary>
    /// F (n, k) with A ≈ F·Fᵀ = (AΩ)·(ΩᵀAΩ)⁻¹·(AΩ)ᵀ, which is A itself where A's rank is at most k and never more than A otherwise. Source: Nyström's
    /// approximation; Tropp, Yurtsever, Udell and Cevher, "Fixed-rank approximation of a positive-semidefinite matrix from streaming data" (2017).
    /// </summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)] // unoptimized code keeps every local alive to its end
    public Matrix Root(ILinearAlgebra algebra)
    {
        var core = algebra.Eigen(algebra.Multiply(TestMatrix, Products, transposeLeft: true));
        double floor = Weakest * Math.Max(0, core.Values[0]);
        return algebra.Multiply(Products, core.Vectors.WithColumnsTimes([.. core.Values.Select(value => value > floor ? 1 / Math.Sqrt(value) : 0)]));
    }
}
