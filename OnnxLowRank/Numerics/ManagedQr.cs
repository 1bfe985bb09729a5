using System.Numerics.Tensors;

namespace OnnxLowRank.Numerics;

/// <summary>
/// Thin QR by Householder reflections H = I − τ·v·vᵀ (Golub and Van Loan, Matrix Computations, 5.1 and 5.2). It works on the
/// transpose, so that a column of A is contiguous; the columns a reflection changes are independent and run in parallel.
/// </summary>
static class ManagedQr
{
    /// <summary>
    /// Relative to a largest element of about 1, where a column has ended: below, squares underflow and v would not be a reflection any more.
    /// </summary>
    const double Nothing = 1e-140;

    /// <summary>Q (m, n) with orthonormal columns and R (n, n) upper triangular, A = Q·R, for m ≥ n and a largest element of about 1.</summary>
    public static (Matrix Q, Matrix R) Thin(Matrix tall, ParallelOptions parallel)
    {
        int m = tall.Rows, n = tall.Cols;
        var columns = tall.Transposed();
        var tau = new double[n];
        var r = new Matrix(n, n);
        for (int j = 0; j < n; j++)
        {
            var v = columns.Row(j)[j..];
            for (int i = 0; i < j; i++)
            {
                r[i, j] = columns[j, i];
            }
            double norm = TensorPrimitives.Norm<double>(v);
            if (norm < Nothing)
            {
                continue; // τ = 0, R[j, j] = 0
            }
            double diagonal = v[0] > 0 ? -norm : norm; // the sign that does not cancel in v[0] - diagonal
            r[j, j] = diagonal;
            tau[j] = (diagonal - v[0]) / diagonal;
            TensorPrimitives.Divide(v, v[0] - diagonal, v);
            v[0] = 1;
            Reflect(columns, j, tau[j], columns, j + 1, parallel);
        }

        // H₁·…·Hₙ applied to the first n unit vectors, last reflection first; Hⱼ leaves the unit vectors before j alone.
        var basis = new Matrix(n, m);
        for (int j = n - 1; j >= 0; j--)
        {
            basis[j, j] = 1;
            Reflect(columns, j, tau[j], basis, j, parallel);
        }
        return (basis.Transposed(), r);
    }

    /// <summary>Applies H, whose v is row j of <paramref name="reflectors"/> from j on, to the rows of <paramref name="target"/> from <paramref name="first"/> on.</summary>
    static void Reflect(Matrix reflectors, int j, double tau, Matrix target, int first, ParallelOptions parallel)
    {
        if (tau == 0)
        {
            return;
        }
        void One(int i)
        {
            ReadOnlySpan<double> v = reflectors.Row(j)[j..];
            var x = target.Row(i)[j..];
            TensorPrimitives.MultiplyAdd(v, -tau * TensorPrimitives.Dot(v, x), x, x);
        }
        const int worthThreads = 1 << 15; // elements; about 10 µs of work
        if ((long)(target.Rows - first) * (target.Cols - j) >= worthThreads)
        {
            Parallel.For(first, target.Rows, parallel, One);
            return;
        }
        for (int i = first; i < target.Rows; i++)
        {
            One(i);
        }
    }
}
