using System.Numerics.Tensors;
using MathNet.Numerics.Distributions;
using OnnxLowRank.Layers;
using OnnxLowRank.Numerics;

namespace OnnxLowRank.Factorization;

/// <summary>
/// Which errors e of a layer's output matter: eᵀ·M·e is about what the layers behind it make of them. With A their weights and g what the
/// activation function between lets through, they see A·(g∘e), so M = AᵀA ∘ E[g·gᵀ]; gates are taken as open or shut, independently of each
/// other and of the error, each as often as a normal variable with its channel's mean and variance is positive.
/// </summary>
/// <remarks>
/// A large error moves gates, and then the directions that do not matter are others. A share of the plain error is therefore mixed in.
/// Source: the weighting of errors by the layer behind, as in reconstruction for nonlinear responses (Zhang et al. 2015), in closed form here.
/// </remarks>
sealed class OutputMetric
{
    /// <summary>Share of the plain error, of its energy. At 0.4 about a third of what is gained is lost.</summary>
    internal const double PlainShare = 0.1;

    OutputMetric(Matrix root) => Root = root;

    /// <summary>L (m, m) with M = L·Lᵀ.</summary>
    public Matrix Root { get; }

    /// <summary>The widest output it is worth its memory for: L takes 128 MiB then, and making and using it two more such matrices.</summary>
    public const int MostChannels = 4096;

    /// <param name="means">E[y] (m).</param>
    /// <param name="variances">Of y (m).</param>
    /// <param name="seen">tr(M·K) for an M, K being y's covariance (m, m).</param>
    /// <returns>Null where the layers behind see nothing of y's variance.</returns>
    public static OutputMetric? Of(ILinearAlgebra algebra, Downstream downstream, double[] means, double[] variances, Func<Matrix, double> seen)
    {
        var metric = Matrix.Sum(downstream.Readers.Select(reader => OutputMethod.Gram(algebra, reader.ReadRows().Select(rows => InputMethod.Stacked(rows, means.Length)))));
        if (downstream.IsGated)
        {
            double[] open = [.. means.Select((mean, i) => OpenShare(mean, variances[i]))];
            for (int i = 0; i < open.Length; i++)
            {
                double own = open[i] * metric[i, i];
                TensorPrimitives.Multiply(metric.Row(i), open, metric.Row(i));
                TensorPrimitives.Multiply(metric.Row(i), open[i], metric.Row(i));
                metric[i, i] = own;
            }
        }
        double energy = seen(metric);
        if (!(energy > 0))
        {
            return null;
        }
        TensorPrimitives.Multiply(metric.Data, (1 - PlainShare) * TensorPrimitives.Sum<double>(variances) / energy, metric.Data);
        metric.AddToDiagonal(PlainShare);
        return new(algebra.Cholesky(metric));
    }

    /// <summary>How often a normal variable is positive.</summary>
    static double OpenShare(double mean, double variance) => variance > 0 ? Normal.CDF(0, 1, mean / Math.Sqrt(variance)) : mean > 0 ? 1 : 0;

    /// <summary>Lᵀ·W (m, n).</summary>
    /// <param name="rows">W in pieces of consecutive rows.</param>
    public Matrix RootTimes(ILinearAlgebra algebra, IEnumerable<Matrix> rows)
    {
        int first = 0;
        return Matrix.Sum(rows.Select(piece =>
        {
            var part = new Matrix(piece.Rows, Root.Cols, Root.Data.AsSpan(first * Root.Cols, piece.Rows * Root.Cols).ToArray());
            first += piece.Rows;
            return algebra.Multiply(part, piece, transposeLeft: true);
        }));
    }

    /// <summary>Lᵀ·K·L: the covariance of Lᵀ·y.</summary>
    public Matrix Seen(ILinearAlgebra algebra, Matrix covariance) => algebra.Multiply(algebra.Multiply(Root, covariance, transposeLeft: true), Root);

    /// <summary>
    /// The basis that V, orthonormal directions of Lᵀ·y, stands for: y ≈ L⁻ᵀ·V·(Vᵀ·Lᵀ·y). Its columns are brought to length 1, so that what a direction
    /// carries of y's own variance is the variance along it.
    /// </summary>
    /// <param name="directions">V (m, k): eigenvectors of <see cref="Seen"/>.</param>
    /// <param name="energy">Their eigenvalues.</param>
    /// <param name="total">tr(K).</param>
    public OutputBasis Basis(ILinearAlgebra algebra, Matrix directions, double[] energy, double total)
    {
        var (dual, vectors) = (algebra.Multiply(Root, directions), algebra.SolveTransposed(Root, directions));
        double[] squares = vectors.ColumnSquares();
        double[] lengths = Array.ConvertAll(squares, Math.Sqrt);
        return new(vectors.WithColumnsTimes(Array.ConvertAll(lengths, length => 1 / length)), [.. energy.Zip(squares, (carried, square) => carried * square)], total)
        {
            Dual = dual.WithColumnsTimes(lengths),
        };
    }
}
