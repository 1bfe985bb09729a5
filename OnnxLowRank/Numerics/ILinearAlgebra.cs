namespace OnnxLowRank.Numerics;

/// <summary>
/// The dense algebra the host does, in double precision. Every implementation gives the same results up to rounding;
/// signs of singular vectors and bases of repeated eigenvalues are free. Arguments are not changed, results are new,
/// and all methods may be called from several threads at once. The same library, kernel and thread count
/// give the same bits (the exception is in <see cref="OpenBlasAlgebra"/>).
/// </summary>
/// <remarks>
/// All methods throw <see cref="ArgumentException"/> when shapes disagree or an element that is read is NaN or infinite, and
/// <see cref="ArithmeticException"/> when an iteration does not converge. A side of length 0 is allowed everywhere: factors get
/// k = 0 columns, a product over no terms is zero. Finite arguments whose product overflows give infinite elements, not an exception.
/// </remarks>
interface ILinearAlgebra
{
    /// <summary>What runs, for the report: "OpenBLAS 0.3.21 (SkylakeX, 2 threads)" or "Math.NET Numerics 5.0.0 (2 threads)".</summary>
    string Name { get; }

    /// <summary>Threads that work may be spread over.</summary>
    int Threads { get; }

    /// <summary>Eigenvalues, largest first, and orthonormal eigenvectors of a symmetric matrix (n, n); only its lower triangle is read.</summary>
    SymmetricEigen Eigen(Matrix symmetric);

    /// <summary>The thin SVD A = U·diag(S)·Vt of a matrix (m, n): U (m, k), S (k) largest first, Vt (k, n), k = min(m, n).</summary>
    ThinSvd Svd(Matrix matrix);

    /// <summary>
    /// Orthonormal columns (m, k), k = min(m, n), whose span contains the column space of a matrix (m, n): the Q of its thin QR.
    /// Where the rank is below k the span is larger than the column space; the columns are orthonormal all the same.
    /// </summary>
    Matrix Orthonormalize(Matrix matrix);

    /// <summary>X (n, k) with A·X = B for a symmetric positive definite A (n, n), by Cholesky; only A's lower triangle is read.</summary>
    /// <exception cref="ArithmeticException">A is not positive definite; the message names the failing pivot.</exception>
    Matrix Solve(Matrix positiveDefinite, Matrix right);

    /// <summary>L (n, n), zero above the diagonal, with A = L·Lᵀ for a symmetric positive definite A (n, n); only A's lower triangle is read.</summary>
    /// <exception cref="ArithmeticException">A is not positive definite; the message names the failing pivot.</exception>
    Matrix Cholesky(Matrix positiveDefinite);

    /// <summary>X (n, k) with Lᵀ·X = B for a lower triangular L (n, n) without zeros on its diagonal, as <see cref="Cholesky"/> gives it.</summary>
    Matrix SolveTransposed(Matrix lower, Matrix right);

    /// <summary>op(A)·op(B), where op transposes if asked to; no transposed copy is made.</summary>
    Matrix Multiply(Matrix left, Matrix right, bool transposeLeft = false, bool transposeRight = false);

    /// <summary>A·Aᵀ (m, m), or Aᵀ·A (n, n) when <paramref name="transpose"/>; both triangles are filled, with the same bits.</summary>
    Matrix Gram(Matrix matrix, bool transpose = false);
}

/// <summary>A = Vectors·diag(Values)·Vectorsᵀ.</summary>
/// <param name="Values">Eigenvalues, largest first.</param>
/// <param name="Vectors">(n, n); column i belongs to value i.</param>
readonly record struct SymmetricEigen(double[] Values, Matrix Vectors);

/// <summary>A = U·diag(S)·Vt.</summary>
/// <param name="U">(m, k), orthonormal columns.</param>
/// <param name="S">k singular values, largest first.</param>
/// <param name="Vt">(k, n), orthonormal rows.</param>
readonly record struct ThinSvd(Matrix U, double[] S, Matrix Vt);
