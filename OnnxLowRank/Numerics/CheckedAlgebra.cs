using System.Numerics.Tensors;

namespace OnnxLowRank.Numerics;

/// <summary>
/// What every <see cref="ILinearAlgebra"/> shares: argument checks, matrices with an empty side, and the mirror of a triangle.
/// The abstract methods get finite, non-empty matrices of matching shapes; only the lower triangle of a symmetric one is checked.
/// </summary>
abstract class CheckedAlgebra : ILinearAlgebra
{
    public abstract string Name { get; }

    public abstract int Threads { get; }

    public SymmetricEigen Eigen(Matrix symmetric)
    {
        RequireSymmetric(symmetric, nameof(symmetric));
        return symmetric.Rows == 0 ? new([], new(0, 0)) : EigenOf(symmetric);
    }

    public ThinSvd Svd(Matrix matrix)
    {
        RequireFinite(matrix, nameof(matrix));
        return IsEmpty(matrix) ? new(new(matrix.Rows, 0), [], new(0, matrix.Cols)) : SvdOf(matrix);
    }

    public Matrix Orthonormalize(Matrix matrix)
    {
        RequireFinite(matrix, nameof(matrix));
        if (IsEmpty(matrix))
        {
            return new(matrix.Rows, 0);
        }
        // Q of a wide matrix (m < n) is that of its first m columns; the others only appear in R.
        return BasisOf(matrix.Cols > matrix.Rows ? matrix.LeftCols(matrix.Rows) : matrix);
    }

    public Matrix Solve(Matrix positiveDefinite, Matrix right)
    {
        RequireRightSide(positiveDefinite, right, nameof(positiveDefinite));
        if (right.Rows == 0)
        {
            return new(0, right.Cols);
        }
        var (lower, solution) = (CholeskyOf(positiveDefinite), right.Copy());
        Substitute(lower, solution, transpose: false);
        Substitute(lower, solution, transpose: true);
        return solution;
    }

    public Matrix SolveTransposed(Matrix lower, Matrix right)
    {
        RequireRightSide(lower, right, nameof(lower));
        var solution = right.Copy();
        Substitute(lower, solution, transpose: true);
        return solution;
    }

    static void RequireRightSide(Matrix matrix, Matrix right, string name)
    {
        RequireSymmetric(matrix, name);
        RequireFinite(right, nameof(right));
        if (matrix.Rows != right.Rows)
        {
            throw new ArgumentException($"the matrix is {matrix.Rows}x{matrix.Cols}, the right side has {right.Rows} rows", nameof(right));
        }
    }

    public Matrix Cholesky(Matrix positiveDefinite)
    {
        RequireSymmetric(positiveDefinite, nameof(positiveDefinite));
        return positiveDefinite.Rows == 0 ? new(0, 0) : CholeskyOf(positiveDefinite);
    }

    public Matrix Multiply(Matrix left, Matrix right, bool transposeLeft = false, bool transposeRight = false)
    {
        RequireFinite(left, nameof(left));
        RequireFinite(right, nameof(right));
        var (rows, inner) = transposeLeft ? (left.Cols, left.Rows) : (left.Rows, left.Cols);
        var (innerRight, cols) = transposeRight ? (right.Cols, right.Rows) : (right.Rows, right.Cols);
        if (inner != innerRight)
        {
            throw new ArgumentException($"cannot multiply {rows}x{inner} by {innerRight}x{cols}", nameof(right));
        }
        return rows == 0 || inner == 0 || cols == 0 ? new(rows, cols) : ProductOf(left, right, transposeLeft, transposeRight);
    }

    public Matrix Gram(Matrix matrix, bool transpose = false)
    {
        RequireFinite(matrix, nameof(matrix));
        int size = transpose ? matrix.Cols : matrix.Rows;
        if (IsEmpty(matrix))
        {
            return new(size, size);
        }
        var gram = LowerGramOf(matrix, transpose);
        MirrorLower(gram);
        return gram;
    }

    /// <summary>See <see cref="ILinearAlgebra.Eigen"/>; what lies above the diagonal may be anything, NaN included.</summary>
    protected abstract SymmetricEigen EigenOf(Matrix symmetric);

    protected abstract ThinSvd SvdOf(Matrix matrix);

    /// <summary>Q (m, n) of a matrix with m ≥ n.</summary>
    protected abstract Matrix BasisOf(Matrix tall);

    protected abstract Matrix CholeskyOf(Matrix positiveDefinite);

    /// <summary>Puts X into B's place, where L·X = B, or Lᵀ·X = B; there may be no columns.</summary>
    protected abstract void Substitute(Matrix lower, Matrix right, bool transpose);

    protected abstract Matrix ProductOf(Matrix left, Matrix right, bool transposeLeft, bool transposeRight);

    /// <summary>A·Aᵀ, or Aᵀ·A; what it leaves above the diagonal is overwritten.</summary>
    protected abstract Matrix LowerGramOf(Matrix matrix, bool transpose);

    /// <summary>From eigenvalues, smallest first, with one eigenvector per row — column-major LAPACK read as row-major; both arguments become the result.</summary>
    protected static SymmetricEigen LargestFirst(double[] ascending, Matrix vectorRows)
    {
        vectorRows.TransposeInPlace();
        for (int i = 0; i < vectorRows.Rows; i++)
        {
            vectorRows.Row(i).Reverse();
        }
        Array.Reverse(ascending);
        return new(ascending, vectorRows);
    }

    /// <summary>A copy of the lower triangle, zero above the diagonal.</summary>
    protected static Matrix LowerTriangle(Matrix matrix)
    {
        var lower = new Matrix(matrix.Rows, matrix.Cols);
        for (int i = 0; i < matrix.Rows; i++)
        {
            matrix.Row(i)[..(i + 1)].CopyTo(lower.Row(i));
        }
        return lower;
    }

    protected static void MirrorLower(Matrix square)
    {
        int n = square.Rows;
        for (int i = 0; i < n; i++)
        {
            var row = square.Row(i);
            for (int j = 0; j < i; j++)
            {
                square.Data[j * n + i] = row[j];
            }
        }
    }

    protected static string NotPositiveDefinite(int pivot) => $"the matrix is not positive definite: pivot {pivot} (from 1) is not above 0";

    static bool IsEmpty(Matrix matrix) => matrix.Rows == 0 || matrix.Cols == 0;

    static void RequireSymmetric(Matrix matrix, string name)
    {
        if (matrix.Rows != matrix.Cols)
        {
            throw new ArgumentException($"a symmetric matrix is square, this one has {matrix.Rows} rows and {matrix.Cols} columns", name);
        }
        for (int i = 0; i < matrix.Rows; i++)
        {
            RequireFinite(matrix.Row(i)[..(i + 1)], i, name);
        }
    }

    static void RequireFinite(Matrix matrix, string name)
    {
        for (int i = 0; i < matrix.Rows; i++)
        {
            RequireFinite(matrix.Row(i), i, name);
        }
    }

    static void RequireFinite(ReadOnlySpan<double> row, int index, string name)
    {
        if (row.IsEmpty || TensorPrimitives.IsFiniteAll(row)) // which says false of nothing
        {
            return;
        }
        int col = 0;
        while (double.IsFinite(row[col]))
        {
            col++;
        }
        throw new ArgumentException(FormattableString.Invariant($"element ({index}, {col}) is {row[col]}"), name);
    }
}
