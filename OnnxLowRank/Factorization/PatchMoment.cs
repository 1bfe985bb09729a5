using System.Numerics.Tensors;
using OnnxLowRank.Numerics;

namespace OnnxLowRank.Factorization;

/// <summary>What the patches that the kernel of an ungrouped Conv reads look like.</summary>
/// <param name="Covariance">C (in, in) about their mean, tap within channel as the weight lies; positive definite.</param>
/// <param name="Means">Per use, their mean (in).</param>
sealed record PatchMoment(Matrix Covariance, double[][] Means)
{
    /// <summary>Numbers of a patch.</summary>
    public int Size => Covariance.Rows;

    /// <summary>
    /// What of C lies between two slots, (in/slots, in/slots): number p of a patch is in slot p mod <paramref name="slots"/>, so that as many slots as taps are
    /// pixels and as many as the kernel is wide are columns.
    /// </summary>
    public Matrix Between(int slot, int other, int slots)
    {
        var between = new Matrix(Size / slots, Size / slots);
        for (int i = 0; i < between.Rows; i++)
        {
            ReadOnlySpan<double> from = Covariance.Row(i * slots + slot);
            var to = between.Row(i);
            for (int j = 0; j < to.Length; j++)
            {
                to[j] = from[j * slots + other];
            }
        }
        return between;
    }

    /// <summary>The same of any slot, all slots alike.</summary>
    public Matrix Within(int slots) => Mean(Enumerable.Range(0, slots).Select(slot => Between(slot, slot, slots)), slots);

    /// <summary>
    /// F·C·Fᵀ (k·slots, k·slots) where F = D ⊗ I reads every slot of a patch through all rows of D (k, in/slots), slot within row.
    /// </summary>
    public Matrix Through(ILinearAlgebra algebra, Matrix down, int slots)
    {
        var gram = new Matrix(down.Rows * slots, down.Rows * slots);
        for (int slot = 0; slot < slots; slot++)
        {
            for (int other = 0; other <= slot; other++)
            {
                var block = algebra.Multiply(algebra.Multiply(down, Between(slot, other, slots)), down, transposeRight: true);
                for (int i = 0; i < down.Rows; i++)
                {
                    for (int j = 0; j < down.Rows; j++)
                    {
                        gram[i * slots + slot, j * slots + other] = gram[j * slots + other, i * slots + slot] = block[i, j];
                    }
                }
            }
        }
        return gram;
    }

    /// <summary>M·Fᵀ (rows, k·slots) for a matrix M (rows, in).</summary>
    public static Matrix Project(ILinearAlgebra algebra, Matrix matrix, Matrix down, int slots)
    {
        var projected = new Matrix(matrix.Rows, down.Rows * slots);
        var part = new Matrix(matrix.Rows, down.Cols);
        for (int slot = 0; slot < slots; slot++)
        {
            for (int i = 0; i < part.Rows; i++)
            {
                for (int j = 0; j < part.Cols; j++)
                {
                    part[i, j] = matrix[i, j * slots + slot];
                }
            }
            var product = algebra.Multiply(part, down, transposeRight: true);
            for (int i = 0; i < product.Rows; i++)
            {
                for (int k = 0; k < product.Cols; k++)
                {
                    projected[i, k * slots + slot] = product[i, k];
                }
            }
        }
        return projected;
    }

    /// <summary>The same between pixels u and w of a column, all columns of the kernel alike.</summary>
    public Matrix Column(int u, int w, int height, int width) =>
        Mean(Enumerable.Range(0, width).Select(v => Between(u * width + v, w * width + v, height * width)), width);

    static Matrix Mean(IEnumerable<Matrix> matrices, int count)
    {
        var sum = Matrix.Sum(matrices);
        TensorPrimitives.Divide<double>(sum.Data, count, sum.Data);
        return sum;
    }
}
