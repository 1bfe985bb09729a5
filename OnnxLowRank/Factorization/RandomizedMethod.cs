using System.Numerics.Tensors;
using OnnxLowRank.Numerics;

namespace OnnxLowRank.Factorization;

/// <summary>
/// The weight-only method from random projections: cost O(m·n·k) instead of O(m·n·min(m, n)).
/// Source: Halko, Martinsson and Tropp, "Finding structure with randomness" (2011), algorithms 4.4 and 5.1, bound 4.3.
/// </summary>
static class RandomizedMethod
{
    /// <summary>Directions drawn beyond the wanted ones, so that the last wanted ones are accurate too.</summary>
    public const int Oversampling = 10;

    /// <summary>Multiplications by W·Wᵀ that sharpen a slowly decaying spectrum; an orthonormalization between any two.</summary>
    public const int PowerIterations = 2;

    const int BoundSamples = 10;

    /// <param name="weight">W (m, n).</param>
    /// <param name="rank">How many directions are wanted, at most min(m, n).</param>
    /// <param name="seed">Same seed, same basis.</param>
    public static OutputBasis Of(ILinearAlgebra algebra, Matrix weight, int rank, int seed)
    {
        int drawn = Math.Min(rank + Oversampling, Math.Min(weight.Rows, weight.Cols));
        var range = algebra.Orthonormalize(algebra.Multiply(weight, Gaussian.Random(weight.Cols, drawn, seed)));
        for (int i = 0; i < PowerIterations; i++)
        {
            var rows = algebra.Orthonormalize(algebra.Multiply(weight, range, transposeLeft: true));
            range = algebra.Orthonormalize(algebra.Multiply(weight, rows));
        }
        var small = algebra.Svd(algebra.Multiply(range, weight, transposeLeft: true));
        double[] energy = Array.ConvertAll(small.S, value => value * value);
        return new(algebra.Multiply(range, small.U).LeftCols(rank), energy[..rank], TensorPrimitives.SumOfSquares<double>(weight.Data));
    }

    /// <summary>
    /// An upper bound of ‖W − U·Uᵀ·W‖ (spectral norm) from a few products with random vectors; it fails with a probability of 10⁻¹⁰.
    /// </summary>
    public static double ErrorBound(ILinearAlgebra algebra, Matrix weight, Matrix basis, int seed)
    {
        var images = algebra.Multiply(weight, Gaussian.Random(weight.Cols, BoundSamples, seed));
        var kept = algebra.Multiply(basis, algebra.Multiply(basis, images, transposeLeft: true));
        double largest = 0;
        for (int j = 0; j < BoundSamples; j++)
        {
            double norm = 0;
            for (int i = 0; i < images.Rows; i++)
            {
                double rest = images[i, j] - kept[i, j];
                norm += rest * rest;
            }
            largest = Math.Max(largest, Math.Sqrt(norm));
        }
        return 10 * Math.Sqrt(2 / Math.PI) * largest;
    }
}
