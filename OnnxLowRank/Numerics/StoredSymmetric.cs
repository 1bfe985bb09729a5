using System.Numerics.Tensors;
using OnnxLowRank.Storage;

namespace OnnxLowRank.Numerics;

/// <summary>A symmetric matrix put aside: its lower triangle in single precision, a quarter of the memory. It is computed with as it was.</summary>
sealed class StoredSymmetric
{
    readonly int _size;
    readonly Kept _triangle;

    /// <param name="matrix">(n, n); only its lower triangle is read.</param>
    /// <param name="spill">Where it waits; in memory when null.</param>
    public StoredSymmetric(Matrix matrix, Spill? spill = null)
    {
        _size = matrix.Rows;
        var triangle = new float[Start(_size)];
        for (int i = 0; i < _size; i++)
        {
            TensorPrimitives.ConvertTruncating<double, float>(matrix.Row(i)[..(i + 1)], triangle.AsSpan(Start(i)));
        }
        _triangle = (spill ?? Spill.None).Keep(triangle);
    }

    /// <summary>The matrix (n, n), both triangles, its elements rounded to single precision.</summary>
    public Matrix Read()
    {
        var triangle = _triangle.Span;
        var matrix = new Matrix(_size, _size);
        for (int i = 0; i < _size; i++)
        {
            var row = matrix.Row(i)[..(i + 1)];
            TensorPrimitives.ConvertTruncating<float, double>(triangle.Slice(Start(i), i + 1), row);
            for (int j = 0; j < i; j++)
            {
                matrix[j, i] = row[j];
            }
        }
        return matrix;
    }

    /// <summary>Where a row starts.</summary>
    static int Start(int row) => checked((int)((long)row * (row + 1) / 2));
}
