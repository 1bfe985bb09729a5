using OnnxLowRank.Numerics;

namespace OnnxLowRank.Factorization;

/// <summary>The weight-only method: U of W = U·S·Vᵀ, best in Frobenius and spectral norm at every rank (Eckart and Young 1936).</summary>
static class SvdMethod
{
    /// <param name="weight">W (m, n).</param>
    /// <param name="rank">How many directions are wanted, at most min(m, n).</param>
    public static OutputBasis Of(ILinearAlgebra algebra, Matrix weight, int rank)
    {
        var svd = algebra.Svd(weight);
        double[] energy = Array.ConvertAll(svd.S, value => value * value);
        double total = energy.Sum();
        return new(svd.U.LeftCols(rank), energy[..rank], total);
    }
}
