using System.Runtime.CompilerServices;

namespace OnnxLowRank.Numerics;

/// <summary>
/// <see cref="ILinearAlgebra"/> by OpenBLAS and the LAPACK inside it. LAPACK is column-major: it takes our A (m, n) for Aᵀ (n, m), and
/// what it returns reads as transposed here. Each method says how that cancels out; only eigenvectors are really transposed.
/// </summary>
/// <remarks>
/// The thread count is the process's, not this object's: one made later with another count changes the last bits of this one's results. On CPUs
/// without AVX2 the last bits of LAPACK's results depend on where the runtime places an array (at a multiple of 8 or of 16 bytes), so there they
/// may differ from run to run.
/// </remarks>
sealed unsafe class OpenBlasAlgebra : CheckedAlgebra
{
    // From cblas.h.
    const int RowMajor = 101, NoTrans = 111, Trans = 112, Lower = 122, NonUnit = 131, Left = 141;

    readonly OpenBlasLibrary _blas;

    public OpenBlasAlgebra(OpenBlasLibrary library, int threads)
    {
        _blas = library;
        Threads = threads;
        library.openblas_set_num_threads(threads);
        int running = library.openblas_get_num_threads(); // builds have an upper limit
        Name = $"{library.Version} ({library.Core}, {running} thread{(running == 1 ? "" : "s")})";
    }

    public override string Name { get; }

    public override int Threads { get; }

    /// <summary>Divide and conquer, dsyevd. Our lower triangle is LAPACK's upper one; its eigenvector columns are our rows.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)] // unoptimized code keeps every local alive to its end
    protected override SymmetricEigen EigenOf(Matrix symmetric)
    {
        int n = symmetric.Rows;
        RequireWorkspace(1 + 6L * n + 2L * n * n, symmetric);
        var vectors = LowerTriangle(symmetric);
        var values = new double[n];
        byte compute = (byte)'V', upper = (byte)'U';
        int info, query = -1, intSize;
        double size;
        fixed (double* a = vectors.Data, w = values)
        {
            _blas.dsyevd(&compute, &upper, &n, a, &n, w, &size, &query, &intSize, &query, &info, 1, 1);
            Check("dsyevd", info);
            int length = Length(size);
            fixed (double* work = new double[length])
            fixed (int* intWork = new int[intSize])
            {
                _blas.dsyevd(&compute, &upper, &n, a, &n, w, work, &length, intWork, &intSize, &info, 1, 1);
            }
            Check("dsyevd", info);
        }
        return LargestFirst(values, vectors);
    }

    /// <summary>Divide and conquer, dgesdd; where that does not converge, the slower QR iteration.</summary>
    protected override ThinSvd SvdOf(Matrix matrix) => DivideAndConquerSvd(matrix) ?? QrIterationSvd(matrix);

    /// <summary>LAPACK factors Aᵀ = P·S·Q with P (n, k) and Q (k, m). Read row-major, Q is Qᵀ = U and P is Pᵀ = Vt.</summary>
    /// <returns>Null when it does not converge.</returns>
    ThinSvd? DivideAndConquerSvd(Matrix matrix)
    {
        int m = matrix.Cols, n = matrix.Rows, k = Math.Min(m, n);
        RequireWorkspace(4L * k * k + 7L * k + Math.Max(m, n), matrix);
        var (copy, svd) = (matrix.Copy(), new ThinSvd(new(n, k), new double[k], new(k, m)));
        byte thin = (byte)'S';
        int info, query = -1;
        double size;
        fixed (double* a = copy.Data, s = svd.S, p = svd.Vt.Data, q = svd.U.Data)
        fixed (int* intWork = new int[8 * k])
        {
            _blas.dgesdd(&thin, &m, &n, a, &m, s, p, &m, q, &k, &size, &query, intWork, &info, 1);
            Check("dgesdd", info);
            int length = Length(size);
            fixed (double* work = new double[length])
            {
                _blas.dgesdd(&thin, &m, &n, a, &m, s, p, &m, q, &k, work, &length, intWork, &info, 1);
            }
        }
        if (info > 0)
        {
            return null;
        }
        Check("dgesdd", info);
        return svd;
    }

    /// <summary>The same by dgesvd. Internal for its test: no matrix is known on which dgesdd fails.</summary>
    internal ThinSvd QrIterationSvd(Matrix matrix)
    {
        int m = matrix.Cols, n = matrix.Rows, k = Math.Min(m, n);
        var (copy, svd) = (matrix.Copy(), new ThinSvd(new(n, k), new double[k], new(k, m)));
        byte thin = (byte)'S';
        int info, query = -1;
        double size;
        fixed (double* a = copy.Data, s = svd.S, p = svd.Vt.Data, q = svd.U.Data)
        {
            _blas.dgesvd(&thin, &thin, &m, &n, a, &m, s, p, &m, q, &k, &size, &query, &info, 1, 1);
            Check("dgesvd", info);
            int length = Length(size);
            fixed (double* work = new double[length])
            {
                _blas.dgesvd(&thin, &thin, &m, &n, a, &m, s, p, &m, q, &k, work, &length, &info, 1, 1);
            }
        }
        Check("dgesvd", info);
        return svd;
    }

    /// <summary>A = Q·R is Aᵀ = Rᵀ·Qᵀ: the LQ of what LAPACK sees, and its Qᵀ (n, m) reads as Q here, in place.</summary>
    protected override Matrix BasisOf(Matrix tall)
    {
        int m = tall.Cols, n = tall.Rows;
        var basis = tall.Copy();
        int info, query = -1;
        double factorSize, formSize;
        fixed (double* a = basis.Data, tau = new double[m])
        {
            _blas.dgelqf(&m, &n, a, &m, tau, &factorSize, &query, &info);
            Check("dgelqf", info);
            _blas.dorglq(&m, &n, &m, a, &m, tau, &formSize, &query, &info);
            Check("dorglq", info);
            int length = Length(Math.Max(factorSize, formSize));
            fixed (double* work = new double[length])
            {
                _blas.dgelqf(&m, &n, a, &m, tau, work, &length, &info);
                Check("dgelqf", info);
                _blas.dorglq(&m, &n, &m, a, &m, tau, work, &length, &info);
                Check("dorglq", info);
            }
        }
        return basis;
    }

    /// <summary>LAPACK's A = Rᵀ·R, R upper, is our A = L·Lᵀ.</summary>
    protected override Matrix CholeskyOf(Matrix positiveDefinite)
    {
        int n = positiveDefinite.Rows, info;
        var lower = LowerTriangle(positiveDefinite);
        byte upper = (byte)'U';
        fixed (double* a = lower.Data)
        {
            _blas.dpotrf(&upper, &n, a, &n, &info, 1);
        }
        Check("dpotrf", info);
        return lower;
    }

    protected override void Substitute(Matrix lower, Matrix right, bool transpose)
    {
        int n = right.Rows, cols = right.Cols;
        fixed (double* a = lower.Data, x = right.Data)
        {
            if (n > 0 && cols > 0)
            {
                _blas.cblas_dtrsm(RowMajor, Left, Lower, transpose ? Trans : NoTrans, NonUnit, n, cols, 1, a, n, x, cols);
            }
        }
    }

    protected override Matrix ProductOf(Matrix left, Matrix right, bool transposeLeft, bool transposeRight)
    {
        var (rows, inner) = transposeLeft ? (left.Cols, left.Rows) : (left.Rows, left.Cols);
        var product = new Matrix(rows, transposeRight ? right.Rows : right.Cols);
        fixed (double* a = left.Data, b = right.Data, c = product.Data)
        {
            _blas.cblas_dgemm(RowMajor, transposeLeft ? Trans : NoTrans, transposeRight ? Trans : NoTrans,
                rows, product.Cols, inner, 1, a, left.Cols, b, right.Cols, 0, c, product.Cols);
        }
        return product;
    }

    protected override Matrix LowerGramOf(Matrix matrix, bool transpose)
    {
        var (size, inner) = transpose ? (matrix.Cols, matrix.Rows) : (matrix.Rows, matrix.Cols);
        var gram = new Matrix(size, size);
        fixed (double* a = matrix.Data, c = gram.Data)
        {
            _blas.cblas_dsyrk(RowMajor, Lower, transpose ? Trans : NoTrans, size, inner, 1, a, matrix.Cols, 0, c, size);
        }
        return gram;
    }

    /// <summary>The one place where LAPACK's status becomes an exception.</summary>
    static void Check(string routine, int info)
    {
        if (info < 0)
        {
            throw new InvalidOperationException($"{routine}: argument {-info} is illegal"); // our mistake, not the caller's
        }
        if (info > 0)
        {
            throw new ArithmeticException(routine == "dpotrf" ? NotPositiveDefinite(info) : $"{routine} did not converge (info {info})");
        }
    }

    /// <summary>A workspace query answers in double.</summary>
    static int Length(double size) => checked((int)Math.Max(1, size));

    static void RequireWorkspace(long elements, Matrix matrix)
    {
        if (elements > Array.MaxLength)
        {
            throw new ArgumentException($"a {matrix.Rows}x{matrix.Cols} matrix needs {elements} elements of workspace, LAPACK counts to {Array.MaxLength}");
        }
    }
}
