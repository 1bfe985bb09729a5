using System.Numerics.Tensors;
using OnnxLowRank.Numerics;

namespace OnnxLowRank.Factorization;

/// <summary>
/// The data-aware method: the basis that loses least of the layer's output variance, so that with the bias corrected
/// E‖y − Up·Down·x − b'‖² is the smallest possible at every rank. Source: reduced-rank regression (Izenman 1975); in the form
/// used here no matrix is inverted, so samples that do not span the space cannot break it.
/// </summary>
static class OutputMethod
{
    /// <summary>From the output's covariance: the eigenvectors of K = Cov(y).</summary>
    /// <param name="covariance">K (m, m), in squared units of y.</param>
    /// <param name="weight">W (m, n); see <paramref name="shrinkage"/>.</param>
    /// <param name="shrinkage">
    /// ρ: share of the weight-only objective W·Wᵀ mixed in, scaled to K's trace; keeps directions that few samples did not excite.
    /// </param>
    /// <param name="rank">How many directions are wanted, at most m.</param>
    public static OutputBasis FromOutput(ILinearAlgebra algebra, Matrix covariance, Matrix weight, double shrinkage, int rank)
    {
        var mixed = covariance.Copy();
        if (shrinkage > 0)
        {
            var gram = algebra.Gram(weight);
            double traceOfGram = Trace(gram), factor = traceOfGram > 0 ? shrinkage * Trace(covariance) / traceOfGram : 0;
            TensorPrimitives.MultiplyAdd(gram.Data, factor, mixed.Data, mixed.Data);
        }
        var eigen = algebra.Eigen(mixed);
        return new(eigen.Vectors.LeftCols(rank), NonNegative(eigen.Values, rank), Math.Max(0, Trace(mixed)));
    }

    /// <summary>
    /// From the input's covariance where n &lt; m: with G = L·Lᵀ the output's covariance is (W·L)(W·L)ᵀ, whose eigenvectors
    /// follow from the (n, n) problem (W·L)ᵀ(W·L) = V·Λ·Vᵀ as U = W·L·V·Λ^(-1/2).
    /// </summary>
    /// <param name="covariance">G (n, n), in squared units of x.</param>
    public static OutputBasis FromInput(ILinearAlgebra algebra, Matrix covariance, Matrix weight, double shrinkage, int rank)
    {
        // tr(W·G·Wᵀ) without forming the (m, m) product.
        double traceOfOutput = TensorPrimitives.Dot<double>(algebra.Multiply(weight, covariance).Data, weight.Data);
        double traceOfGram = TensorPrimitives.SumOfSquares<double>(weight.Data);
        double ridge = traceOfGram > 0 ? shrinkage * traceOfOutput / traceOfGram : 0;

        var mixed = covariance.Copy();
        for (int i = 0; i < mixed.Rows; i++)
        {
            mixed[i, i] += ridge;
        }
        var input = algebra.Eigen(mixed);
        var root = input.Vectors.Copy();
        for (int i = 0; i < root.Rows; i++)
        {
            var row = root.Row(i);
            for (int j = 0; j < row.Length; j++)
            {
                row[j] *= Math.Sqrt(Math.Max(0, input.Values[j]));
            }
        }
        var image = algebra.Multiply(weight, root);
        var inner = algebra.Eigen(algebra.Gram(image, transpose: true));
        int kept = Math.Min(rank, inner.Values.Length);
        // Columns that carry nothing are zero or noise here; orthonormalizing replaces them by something harmless.
        var vectors = algebra.Orthonormalize(algebra.Multiply(image, inner.Vectors.LeftCols(kept)));
        double total = 0;
        foreach (double value in inner.Values)
        {
            total += Math.Max(0, value);
        }
        return new(vectors, NonNegative(inner.Values, kept), total);
    }

    /// <summary>What directions that were chosen without samples carry on them: uᵀ·K·u each, not sorted.</summary>
    /// <param name="vectors">U (m, k), orthonormal columns.</param>
    /// <param name="covariance">K (m, m) of the output or, with a weight, G (n, n) of the input: K = W·G·Wᵀ is not formed then.</param>
    /// <param name="weight">W (m, n), or null.</param>
    public static OutputBasis Along(ILinearAlgebra algebra, Matrix vectors, Matrix covariance, Matrix? weight)
    {
        var directions = weight == null ? vectors : algebra.Multiply(weight, vectors, transposeLeft: true);
        var images = algebra.Multiply(covariance, directions);
        double[] energy = new double[vectors.Cols];
        for (int i = 0; i < images.Rows; i++)
        {
            TensorPrimitives.MultiplyAdd<double>(images.Row(i), directions.Row(i), energy, energy);
        }
        double total = weight == null ? Trace(covariance) : TensorPrimitives.Dot<double>(algebra.Multiply(weight, covariance).Data, weight.Data);
        return new(vectors, NonNegative(energy, energy.Length), Math.Max(0, total));
    }

    static double Trace(Matrix matrix)
    {
        double trace = 0;
        for (int i = 0; i < matrix.Rows; i++)
        {
            trace += matrix[i, i];
        }
        return trace;
    }

    static double[] NonNegative(double[] values, int count) => [.. values.Take(count).Select(value => Math.Max(0, value))];
}
