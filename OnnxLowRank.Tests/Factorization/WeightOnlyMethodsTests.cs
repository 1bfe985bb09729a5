using OnnxLowRank.Factorization;
using OnnxLowRank.Numerics;
using OnnxLowRank.Tests.Numerics;
using static OnnxLowRank.Tests.Numerics.DenseMath;

namespace OnnxLowRank.Tests.Factorization;

/// <summary>Plain and randomized SVD.</summary>
public class WeightOnlyMethodsTests
{
    public static TheoryData<string, int, int> Shapes => [.. (
        from implementation in new[] { "OpenBLAS", "managed" }
        from shape in new[] { (1, 1), (30, 18), (18, 30), (25, 25) }
        select (implementation, shape.Item1, shape.Item2))];

    static Matrix Residual(Matrix weight, OutputBasis basis, int rank)
    {
        var kept = basis.Vectors.LeftCols(rank);
        return Minus(weight, Times(kept, Times(kept.Transposed(), weight)));
    }

    /// <summary>W = Q₁·diag(spectrum)·Q₂ᵀ.</summary>
    static Matrix WithSpectrum(int m, int n, Func<int, double> spectrum)
    {
        var algebra = new ManagedAlgebra(1);
        int k = Math.Min(m, n);
        var left = algebra.Orthonormalize(Gaussian.Random(m, k, 1));
        var right = algebra.Orthonormalize(Gaussian.Random(n, k, 2));
        return Times(ScaledCols(left, [.. Enumerable.Range(0, k).Select(spectrum)]), right.Transposed());
    }

    [Theory, MemberData(nameof(Shapes))]
    public void Svd_attains_Eckart_and_Youngs_bound_at_every_rank(string implementation, int m, int n)
    {
        var algebra = LinearAlgebraTests.Use(implementation);
        var weight = Gaussian.Random(m, n, 9);
        double[] singular = algebra.Svd(weight).S;
        int full = Math.Min(m, n);

        var basis = SvdMethod.Of(algebra, weight, full);

        double total = Norm(weight) * Norm(weight);
        Assert.Equal(total, basis.Total, 1e-9 * total);
        for (int rank = 0; rank <= full; rank++)
        {
            var residual = Residual(weight, basis, rank);
            Assert.Equal(singular.Skip(rank).Sum(s => s * s), Norm(residual) * Norm(residual), 1e-9 * total);
            Assert.Equal(Norm(residual) * Norm(residual), basis.Tail(rank), 1e-9 * total);
            Assert.Equal(rank < full ? singular[rank] : 0, algebra.Svd(residual).S[0], 1e-6 * singular[0]); // in spectral norm too
        }
    }

    [Theory]
    [InlineData("OpenBLAS")]
    [InlineData("managed")]
    public void Randomized_is_nearly_as_good_on_a_decaying_spectrum(string implementation)
    {
        var algebra = LinearAlgebraTests.Use(implementation);
        foreach (var weight in new[] { WithSpectrum(80, 60, i => Math.Pow(0.8, i)), WithSpectrum(60, 80, i => 1.0 / (1 + i)) })
        {
            var exact = SvdMethod.Of(algebra, weight, 20);

            var random = RandomizedMethod.Of(algebra, weight, 20, seed: 1);

            AssertClose(Matrix.Identity(20), Times(random.Vectors.Transposed(), random.Vectors), 1e-9, 1);
            foreach (int rank in new[] { 1, 5, 10, 20 })
            {
                double error = Norm(Residual(weight, random, rank)), best = Norm(Residual(weight, exact, rank));
                Assert.InRange(error, best * (1 - 1e-9), best * 1.01);
                Assert.Equal(error * error, random.Tail(rank), 0.03 * best * best);
            }
        }
    }

    [Fact]
    public void Randomized_is_exact_where_all_directions_are_drawn()
    {
        var algebra = new ManagedAlgebra(1);
        var weight = Gaussian.Random(14, 9, 4);

        var random = RandomizedMethod.Of(algebra, weight, 9, seed: 1);

        Assert.Equal(0, Norm(Residual(weight, random, 9)), 1e-9 * Norm(weight));
        Assert.All(SvdMethod.Of(algebra, weight, 9).Energy.Zip(random.Energy), pair => Assert.Equal(pair.First, pair.Second, 1e-9 * random.Total));
    }

    [Fact]
    public void Randomized_of_a_matrix_of_low_rank_or_zero_is_no_error()
    {
        var algebra = new ManagedAlgebra(1);
        var thin = Times(Gaussian.Random(30, 2, 1), Gaussian.Random(2, 20, 2));

        var basis = RandomizedMethod.Of(algebra, thin, 6, seed: 1);
        var zero = RandomizedMethod.Of(algebra, new(30, 20), 6, seed: 1);

        Assert.Equal(0, Norm(Residual(thin, basis, 2)), 1e-9 * Norm(thin));
        Assert.Equal(0, zero.Total);
    }

    [Fact]
    public void The_seed_decides_every_bit()
    {
        var algebra = new ManagedAlgebra(1);
        var weight = Gaussian.Random(60, 50, 4);

        Assert.Equal(RandomizedMethod.Of(algebra, weight, 5, 1).Vectors.Data, RandomizedMethod.Of(algebra, weight, 5, 1).Vectors.Data);
        Assert.NotEqual(RandomizedMethod.Of(algebra, weight, 5, 1).Vectors.Data, RandomizedMethod.Of(algebra, weight, 5, 2).Vectors.Data);
    }

    [Fact]
    public void Power_iterations_pay_on_a_flat_spectrum()
    {
        // Without them a random projection of this matrix keeps a tenth less energy than possible.
        var algebra = new ManagedAlgebra(1);
        var weight = WithSpectrum(120, 100, i => Math.Pow(0.98, i));

        double kept = Total(RandomizedMethod.Of(algebra, weight, 10, seed: 1)), best = Total(SvdMethod.Of(algebra, weight, 10));

        double Total(OutputBasis basis) => Math.Pow(Norm(weight), 2) - Math.Pow(Norm(Residual(weight, basis, 10)), 2);
        Assert.InRange(kept, 0.97 * best, best);
    }

    [Fact]
    public void The_error_bound_bounds_and_is_not_absurd()
    {
        var algebra = new ManagedAlgebra(1);
        foreach (var weight in new[] { WithSpectrum(50, 40, i => Math.Pow(0.8, i)), WithSpectrum(40, 50, i => 1), Gaussian.Random(64, 32, 3) })
        {
            foreach (int rank in new[] { 1, 5, 20 })
            {
                var basis = RandomizedMethod.Of(algebra, weight, rank, seed: 1).Vectors;
                double error = algebra.Svd(Residual(weight, new(basis, [], 0), rank)).S[0];
                for (int seed = 0; seed < 20; seed++)
                {
                    // A Gaussian vector of n numbers is about √n long, so no image is much longer than √n times the error.
                    Assert.InRange(RandomizedMethod.ErrorBound(algebra, weight, basis, seed), error, 10 * Math.Sqrt(weight.Cols) * 2 * error);
                }
            }
        }
    }
}
