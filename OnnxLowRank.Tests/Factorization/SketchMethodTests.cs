using OnnxLowRank.Factorization;
using OnnxLowRank.Numerics;
using static OnnxLowRank.Tests.Numerics.DenseMath;

namespace OnnxLowRank.Tests.Factorization;

/// <summary>Beside what <see cref="OutputMethod"/> finds when all is known.</summary>
public class SketchMethodTests
{
    const int Rank = 20, Width = Rank + 10;

    static readonly ILinearAlgebra s_algebra = LinearAlgebra.Create(1);

    public static TheoryData<int, int, double> Problems => new()
    {
        { 60, 90, 0 }, { 60, 90, 1e-2 }, { 90, 60, 0 }, { 90, 60, 1e-2 }, { 70, 70, 1e-2 },
    };

    /// <summary>W (m, n) in its rows' pieces, and Cov(x) with decaying eigenvalues.</summary>
    static (Matrix W, Matrix Covariance) Problem(int m, int n)
    {
        var directions = s_algebra.Orthonormalize(Gaussian.Random(n, n, seed: 2));
        var covariance = Times(ScaledCols(directions, [.. Enumerable.Range(0, n).Select(i => 5 * Math.Pow(i + 1, -1.2))]), directions.Transposed());
        return (Gaussian.Random(m, n, seed: 3), covariance);
    }

    static Sketch SketchOf(Matrix matrix)
    {
        var random = Gaussian.Random(matrix.Rows, Width, seed: 4);
        return new(random, Times(matrix, random), matrix.Trace());
    }

    static IEnumerable<Matrix> InPieces(Matrix w) => [w.TopRows(w.Rows / 3), new(w.Rows - w.Rows / 3, w.Cols, w.Data[(w.Rows / 3 * w.Cols)..])];

    /// <summary>uᵀ·K·u, K as the method saw it.</summary>
    static double Energy(Matrix basis, Matrix k, int rank)
    {
        var kept = basis.LeftCols(rank);
        return Times(kept.Transposed(), Times(k, kept)).Trace();
    }

    static Matrix Mixed(Matrix k, Matrix w, double shrinkage)
    {
        var gram = Times(w, w.Transposed());
        return Minus(k, Scaled(gram, -shrinkage * k.Trace() / gram.Trace()));
    }

    static void AssertNearly(OutputBasis best, OutputBasis sketched, Matrix k)
    {
        Assert.Equal((k.Rows, Rank), (sketched.Vectors.Rows, sketched.Vectors.Cols));
        AssertClose(Matrix.Identity(Rank), Times(sketched.Vectors.Transposed(), sketched.Vectors), 1e-10, 1);
        Assert.InRange(sketched.Total, 0.97 * best.Total, 1.03 * best.Total);
        foreach (int rank in new[] { 1, Rank / 2, Rank })
        {
            double most = best.Energy[..rank].Sum(), kept = Energy(sketched.Vectors, k, rank);
            Assert.InRange(kept, 0.95 * most, (1 + 1e-9) * most);
            Assert.InRange(sketched.Energy[..rank].Sum(), 0.9 * most, 1.02 * most);
        }
    }

    [Theory, MemberData(nameof(Problems))]
    public void The_outputs_sketch_gives_nearly_the_best_basis(int m, int n, double shrinkage)
    {
        var (w, covariance) = Problem(m, n);
        var k = Times(w, Times(covariance, w.Transposed()));

        var best = OutputMethod.FromOutput(s_algebra, k.Copy(), InPieces(w.Transposed()), shrinkage, Rank);
        var sketched = SketchMethod.FromOutput(s_algebra, SketchOf(k), InPieces(w), InPieces(w.Transposed()), w.Cols, shrinkage, Rank);

        AssertNearly(best, sketched, Mixed(k, w, shrinkage));
    }

    [Theory, MemberData(nameof(Problems))]
    public void The_inputs_sketch_gives_nearly_the_best_basis(int m, int n, double shrinkage)
    {
        var (w, covariance) = Problem(m, n);
        var k = Times(w, Times(covariance, w.Transposed()));

        var best = OutputMethod.FromInput(s_algebra, covariance, InPieces(w), shrinkage, Rank);
        var sketched = SketchMethod.FromInput(s_algebra, SketchOf(covariance), InPieces(w), InPieces(w.Transposed()), w.Rows, shrinkage, Rank);

        AssertNearly(best, sketched, Mixed(k, w, shrinkage));
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void Directions_of_the_weight_alone_carry_nearly_what_they_do(bool isAtInput)
    {
        var (w, covariance) = Problem(60, 90);
        var k = Times(w, Times(covariance, w.Transposed()));
        var vectors = SvdMethod.Of(s_algebra, w, Rank).Vectors;

        var exact = OutputMethod.Along(s_algebra, vectors, k, null);
        var sketched = isAtInput ? SketchMethod.Along(s_algebra, vectors, SketchOf(covariance), w) : SketchMethod.Along(s_algebra, vectors, SketchOf(k), null);

        Assert.Same(vectors, sketched.Vectors);
        Assert.InRange(sketched.Total, 0.97 * exact.Total, 1.03 * exact.Total);
        Assert.InRange(sketched.Energy.Sum(), 0.95 * exact.Energy.Sum(), 1.05 * exact.Energy.Sum());
    }
}
