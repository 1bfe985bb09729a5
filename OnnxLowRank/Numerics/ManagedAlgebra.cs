using System.Numerics;
using System.Numerics.Tensors;
using MathNet.Numerics;
using MathNet.Numerics.Providers.LinearAlgebra;

namespace OnnxLowRank.Numerics;

/// <summary>
/// <see cref="ILinearAlgebra"/> without native code: eigenvectors and singular vectors by Math.NET Numerics (single-threaded),
/// products, QR and Cholesky by our own kernels, which are many times faster than its own.
/// </summary>
sealed class ManagedAlgebra(int threads) : CheckedAlgebra
{
    readonly ManagedLinearAlgebraProvider _mathNet = new();
    readonly ParallelOptions _parallel = new() { MaxDegreeOfParallelism = threads };

    public override int Threads => threads;

    public override string Name { get; } = $"Math.NET Numerics 5.0.0 ({threads} thread{(threads == 1 ? "" : "s")})";

    protected override SymmetricEigen EigenOf(Matrix symmetric)
    {
        int n = symmetric.Rows;
        var full = LowerTriangle(symmetric);
        MirrorLower(full);
        double scale = ScaleToOne(full);
        var vectorRows = new Matrix(n, n);
        var values = new Complex[n];
        Converged(() => _mathNet.EigenDecomp(true, n, full.Data, vectorRows.Data, values, new double[n * n]), symmetric);
        return LargestFirst([.. values.Select(value => value.Real / scale)], vectorRows);
    }

    /// <summary>A tall matrix is first made square by QR: Math.NET would allocate, and compute, all of U (m, m).</summary>
    protected override ThinSvd SvdOf(Matrix matrix)
    {
        if (matrix.Rows < matrix.Cols)
        {
            var (v, s, ut) = SvdOf(matrix.Transposed());
            return new(ut.Transposed(), s, v.Transposed());
        }
        int n = matrix.Cols;
        var scaled = matrix.Copy();
        double scale = ScaleToOne(scaled);
        var (q, square) = matrix.Rows == n ? (null, scaled) : ManagedQr.Thin(scaled, _parallel);

        // Math.NET is column-major: it factors the transpose, P·S·Q, and its Q and P read as U and Vt here.
        var svd = new ThinSvd(new(n, n), new double[n], new(n, n));
        Converged(() => _mathNet.SingularValueDecomposition(true, square.Data, n, n, svd.S, svd.Vt.Data, svd.U.Data), matrix);
        TensorPrimitives.Divide(svd.S, scale, svd.S);
        return q is null ? svd : svd with { U = ManagedProduct.Multiply(q, svd.U, false, false, _parallel) };
    }

    protected override Matrix BasisOf(Matrix tall)
    {
        var scaled = tall.Copy();
        ScaleToOne(scaled);
        return ManagedQr.Thin(scaled, _parallel).Q;
    }

    /// <summary>Row by row; the inner loops here and in <see cref="Substitute"/> run along rows.</summary>
    protected override Matrix CholeskyOf(Matrix positiveDefinite)
    {
        var l = LowerTriangle(positiveDefinite);
        for (int i = 0; i < l.Rows; i++)
        {
            var row = l.Row(i);
            for (int j = 0; j < i; j++)
            {
                row[j] = (row[j] - TensorPrimitives.Dot<double>(row[..j], l.Row(j)[..j])) / l[j, j];
            }
            double pivot = row[i] - TensorPrimitives.Dot<double>(row[..i], row[..i]);
            row[i] = pivot > 0 ? Math.Sqrt(pivot) : throw new ArithmeticException(NotPositiveDefinite(i + 1));
        }
        return l;
    }

    protected override void Substitute(Matrix lower, Matrix right, bool transpose)
    {
        for (int i = 0; i < right.Rows && !transpose; i++)
        {
            for (int j = 0; j < i; j++)
            {
                TensorPrimitives.MultiplyAdd(right.Row(j), -lower[i, j], right.Row(i), right.Row(i));
            }
            TensorPrimitives.Divide(right.Row(i), lower[i, i], right.Row(i));
        }
        for (int i = right.Rows - 1; i >= 0 && transpose; i--)
        {
            TensorPrimitives.Divide(right.Row(i), lower[i, i], right.Row(i));
            for (int j = 0; j < i; j++)
            {
                TensorPrimitives.MultiplyAdd(right.Row(i), -lower[i, j], right.Row(j), right.Row(j));
            }
        }
    }

    protected override Matrix ProductOf(Matrix left, Matrix right, bool transposeLeft, bool transposeRight) =>
        ManagedProduct.Multiply(left, right, transposeLeft, transposeRight, _parallel);

    protected override Matrix LowerGramOf(Matrix matrix, bool transpose) =>
        ManagedProduct.Multiply(matrix, matrix, transpose, !transpose, _parallel, lowerOnly: true);

    /// <summary>
    /// Multiplies by the power of two that brings the largest element into [1, 2), which is exact, and returns it. Neither Math.NET nor
    /// our QR guards its sums of squares against overflow and underflow, as LAPACK does.
    /// </summary>
    static double ScaleToOne(Matrix matrix)
    {
        double largest = Math.Abs(TensorPrimitives.MaxMagnitude<double>(matrix.Data));
        double scale = largest == 0 ? 1 : Math.ScaleB(1, -Math.Clamp(Math.ILogB(largest), -1000, 1000));
        TensorPrimitives.Multiply(matrix.Data, scale, matrix.Data);
        return scale;
    }

    static void Converged(Action factorize, Matrix matrix)
    {
        try
        {
            factorize();
        }
        catch (NonConvergenceException e)
        {
            throw new ArithmeticException($"the factorization of a {matrix.Rows}x{matrix.Cols} matrix did not converge", e);
        }
    }
}
