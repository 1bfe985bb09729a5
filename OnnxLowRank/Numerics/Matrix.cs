using System.Numerics.Tensors;

namespace OnnxLowRank.Numerics;

/// <summary>A dense matrix of doubles, row-major. A weight is (out, in): one row per output channel, whatever the ONNX op stores.</summary>
sealed class Matrix
{
    /// <summary>A matrix of zeros.</summary>
    public Matrix(int rows, int cols) : this(rows, cols, new double[checked(rows * cols)])
    {
    }

    /// <summary>Wraps <paramref name="data"/> without copying it.</summary>
    /// <exception cref="ArgumentException">The data does not have rows·cols elements.</exception>
    public Matrix(int rows, int cols, double[] data)
    {
        if (data.Length != (long)rows * cols)
        {
            throw new ArgumentException($"a {rows}x{cols} matrix has {(long)rows * cols} elements, not {data.Length}");
        }
        (Rows, Cols, Data) = (rows, cols, data);
    }

    public int Rows { get; }

    public int Cols { get; }

    /// <summary>All elements, row after row.</summary>
    public double[] Data { get; }

    public double this[int row, int col]
    {
        get => Data[row * Cols + col];
        set => Data[row * Cols + col] = value;
    }

    public Span<double> Row(int row) => Data.AsSpan(row * Cols, Cols);

    /// <summary>Elements of the pieces that large matrices are read in: 16 MiB. More makes products no faster.</summary>
    public const int ElementsOfPiece = 1 << 21;

    /// <summary>Rows of such a piece, at least one.</summary>
    public static int RowsOfPiece(int cols) => Math.Max(1, ElementsOfPiece / cols);

    /// <summary>A copy of the first <paramref name="count"/> rows.</summary>
    public Matrix TopRows(int count) => new(count, Cols, Data.AsSpan(0, count * Cols).ToArray());

    /// <summary>A copy of the first <paramref name="count"/> columns.</summary>
    public Matrix LeftCols(int count)
    {
        var left = new Matrix(Rows, count);
        for (int i = 0; i < Rows; i++)
        {
            Row(i)[..count].CopyTo(left.Row(i));
        }
        return left;
    }

    /// <summary>The first <paramref name="count"/> columns of a matrix with <paramref name="cols"/> of them that was put aside in single precision.</summary>
    public static Matrix LeftOf(ReadOnlySpan<float> values, int cols, int count)
    {
        var left = new Matrix(values.Length / cols, count);
        for (int i = 0; i < left.Rows; i++)
        {
            TensorPrimitives.ConvertTruncating<float, double>(values.Slice(i * cols, count), left.Row(i));
        }
        return left;
    }

    /// <summary>All elements in single precision, row after row.</summary>
    public float[] ToFloats()
    {
        var floats = new float[Data.Length];
        TensorPrimitives.ConvertTruncating<double, float>(Data, floats);
        return floats;
    }

    /// <summary>A transposed copy.</summary>
    public Matrix Transposed()
    {
        var transposed = new Matrix(Cols, Rows);
        for (int i = 0; i < Rows; i++)
        {
            var row = Row(i);
            for (int j = 0; j < Cols; j++)
            {
                transposed.Data[j * Rows + i] = row[j];
            }
        }
        return transposed;
    }

    /// <summary>Transposes a square matrix where it lies, a pair of tiles at a time: rows of both fit the cache.</summary>
    public void TransposeInPlace()
    {
        const int Side = 64;
        for (int top = 0; top < Rows; top += Side)
        {
            for (int left = 0; left <= top; left += Side)
            {
                for (int row = top; row < Math.Min(Rows, top + Side); row++)
                {
                    for (int col = left; col < Math.Min(row, left + Side); col++)
                    {
                        (Data[row * Cols + col], Data[col * Cols + row]) = (Data[col * Cols + row], Data[row * Cols + col]);
                    }
                }
            }
        }
    }

    /// <summary>A copy whose column j is multiplied by factor j.</summary>
    public Matrix WithColumnsTimes(ReadOnlySpan<double> factors)
    {
        var scaled = new Matrix(Rows, Cols);
        for (int i = 0; i < Rows; i++)
        {
            TensorPrimitives.Multiply(Row(i), factors, scaled.Row(i));
        }
        return scaled;
    }

    /// <summary>Sum of squares of every column.</summary>
    public double[] ColumnSquares()
    {
        var squares = new double[Cols];
        for (int i = 0; i < Rows; i++)
        {
            TensorPrimitives.MultiplyAdd<double>(Row(i), Row(i), squares, squares);
        }
        return squares;
    }

    /// <summary>Adds the same number to every element of a square matrix's diagonal.</summary>
    public void AddToDiagonal(double value)
    {
        for (int i = 0; i < Rows; i++)
        {
            this[i, i] += value;
        }
    }

    /// <summary>Sum of the diagonal of a square matrix.</summary>
    public double Trace()
    {
        double trace = 0;
        for (int i = 0; i < Rows; i++)
        {
            trace += this[i, i];
        }
        return trace;
    }

    /// <summary>The sum of matrices of one shape, at least one, none of which is needed afterwards: the first becomes it.</summary>
    public static Matrix Sum(IEnumerable<Matrix> terms) => terms.Aggregate((sum, term) =>
    {
        TensorPrimitives.Add<double>(sum.Data, term.Data, sum.Data);
        return sum;
    });

    /// <summary>A copy with other values to change.</summary>
    public Matrix Copy() => new(Rows, Cols, (double[])Data.Clone());

    public static Matrix Identity(int size)
    {
        var identity = new Matrix(size, size);
        for (int i = 0; i < size; i++)
        {
            identity[i, i] = 1;
        }
        return identity;
    }
}
