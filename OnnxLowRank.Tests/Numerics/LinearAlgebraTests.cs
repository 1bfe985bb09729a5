using OnnxLowRank.Numerics;
using static OnnxLowRank.Tests.Numerics.DenseMath;

namespace OnnxLowRank.Tests.Numerics;

/// <summary>Each test runs on every implementation; results are judged by the properties that define them.</summary>
public class LinearAlgebraTests
{
    static readonly string[] s_implementations = ["OpenBLAS", "managed"];

    /// <summary>OpenBLAS's kernels for CPUs before AVX2.</summary>
    static readonly string[] s_alignedKernels = ["Prescott", "Core2", "Penryn", "Dunnington", "Nehalem", "Barcelona", "Sandybridge", "Bulldozer", "Piledriver"];

    static readonly (int Rows, int Cols)[] s_shapes = [(1, 1), (2, 2), (1, 9), (9, 1), (17, 16), (40, 40), (70, 30), (30, 70), (300, 5), (3, 200), (128, 96)];

    public static TheoryData<string> Implementations => [.. s_implementations];

    public static TheoryData<string, string, int, int> Matrices => [.. (
        from implementation in s_implementations
        from kind in Kinds
        from shape in s_shapes
        select (implementation, kind, shape.Rows, shape.Cols))];

    public static TheoryData<string, string, int> SymmetricMatrices => [.. (
        from implementation in s_implementations
        from kind in Kinds
        from size in new[] { 1, 2, 3, 16, 33, 100 }
        select (implementation, kind, size))];

    /// <summary>Around the kernels' block sizes: 4 and 64 rows, 12 and 240 columns, 256 terms.</summary>
    public static TheoryData<string, int, int, int> Products => [.. (
        from implementation in s_implementations
        from shape in new[] { (1, 1, 1), (1, 7, 1), (5, 1, 4), (3, 5, 7), (4, 256, 12), (65, 257, 13), (130, 300, 250), (2, 40, 500) }
        select (implementation, shape.Item1, shape.Item2, shape.Item3))];

    internal static ILinearAlgebra Use(string implementation)
    {
        if (implementation == "managed")
        {
            return new ManagedAlgebra(2);
        }
        var algebra = LinearAlgebra.Create(2);
        Assert.SkipWhen(algebra is ManagedAlgebra, "no OpenBLAS here; on Debian: apt install libopenblas0-pthread");
        return algebra;
    }

    [Theory, MemberData(nameof(Matrices))]
    public void Svd_is_thin_orthonormal_and_descending_and_reproduces_the_matrix(string implementation, string kind, int m, int n)
    {
        var matrix = Make(kind, m, n);

        AssertIsSvd(matrix, Use(implementation).Svd(matrix));
    }

    internal static void AssertIsSvd(Matrix matrix, ThinSvd svd)
    {
        int k = Math.Min(matrix.Rows, matrix.Cols);
        Assert.Equal((matrix.Rows, k, k, k, matrix.Cols), (svd.U.Rows, svd.U.Cols, svd.S.Length, svd.Vt.Rows, svd.Vt.Cols));
        AssertOrthonormalCols(svd.U);
        AssertOrthonormalCols(svd.Vt.Transposed());
        AssertDescending(svd.S);
        Assert.All(svd.S, s => Assert.True(s >= 0));
        AssertClose(matrix, Times(ScaledCols(svd.U, svd.S), svd.Vt), Tolerance(matrix.Rows + matrix.Cols), Norm(matrix));
    }

    [Theory, MemberData(nameof(SymmetricMatrices))]
    public void Eigenvalues_descend_and_their_vectors_are_orthonormal_columns_that_reproduce_the_matrix(string implementation, string kind, int n)
    {
        var matrix = MakeSymmetric(kind, n);

        var (values, vectors) = Use(implementation).Eigen(matrix);

        AssertDescending(values);
        AssertOrthonormalCols(vectors);
        AssertClose(matrix, Times(ScaledCols(vectors, values), vectors.Transposed()), Tolerance(n), Norm(matrix));
    }

    [Theory, MemberData(nameof(Matrices))]
    public void Orthonormalize_spans_the_columns(string implementation, string kind, int m, int n)
    {
        var matrix = Make(kind, m, n);

        var q = Use(implementation).Orthonormalize(matrix);

        Assert.Equal((m, Math.Min(m, n)), (q.Rows, q.Cols));
        AssertOrthonormalCols(q);
        AssertClose(matrix, Times(q, Times(q.Transposed(), matrix)), Tolerance(m + n), Norm(matrix));
    }

    [Theory, MemberData(nameof(SymmetricMatrices))]
    public void Solve_leaves_a_small_residual(string implementation, string kind, int n)
    {
        var root = Make(kind, n, n);
        var matrix = Plus(Times(root, Scaled(root.Transposed(), 1 / Math.Max(Norm(root), 1e-200))), Matrix.Identity(n), kind switch { "huge" => 1e150, "tiny" => 1e-150, _ => 1 });
        var right = Gaussian.Random(n, 3, seed: 5);

        var solution = Use(implementation).Solve(matrix, right);

        // The backward error of Cholesky is small whatever the condition: ‖A·X − B‖ against ‖A‖·‖X‖.
        AssertClose(right, Times(matrix, solution), Tolerance(n), Norm(matrix) * Norm(solution));
    }

    [Theory, MemberData(nameof(SymmetricMatrices))]
    public void Cholesky_is_lower_and_reproduces_the_matrix(string implementation, string kind, int n)
    {
        var root = Make(kind, n, n);
        var matrix = Plus(Times(root, Scaled(root.Transposed(), 1 / Math.Max(Norm(root), 1e-200))), Matrix.Identity(n), kind switch { "huge" => 1e150, "tiny" => 1e-150, _ => 1 });

        var lower = Use(implementation).Cholesky(matrix);

        AssertClose(matrix, Times(lower, lower.Transposed()), Tolerance(n), Norm(matrix));
        Assert.All(Enumerable.Range(0, n), i => Assert.True(lower[i, i] > 0 && lower.Row(i)[(i + 1)..].IndexOfAnyExcept(0) < 0));
    }

    [Theory, MemberData(nameof(SymmetricMatrices))]
    public void SolveTransposed_leaves_a_small_residual_and_reads_only_the_lower_triangle(string implementation, string kind, int n)
    {
        var lower = Make(kind, n, n);
        double scale = kind switch { "huge" => 1e150, "tiny" => 1e-150, _ => 1 };
        for (int i = 0; i < n; i++)
        {
            lower[i, i] = (1 + Math.Abs(lower[i, i] / scale)) * scale;
            lower.Row(i)[(i + 1)..].Clear();
        }
        var asked = lower.Copy();
        for (int i = 0; i < n; i++)
        {
            asked.Row(i)[(i + 1)..].Fill(double.NaN);
        }
        var right = Gaussian.Random(n, 3, seed: 6);

        var solution = Use(implementation).SolveTransposed(asked, right);

        AssertClose(right, Times(lower.Transposed(), solution), Tolerance(n), Norm(lower) * Norm(solution));
    }

    [Theory, MemberData(nameof(Implementations))]
    public void Eigen_Cholesky_and_Solve_read_only_the_lower_triangle(string implementation)
    {
        const int n = 37;
        var matrix = Plus(MakeSymmetric("gaussian", n), Matrix.Identity(n), 40);
        var lower = matrix.Copy();
        for (int i = 0; i < n; i++)
        {
            lower.Row(i)[(i + 1)..].Fill(double.NaN);
        }
        var right = Gaussian.Random(n, 2, seed: 1);
        var algebra = Use(implementation);

        var (values, vectors) = algebra.Eigen(lower); // a NaN that is read is in all that follows
        AssertClose(matrix, Times(ScaledCols(vectors, values), vectors.Transposed()), Tolerance(n), Norm(matrix));
        AssertClose(right, Times(matrix, algebra.Solve(lower, right)), Tolerance(n), Norm(right));
        var root = algebra.Cholesky(lower);
        AssertClose(matrix, Times(root, root.Transposed()), Tolerance(n), Norm(matrix));
    }

    [Theory, MemberData(nameof(Implementations))]
    public void Solve_and_Cholesky_name_the_pivot_where_a_matrix_is_not_positive_definite(string implementation)
    {
        var matrix = Matrix.Identity(5);
        matrix[3, 3] = -1;
        var algebra = Use(implementation);

        var error = Assert.Throws<ArithmeticException>(() => algebra.Solve(matrix, new(5, 1)));

        Assert.Contains("pivot 4", error.Message, StringComparison.Ordinal);
        Assert.Equal(error.Message, Assert.Throws<ArithmeticException>(() => algebra.Cholesky(matrix)).Message);
        Assert.Throws<ArithmeticException>(() => algebra.Solve(new(2, 2), new(2, 1)));
    }

    [Theory, MemberData(nameof(Products))]
    public void Multiply_agrees_with_three_loops_for_all_transpositions(string implementation, int m, int inner, int n)
    {
        var (left, right) = (Gaussian.Random(m, inner, seed: 1), Gaussian.Random(inner, n, seed: 2));
        var (leftT, rightT) = (left.Transposed(), right.Transposed());
        var expected = Times(left, right);
        double scale = Norm(left) * Norm(right);
        var algebra = Use(implementation);

        AssertClose(expected, algebra.Multiply(left, right), 1e-15, scale);
        AssertClose(expected, algebra.Multiply(leftT, right, transposeLeft: true), 1e-15, scale);
        AssertClose(expected, algebra.Multiply(left, rightT, transposeRight: true), 1e-15, scale);
        AssertClose(expected, algebra.Multiply(leftT, rightT, transposeLeft: true, transposeRight: true), 1e-15, scale);
    }

    [Theory, MemberData(nameof(Products))]
    public void Gram_agrees_with_three_loops_and_is_exactly_symmetric(string implementation, int m, int inner, int n)
    {
        var matrix = Gaussian.Random(Math.Max(m, n), inner, seed: 3);
        double scale = Norm(matrix) * Norm(matrix);
        var algebra = Use(implementation);

        var (gram, transposed) = (algebra.Gram(matrix), algebra.Gram(matrix, transpose: true));

        AssertClose(Times(matrix, matrix.Transposed()), gram, 1e-15, scale);
        AssertClose(Times(matrix.Transposed(), matrix), transposed, 1e-15, scale);
        Assert.Equal(gram.Data, gram.Transposed().Data);
        Assert.Equal(transposed.Data, transposed.Transposed().Data);
    }

    [Theory, MemberData(nameof(Implementations))]
    public void Matrices_with_an_empty_side_are_allowed(string implementation)
    {
        var algebra = Use(implementation);

        Assert.Empty(algebra.Eigen(new(0, 0)).Values);
        foreach (var (m, n) in new[] { (0, 3), (3, 0), (0, 0) })
        {
            var (u, s, vt) = algebra.Svd(new(m, n));
            Assert.Equal((m, 0, 0, 0, n), (u.Rows, u.Cols, s.Length, vt.Rows, vt.Cols));
            var q = algebra.Orthonormalize(new(m, n));
            Assert.Equal((m, 0), (q.Rows, q.Cols));
            Assert.Equal(new double[m * m], algebra.Gram(new(m, n)).Data);
            Assert.Equal(new double[n * n], algebra.Gram(new(m, n), transpose: true).Data);
            Assert.Equal(new double[m * 2], algebra.Multiply(new(m, n), new(n, 2)).Data);
        }
        Assert.Equal(0, algebra.Solve(Matrix.Identity(3), new(3, 0)).Cols);
        Assert.Equal(0, algebra.Cholesky(new(0, 0)).Rows);
        Assert.Equal(4, algebra.Solve(new(0, 0), new(0, 4)).Cols);
    }

    [Theory, MemberData(nameof(Implementations))]
    public void Shapes_that_disagree_are_named(string implementation)
    {
        var algebra = Use(implementation);

        AssertArgument(() => algebra.Multiply(new(2, 3), new(4, 5)), "2x3", "4x5");
        AssertArgument(() => algebra.Multiply(new(2, 3), new(4, 5), transposeLeft: true, transposeRight: true), "3x2", "5x4");
        AssertArgument(() => algebra.Eigen(new(2, 3)), "2 rows", "3 columns");
        AssertArgument(() => algebra.Solve(new(2, 3), new(2, 1)), "2 rows", "3 columns");
        AssertArgument(() => algebra.Cholesky(new(2, 3)), "2 rows", "3 columns");
        AssertArgument(() => algebra.Solve(Matrix.Identity(3), new(4, 1)), "3x3", "4 rows");
    }

    [Theory, MemberData(nameof(Implementations))]
    public void NaN_and_infinity_are_rejected_with_their_place(string implementation)
    {
        var algebra = Use(implementation);
        foreach (double bad in new[] { double.NaN, double.PositiveInfinity, double.NegativeInfinity })
        {
            var (fine, wrong) = (Matrix.Identity(5), Matrix.Identity(5));
            wrong[4, 2] = bad;

            Action[] calls =
            [
                () => algebra.Eigen(wrong), () => algebra.Svd(wrong), () => algebra.Orthonormalize(wrong), () => algebra.Gram(wrong),
                () => algebra.Solve(wrong, fine), () => algebra.Solve(fine, wrong), () => algebra.Multiply(wrong, fine), () => algebra.Multiply(fine, wrong),
            ];

            Assert.All(calls, call => AssertArgument(call, "(4, 2)"));
        }
    }

    [Theory, MemberData(nameof(Implementations))]
    public void Arguments_are_not_changed(string implementation)
    {
        var (matrix, symmetric) = (Make("gaussian", 33, 20), Plus(MakeSymmetric("gaussian", 33), Matrix.Identity(33), 40));
        var (before, symmetricBefore) = (matrix.Copy(), symmetric.Copy());
        var algebra = Use(implementation);

        Everything(algebra, matrix, symmetric);
        Everything(algebra, matrix.Transposed(), symmetric);

        Assert.Equal(before.Data, matrix.Data);
        Assert.Equal(symmetricBefore.Data, symmetric.Data);
    }

    [Theory, MemberData(nameof(Implementations))]
    public void Calls_from_several_threads_at_once_give_the_same_bits(string implementation)
    {
        var algebra = Use(implementation);
        Assert.SkipWhen(s_alignedKernels.Any(algebra.Name.Contains), "these kernels round differently for arrays at multiples of 8 and of 16 bytes");
        if (algebra is ManagedAlgebra)
        {
            AssertSameBitsAtOnce(algebra);
        }
        else
        {
            InNewProcess.Run(OpenBlasAtOnce); // bits depend on its thread count, which is the process's: other tests change it at any time
        }
    }

    [Fact(Explicit = true)]
    public void OpenBlasAtOnce() => AssertSameBitsAtOnce(Use("OpenBLAS"));

    static void AssertSameBitsAtOnce(ILinearAlgebra algebra)
    {
        var (matrix, symmetric) = (Make("gaussian", 150, 90), Plus(MakeSymmetric("gaussian", 150), Matrix.Identity(150), 80));
        var alone = Everything(algebra, matrix, symmetric);
        double[][] together = new double[8][];
        Thread[] threads = [.. Enumerable.Range(0, together.Length).Select(i => new Thread(() => together[i] = Everything(algebra, matrix, symmetric)))];

        Array.ForEach(threads, thread => thread.Start());
        Array.ForEach(threads, thread => thread.Join());

        Assert.All(together, results => Assert.Equal(alone, results));
    }

    [Theory]
    [InlineData("gaussian", 60, 45)]
    [InlineData("gaussian", 45, 60)]
    [InlineData("half rank", 64, 64)]
    [InlineData("graded", 50, 80)]
    [InlineData("huge", 20, 30)]
    public void Implementations_agree_on_singular_values_and_eigenvalues(string kind, int m, int n)
    {
        var matrix = Make(kind, m, n);
        var symmetric = MakeSymmetric(kind, n);
        var (one, other) = (Use("OpenBLAS"), Use("managed"));

        AssertAgree(one.Svd(matrix).S, other.Svd(matrix).S);
        AssertAgree(one.Eigen(symmetric).Values, other.Eigen(symmetric).Values);

        static void AssertAgree(double[] a, double[] b) // both are within rounding of the exact ones, relative to the largest (Weyl)
        {
            double largest = a.Max(Math.Abs);
            Assert.All(a.Zip(b), pair => Assert.Equal(pair.First / largest, pair.Second / largest, Tolerance(a.Length)));
        }
    }

    [Fact]
    public void Managed_results_do_not_depend_on_the_thread_count()
    {
        var (matrix, symmetric) = (Make("gaussian", 320, 260), Plus(MakeSymmetric("gaussian", 90), Matrix.Identity(90), 80));

        var one = Everything(new ManagedAlgebra(1), matrix, symmetric);
        var three = Everything(new ManagedAlgebra(3), matrix, symmetric);

        Assert.Equal(one, three);
    }

    [Fact]
    public void Names_say_library_version_kernel_and_threads()
    {
        Assert.Equal("Math.NET Numerics 5.0.0 (1 thread)", new ManagedAlgebra(1).Name);
        Assert.StartsWith("5.0.0", System.Diagnostics.FileVersionInfo.GetVersionInfo(typeof(MathNet.Numerics.Constants).Assembly.Location).ProductVersion, StringComparison.Ordinal);
        Assert.Matches(@"^OpenBLAS \d+\.\d+\S* \(\w+, 2 threads\)$", Use("OpenBLAS").Name);
    }

    /// <summary>All numbers of all methods, one array.</summary>
    static double[] Everything(ILinearAlgebra algebra, Matrix matrix, Matrix symmetric)
    {
        var (values, vectors) = algebra.Eigen(symmetric);
        var (u, s, vt) = algebra.Svd(matrix);
        return [
            .. values, .. vectors.Data, .. u.Data, .. s, .. vt.Data, .. algebra.Orthonormalize(matrix).Data,
            .. algebra.Solve(symmetric, Gaussian.Random(symmetric.Rows, 9, seed: 4)).Data,
            .. algebra.Multiply(matrix, matrix, transposeLeft: true).Data, .. algebra.Gram(matrix).Data, .. algebra.Gram(matrix, transpose: true).Data,
        ];
    }

    static Matrix Plus(Matrix a, Matrix b, double factor) => Minus(a, Scaled(b, -factor));

    static void AssertArgument(Action call, params string[] parts)
    {
        var error = Assert.ThrowsAny<ArgumentException>(call);
        Assert.All(parts, part => Assert.Contains(part, error.Message, StringComparison.Ordinal));
    }
}
