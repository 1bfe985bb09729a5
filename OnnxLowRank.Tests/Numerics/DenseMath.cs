using OnnxLowRank.Numerics;

namespace OnnxLowRank.Tests.Numerics;

/// <summary>The slow, obvious algebra that the fast one is compared to, and the matrices it is tried on.</summary>
static class DenseMath
{
    public static readonly string[] Kinds = ["gaussian", "rank 1", "half rank", "zero", "huge", "tiny", "graded", "near diagonal"];

    /// <summary>Any m and n; "huge" and "tiny" are 1e±150, whose squares sum to the edge of the range; "graded" spans 1 … 1e-12, "near diagonal" cancels in careless reflections.</summary>
    public static Matrix Make(string kind, int m, int n)
    {
        var gaussian = Gaussian.Random(m, n, seed: 7 * m + n);
        return kind switch
        {
            "gaussian" => gaussian,
            "rank 1" => LowRank(m, n, 1),
            "half rank" => LowRank(m, n, Math.Max(1, Math.Min(m, n) / 2)),
            "zero" => new(m, n),
            "huge" => Scaled(gaussian, 1e150),
            "tiny" => Scaled(gaussian, 1e-150),
            "graded" => Graded(gaussian),
            "near diagonal" => NearDiagonal(gaussian),
            _ => throw new ArgumentException(kind),
        };
    }

    /// <summary>B + Bᵀ for B of that kind.</summary>
    public static Matrix MakeSymmetric(string kind, int n)
    {
        var matrix = Make(kind, n, n);
        return Minus(matrix, Scaled(matrix.Transposed(), -1));
    }

    public static Matrix Times(Matrix a, Matrix b)
    {
        var product = new Matrix(a.Rows, b.Cols);
        for (int i = 0; i < a.Rows; i++)
        {
            for (int k = 0; k < a.Cols; k++)
            {
                for (int j = 0; j < b.Cols; j++)
                {
                    product[i, j] += a[i, k] * b[k, j];
                }
            }
        }
        return product;
    }

    public static Matrix Minus(Matrix a, Matrix b)
    {
        Assert.Equal((a.Rows, a.Cols), (b.Rows, b.Cols));
        return new(a.Rows, a.Cols, [.. a.Data.Zip(b.Data, (x, y) => x - y)]);
    }

    public static Matrix Scaled(Matrix a, double factor) => new(a.Rows, a.Cols, [.. a.Data.Select(x => x * factor)]);

    public static Matrix ScaledCols(Matrix a, double[] factors)
    {
        var scaled = a.Copy();
        for (int i = 0; i < scaled.Data.Length; i++)
        {
            scaled.Data[i] *= factors[i % a.Cols];
        }
        return scaled;
    }

    /// <summary>Frobenius, without squaring anything that overflows or underflows.</summary>
    public static double Norm(Matrix a)
    {
        double largest = a.Data.Select(Math.Abs).DefaultIfEmpty().Max();
        return largest == 0 ? 0 : largest * Math.Sqrt(a.Data.Sum(x => x / largest * (x / largest)));
    }

    /// <summary>‖actual − expected‖ ≤ tolerance·scale, and says by how much not.</summary>
    public static void AssertClose(Matrix expected, Matrix actual, double tolerance, double scale)
    {
        double difference = Norm(Minus(actual, expected));
        Assert.True(difference <= tolerance * scale, $"difference {difference:g3} is above {tolerance:g3} times {scale:g3}");
    }

    public static void AssertOrthonormalCols(Matrix a) =>
        AssertClose(Matrix.Identity(a.Cols), Times(a.Transposed(), a), Tolerance(a.Rows), Math.Sqrt(a.Cols));

    public static void AssertDescending(double[] values) => Assert.Equal(values.OrderDescending(), values);

    /// <summary>
    /// Backward stable algorithms err by a modest multiple of 1.1e-16·size; the largest seen is a fifth of this. A wrong sign,
    /// order or transposition errs by about 1.
    /// </summary>
    public static double Tolerance(int size) => 5e-16 * (10 + size);

    static Matrix LowRank(int m, int n, int rank) => Times(Gaussian.Random(m, rank, 1), Gaussian.Random(rank, n, 2));

    static Matrix NearDiagonal(Matrix a)
    {
        var near = Scaled(a, 1e-9);
        for (int i = 0; i < Math.Min(a.Rows, a.Cols); i++)
        {
            near[i, i] += i + 1;
        }
        return near;
    }

    static Matrix Graded(Matrix a)
    {
        var graded = a.Copy();
        for (int i = 0; i < a.Rows; i++)
        {
            for (int j = 0; j < a.Cols; j++)
            {
                graded[i, j] *= Math.Pow(10, -12.0 * j / a.Cols);
            }
        }
        return graded;
    }
}
