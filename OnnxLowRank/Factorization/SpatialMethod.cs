using OnnxLowRank.Numerics;

namespace OnnxLowRank.Factorization;

/// <summary>
/// Columns and rows for a Conv's kernel: k_h×1 (C_in → r), then 1×k_w (r → C_out). With M (C_in·k_h, k_w·C_out) the kernel reordered so that what the
/// column meets and what the row makes are its two sides, M ≈ M·V_r·V_rᵀ loses the output energy that V_r leaves of Mᵀ·G·M, G (C_in·k_h, C_in·k_h) the second
/// moment of a column of pixels and columns taken as uncorrelated; V_r are its leading eigenvectors.
/// </summary>
/// <remarks>Source: kernels as sums of separable ones (Jaderberg et al. 2014), here from data.</remarks>
static class SpatialMethod
{
    /// <param name="weight">W (C_out, C_in·k_h·k_w).</param>
    /// <param name="channels">C_in.</param>
    /// <param name="width">k_w.</param>
    /// <param name="second">The part of G of pixels u and w of a column (C_in, C_in), or null for none; null itself without data.</param>
    /// <param name="shrinkage">ρ: share of the weight-only objective mixed in.</param>
    /// <param name="rank">How many columns are wanted, at most C_in·k_h and k_w·C_out.</param>
    public static SpatialBasis Of(ILinearAlgebra algebra, Matrix weight, int channels, int width, Func<int, int, Matrix?>? second, double shrinkage, int rank)
    {
        int height = weight.Cols / (channels * width);
        Matrix[] parts = [.. Enumerable.Range(0, height).Select(u => At(weight, channels, height, width, u))];
        var objective = OutputMethod.Gram(algebra, parts);
        if (second != null)
        {
            var seen = Matrix.Sum(parts.Select((part, u) => algebra.Multiply(part, Seen(u), transposeLeft: true)));
            OutputMethod.Mix(seen, objective, shrinkage);
            objective = seen;
            Matrix Seen(int u) => Matrix.Sum(parts.Select((other, w) => second(u, w) is { } between ? algebra.Multiply(between, other) : null).OfType<Matrix>());
        }
        var eigen = algebra.Eigen(objective);
        var rows = eigen.Vectors.LeftCols(rank);
        return new([.. parts.Select(part => algebra.Multiply(part, rows))], rows, [.. eigen.Values.Take(rank).Select(value => Math.Max(0, value))], Math.Max(0, objective.Trace()));
    }

    /// <summary>M's rows of one line u of the kernel: (C_in, k_w·C_out), the output channels of one v next to each other.</summary>
    static Matrix At(Matrix weight, int channels, int height, int width, int u)
    {
        int outputs = weight.Rows;
        var part = new Matrix(channels, width * outputs);
        for (int o = 0; o < outputs; o++)
        {
            var row = weight.Row(o);
            for (int i = 0; i < channels; i++)
            {
                for (int v = 0; v < width; v++)
                {
                    part[i, v * outputs + o] = row[(i * height + u) * width + v];
                }
            }
        }
        return part;
    }
}

/// <summary>Columns and rows of a Conv's kernel, most important first.</summary>
/// <param name="Columns">Per line u of the kernel, (C_in, k).</param>
/// <param name="Rows">(k_w·C_out, k), output channels next to each other; orthonormal columns.</param>
/// <param name="Energy">k numbers, largest first: output energy through each, columns of the kernel taken as uncorrelated.</param>
/// <param name="Total">Energy of all of them.</param>
sealed record SpatialBasis(IReadOnlyList<Matrix> Columns, Matrix Rows, double[] Energy, double Total) : Spectrum(Energy, Total);
