using System.Numerics.Tensors;
using System.Runtime.CompilerServices;
using OnnxLowRank.Numerics;
using OnnxLowRank.Storage;

namespace OnnxLowRank.Factorization;

/// <summary>
/// The data-aware method: the basis that loses least of the layer's output variance, so that with the bias corrected
/// E‖y − Up·Down·x − b'‖² is the smallest possible at every rank; with an <see cref="OutputMetric"/>, the error as the layers behind see it.
/// Source: reduced-rank regression (Izenman 1975); in the form used here no matrix of samples is inverted, so samples that do not span the
/// space cannot break it.
/// </summary>
static class OutputMethod
{
    /// <summary>From the output's covariance: the eigenvectors of K = Cov(y).</summary>
    /// <param name="covariance">K (m, m), in squared units of y; it is changed.</param>
    /// <param name="columns">Wᵀ (n, m) in pieces of consecutive rows; see <paramref name="shrinkage"/>.</param>
    /// <param name="shrinkage">
    /// ρ: share of the weight-only objective W·Wᵀ mixed in, scaled to K's trace; keeps directions that few samples did not excite.
    /// </param>
    /// <param name="rank">How many directions are wanted, at most m.</param>
    /// <param name="metric">Which errors matter; all alike when null.</param>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)] // unoptimized code keeps every local alive to its end
    public static OutputBasis FromOutput(ILinearAlgebra algebra, Matrix covariance, IEnumerable<Matrix> columns, double shrinkage, int rank, OutputMetric? metric = null)
    {
        if (shrinkage > 0)
        {
            Mix(covariance, Gram(algebra, columns), shrinkage);
        }
        double total = Math.Max(0, covariance.Trace());
        covariance = metric == null ? covariance : metric.Seen(algebra, covariance);
        Garbage.Collect(covariance.Data.Length); // what mixing took
        var eigen = algebra.Eigen(covariance);
        var (directions, energy) = (eigen.Vectors.LeftCols(rank), NonNegative(eigen.Values, rank));
        return metric == null ? new(directions, energy, total) : metric.Basis(algebra, directions, energy, total);
    }

    /// <summary>
    /// From the input's covariance where n &lt; m: with G = L·Lᵀ the output's covariance is (W·L)(W·L)ᵀ, whose eigenvectors
    /// follow from the (n, n) problem Lᵀ·(WᵀW)·L = V·Λ·Vᵀ as U = W·L·V·Λ^(-1/2). W, which may be large, is only read in pieces.
    /// </summary>
    /// <param name="covariance">G (n, n), in squared units of x.</param>
    /// <param name="rows">W (m, n) in pieces of consecutive rows; gone through twice.</param>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)] // unoptimized code keeps every local alive to its end
    public static OutputBasis FromInput(ILinearAlgebra algebra, Matrix covariance, IEnumerable<Matrix> rows, double shrinkage, int rank, OutputMetric? metric = null)
    {
        int outputs = 0;
        var gram = Gram(algebra, rows.Select(piece =>
        {
            outputs += piece.Rows;
            return piece;
        }));
        double traceOfGram = gram.Trace(), traceOfOutput = TensorPrimitives.Dot<double>(gram.Data, covariance.Data);
        double ridge = traceOfGram > 0 ? shrinkage * traceOfOutput / traceOfGram : 0;

        var mixed = covariance.Copy();
        mixed.AddToDiagonal(ridge);
        double total = TensorPrimitives.Dot<double>(gram.Data, mixed.Data);
        if (metric != null)
        {
            rows = [metric.RootTimes(algebra, rows)];
            gram = Gram(algebra, rows);
        }
        var input = algebra.Eigen(mixed);
        var root = input.Vectors.WithColumnsTimes(Array.ConvertAll(input.Values, value => Math.Sqrt(Math.Max(0, value))));
        var inner = algebra.Eigen(algebra.Multiply(root, algebra.Multiply(gram, root), transposeLeft: true));
        int kept = Math.Min(rank, inner.Values.Length);
        bool isSound = inner.Values[kept - 1] > Smallest * inner.Values[0];
        var map = algebra.Multiply(root, inner.Vectors.LeftCols(kept));
        map = isSound ? Normalized(algebra, gram, map, inner.Values) : map;
        var vectors = Times(algebra, rows, map, outputs);
        // Columns that carry nothing are zero or noise here; orthonormalizing replaces them by something harmless.
        var directions = isSound ? vectors : algebra.Orthonormalize(vectors);
        double[] energy = NonNegative(inner.Values, kept);
        return metric == null ? new(directions, energy, inner.Values.Sum(value => Math.Max(0, value))) : metric.Basis(algebra, directions, energy, total);
    }

    /// <summary>Share of the largest energy below which an eigenvector is too uncertain to be normalized by its eigenvalue.</summary>
    const double Smallest = 1e-8;

    /// <summary>Columns aᵢ with orthonormal W·aᵢ, of ones whose W·aᵢ are orthogonal up to the rounding of small eigenvalues.</summary>
    static Matrix Normalized(ILinearAlgebra algebra, Matrix gram, Matrix map, double[] energies)
    {
        map = map.WithColumnsTimes([.. energies.Take(map.Cols).Select(energy => 1 / Math.Sqrt(energy))]);
        // One step of Newton and Schulz for S^(-1/2): what was off by ε is off by ε² afterwards.
        var correction = algebra.Multiply(map, algebra.Multiply(gram, map), transposeLeft: true);
        TensorPrimitives.Multiply<double>(correction.Data, -0.5, correction.Data);
        correction.AddToDiagonal(1.5);
        return algebra.Multiply(map, correction);
    }

    /// <summary>Adds a share of the weight-only objective, scaled to the trace of what is seen on data.</summary>
    public static void Mix(Matrix seen, Matrix weightOnly, double shrinkage)
    {
        double trace = weightOnly.Trace(), factor = trace > 0 ? shrinkage * seen.Trace() / trace : 0;
        TensorPrimitives.MultiplyAdd(weightOnly.Data, factor, seen.Data, seen.Data);
    }

    /// <summary>AᵀA of a matrix in pieces of rows.</summary>
    public static Matrix Gram(ILinearAlgebra algebra, IEnumerable<Matrix> rows) => Matrix.Sum(rows.Select(piece =>
    {
        Garbage.Collect((long)piece.Cols * piece.Cols); // the piece before, which is in the sum
        return algebra.Gram(piece, transpose: true);
    }));

    /// <summary>W·A (m, k), W in pieces of consecutive rows.</summary>
    public static Matrix Times(ILinearAlgebra algebra, IEnumerable<Matrix> rows, Matrix right, int outputs)
    {
        var product = new Matrix(outputs, right.Cols);
        int done = 0;
        foreach (var piece in rows)
        {
            algebra.Multiply(piece, right).Data.CopyTo(product.Data, done * right.Cols);
            done += piece.Rows;
        }
        return product;
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
        double total = weight == null ? covariance.Trace() : TensorPrimitives.Dot<double>(algebra.Multiply(weight, covariance).Data, weight.Data);
        return new(vectors, NonNegative(energy, energy.Length), Math.Max(0, total));
    }

    static double[] NonNegative(double[] values, int count) => [.. values.Take(count).Select(value => Math.Max(0, value))];
}
