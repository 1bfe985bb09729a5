using OnnxLowRank.Numerics;

namespace OnnxLowRank.Factorization;

/// <summary>
/// Which r linear combinations of a Conv's input channels lose least of its output. With S (C_out·taps, C_in) the kernel's positions
/// stacked, S = Q·P (P² = Sᵀ·S, Q of orthonormal columns), the output energy lost by x → x̂ is E‖P·(x − x̂)‖², kernel positions taken
/// as uncorrelated; so the directions are the eigenvectors U of P·E[x·xᵀ]·P, x is read through U_rᵀ·P and the kernel
/// becomes Q·U_r. Without data, E[x·xᵀ] = I, this is one side of the higher-order SVD (De Lathauwer et al. 2000).
/// </summary>
static class InputMethod
{
    /// <summary>Directions of Sᵀ·S weaker than this share of the strongest carry nothing that survives rounding.</summary>
    const double Weakest = 1e-12;

    /// <param name="weight">W (C_out, C_in·taps).</param>
    /// <param name="second">E[x·xᵀ] (C_in, C_in) about zero, since padding is zero, or null without data.</param>
    /// <param name="shrinkage">ρ: share of the weight-only objective mixed in.</param>
    /// <param name="rank">How many directions are wanted, at most C_in.</param>
    public static InputBasis Of(ILinearAlgebra algebra, Matrix weight, int channels, Matrix? second, double shrinkage, int rank)
    {
        var stacked = Stacked(weight, channels);
        var gram = algebra.Eigen(algebra.Gram(stacked, transpose: true));
        double floor = Weakest * Math.Max(gram.Values[0], double.Epsilon);
        var root = Power(algebra, gram, value => Math.Sqrt(Math.Max(0, value)));
        var inverse = Power(algebra, gram, value => value > floor ? 1 / Math.Sqrt(value) : 0);

        var objective = algebra.Gram(root);
        if (second != null)
        {
            var seen = algebra.Multiply(algebra.Multiply(root, second), root);
            OutputMethod.Mix(seen, objective, shrinkage);
            objective = seen;
        }
        var eigen = algebra.Eigen(objective);
        var directions = eigen.Vectors.LeftCols(rank);
        return new(
            algebra.Multiply(directions, root, transposeLeft: true),
            algebra.Multiply(stacked, algebra.Multiply(inverse, directions)),
            [.. eigen.Values.Take(rank).Select(value => Math.Max(0, value))],
            Math.Max(0, objective.Trace()));
    }

    /// <summary>(C_out·taps, C_in) from (C_out, C_in·taps): the kernel's positions below each other.</summary>
    public static Matrix Stacked(Matrix weight, int channels)
    {
        int taps = weight.Cols / channels;
        var stacked = new Matrix(weight.Rows * taps, channels);
        for (int o = 0; o < weight.Rows; o++)
        {
            var row = weight.Row(o);
            for (int i = 0; i < row.Length; i++)
            {
                stacked[o * taps + i % taps, i / taps] = row[i];
            }
        }
        return stacked;
    }

    static Matrix Power(ILinearAlgebra algebra, SymmetricEigen eigen, Func<double, double> power)
    {
        var scaled = eigen.Vectors.WithColumnsTimes(Array.ConvertAll(eigen.Values, value => power(value)));
        return algebra.Multiply(scaled, eigen.Vectors, transposeRight: true);
    }
}
