using OnnxLowRank.Factorization;
using OnnxLowRank.Numerics;
using OnnxLowRank.Tests.Numerics;
using static OnnxLowRank.Tests.Numerics.DenseMath;

namespace OnnxLowRank.Tests.Factorization;

/// <summary>Each test runs on every linear algebra; x are columns of samples with unequal, correlated channels.</summary>
public class OutputMethodTests
{
    public static TheoryData<string, int, int, int> Shapes => [.. (
        from implementation in new[] { "OpenBLAS", "managed" }
        from shape in new[] { (12, 20, 200), (20, 12, 200), (9, 9, 200), (12, 20, 5), (20, 12, 5), (1, 7, 50), (7, 1, 50) }
        select (implementation, shape.Item1, shape.Item2, shape.Item3))];

    /// <summary>W (m, n) and centred samples X (n, count).</summary>
    static (Matrix W, Matrix X) Problem(int m, int n, int count)
    {
        var mixing = Gaussian.Random(n, n, seed: 3);
        var x = Times(ScaledCols(mixing, [.. Enumerable.Range(0, n).Select(i => Math.Pow(0.7, i))]), Gaussian.Random(n, count, seed: 4));
        for (int i = 0; i < n; i++)
        {
            double mean = x.Row(i).ToArray().Average();
            for (int j = 0; j < count; j++)
            {
                x[i, j] -= mean;
            }
        }
        return (Gaussian.Random(m, n, seed: 5), x);
    }

    static Matrix Covariance(Matrix samples) => Scaled(Times(samples, samples.Transposed()), 1.0 / samples.Cols);

    static OutputBasis FromOutput(ILinearAlgebra algebra, Matrix w, Matrix x, double shrinkage, int rank) =>
        OutputMethod.FromOutput(algebra, Covariance(Times(w, x)), InPieces(w.Transposed()), shrinkage, rank);

    static OutputBasis FromInput(ILinearAlgebra algebra, Matrix w, Matrix x, double shrinkage, int rank) =>
        OutputMethod.FromInput(algebra, Covariance(x), InPieces(w), shrinkage, rank);

    /// <summary>Rows as of a large layer.</summary>
    static IEnumerable<Matrix> InPieces(Matrix w) =>
        w.Rows < 3 ? [w] : [w.TopRows(w.Rows / 2), new(w.Rows - w.Rows / 2, w.Cols, w.Data[(w.Rows / 2 * w.Cols)..])];

    /// <summary>Mean of ‖y − U_r·U_rᵀ·y‖² over the samples.</summary>
    static double Loss(Matrix basis, Matrix y, int rank)
    {
        var kept = basis.LeftCols(rank);
        double norm = Norm(Minus(y, Times(kept, Times(kept.Transposed(), y))));
        return norm * norm / y.Cols;
    }

    [Theory, MemberData(nameof(Shapes))]
    public void Directions_of_the_weight_alone_lose_on_samples_what_their_energies_say(string implementation, int m, int n, int count)
    {
        var algebra = LinearAlgebraTests.Use(implementation);
        var (w, x) = Problem(m, n, count);
        var y = Times(w, x);
        int most = Math.Min(m, n);
        var vectors = SvdMethod.Of(algebra, w, most).Vectors;

        var atOutput = OutputMethod.Along(algebra, vectors, Covariance(y), weight: null);
        var atInput = OutputMethod.Along(algebra, vectors, Covariance(x), w);

        double all = Norm(y) * Norm(y) / y.Cols;
        for (int rank = 0; rank <= most; rank++)
        {
            double expected = rank == 0 ? all : Loss(vectors, y, rank);
            Assert.Equal(expected, atOutput.Tail(rank), 1e-9 * all);
            Assert.Equal(expected, atInput.Tail(rank), 1e-9 * all);
        }
    }

    [Theory, MemberData(nameof(Shapes))]
    public void The_loss_at_every_rank_is_the_optimum_and_the_tail_of_the_energies(string implementation, int m, int n, int count)
    {
        var algebra = LinearAlgebraTests.Use(implementation);
        var (w, x) = Problem(m, n, count);
        var y = Times(w, x);
        int full = Math.Min(m, n);
        // Eckart and Young on the outputs themselves: no rank-r linear map of x, nor of anything, is closer to y.
        double[] singular = algebra.Svd(y).S;

        foreach (var basis in new[] { FromOutput(algebra, w, x, 0, full), FromInput(algebra, w, x, 0, full) })
        {
            double total = Loss(basis.Vectors, y, 0);
            Assert.Equal(total, basis.Total, 1e-9 * total);
            for (int rank = 0; rank <= full; rank++)
            {
                double optimum = singular.Skip(rank).Sum(s => s * s) / count;
                Assert.Equal(optimum, Loss(basis.Vectors, y, rank), 1e-9 * total);
                Assert.Equal(optimum, basis.Tail(rank), 1e-9 * total);
            }
        }
    }

    [Fact]
    public void No_random_basis_is_better()
    {
        var (w, x) = Problem(12, 20, 200);
        var y = Times(w, x);
        var algebra = new ManagedAlgebra(1);
        var basis = FromOutput(algebra, w, x, 0, 12);
        var svd = SvdMethod.Of(algebra, w, 12);

        for (int rank = 1; rank < 12; rank++)
        {
            double best = Loss(basis.Vectors, y, rank);
            Assert.True(best < Loss(svd.Vectors, y, rank), "the weight-only basis should lose more");
            for (int seed = 0; seed < 20; seed++)
            {
                // Near the best one, where a method that only almost works would lose.
                var near = Scaled(Gaussian.Random(12, 12, seed), 0.1);
                for (int i = 0; i < near.Data.Length; i++)
                {
                    near.Data[i] += basis.Vectors.Data[i];
                }
                Assert.True(best < Loss(algebra.Orthonormalize(near), y, rank));
            }
        }
    }

    [Theory, MemberData(nameof(Shapes))]
    public void Both_forms_keep_the_same_part_of_the_output_with_the_same_mixture(string implementation, int m, int n, int count)
    {
        var algebra = LinearAlgebraTests.Use(implementation);
        var (w, x) = Problem(m, n, count);
        int full = Math.Min(m, n), rank = Math.Max(1, full / 2);

        var fromOutput = FromOutput(algebra, w, x, 0.05, full);
        var fromInput = FromInput(algebra, w, x, 0.05, full);

        Assert.Equal(fromOutput.Total, fromInput.Total, 1e-9 * fromOutput.Total);
        Assert.All(fromOutput.Energy.Zip(fromInput.Energy), pair => Assert.Equal(pair.First, pair.Second, 1e-9 * fromOutput.Total));
        Matrix Projector(OutputBasis basis) => Times(basis.Vectors.LeftCols(rank), basis.Vectors.LeftCols(rank).Transposed());
        AssertClose(Projector(fromOutput), Projector(fromInput), 1e-6, 1);
    }

    [Theory, MemberData(nameof(Shapes))]
    public void Vectors_are_orthonormal_and_energies_descend(string implementation, int m, int n, int count)
    {
        var algebra = LinearAlgebraTests.Use(implementation);
        var (w, x) = Problem(m, n, count);
        int rank = Math.Min(m, n);

        foreach (var basis in new[] { FromOutput(algebra, w, x, 0, rank), FromInput(algebra, w, x, 0, rank), FromInput(algebra, w, x, 0.01, rank) })
        {
            Assert.Equal((m, rank, rank), (basis.Vectors.Rows, basis.Vectors.Cols, basis.Energy.Length));
            AssertClose(Matrix.Identity(rank), Times(basis.Vectors.Transposed(), basis.Vectors), 1e-9, 1);
            AssertDescending(basis.Energy);
            Assert.All(basis.Energy, energy => Assert.True(energy >= 0));
            Assert.Equal(0, basis.Tail(rank), 1e-9 * basis.Total);
        }
    }

    [Fact]
    public void A_mixture_keeps_directions_that_no_sample_excites()
    {
        var algebra = new ManagedAlgebra(1);
        var (w, x) = Problem(12, 20, 3); // two directions, once centred

        var pure = FromOutput(algebra, w, x, 0, 12);
        var mixed = FromOutput(algebra, w, x, 0.01, 12);

        // The samples' two directions come first in both; then the weight's own, largest first.
        Assert.Equal(0, pure.Energy[2], 1e-9 * pure.Energy[0]);
        Assert.True(mixed.Energy[2] > 1e-4 * mixed.Energy[0] && mixed.Energy[2] > mixed.Energy[8]);
        Assert.Equal(1.01 * pure.Total, mixed.Total, 1e-9 * mixed.Total);
        Assert.True(Loss(mixed.Vectors, Times(w, x), 3) < 0.02 * pure.Total);
    }

    [Fact]
    public void Nothing_to_go_by_is_no_error()
    {
        var algebra = new ManagedAlgebra(1);
        var w = Gaussian.Random(6, 4, 1);

        foreach (var basis in new[]
        {
            OutputMethod.FromOutput(algebra, new(6, 6), [w.Transposed()], 0.01, 4),
            OutputMethod.FromInput(algebra, new(4, 4), [w], 0.01, 4),
            OutputMethod.FromOutput(algebra, new(6, 6), [new(4, 6)], 0.01, 4),
            OutputMethod.FromInput(algebra, Matrix.Identity(4), [new(6, 4)], 0.01, 4),
        })
        {
            Assert.Equal(0, basis.Total);
            AssertClose(Matrix.Identity(4), Times(basis.Vectors.Transposed(), basis.Vectors), 1e-9, 1);
        }
    }
}
