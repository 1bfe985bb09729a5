using System.Numerics.Tensors;
using OnnxLowRank.Layers;
using OnnxLowRank.Numerics;

namespace OnnxLowRank.Factorization;

/// <summary>
/// Which errors e of a layer's output matter: with g the gradient of the model's outputs in random directions, (gᵀ·e)² is on average what e does to them,
/// as far as they follow it linearly. So eᵀ·M·e with M = E[g·gᵀ] counts, over samples, positions and directions.
/// </summary>
/// <remarks>
/// Large errors, and those of other layers, make other directions matter. A share of the plain error is therefore mixed in.
/// Source: the output's factor of the Fisher information as in K-FAC (Martens and Grosse 2015), with the outputs' plain distance in the place of the likelihood: a model
/// that is sure of its samples has a likelihood that hardly moves.
/// </remarks>
sealed class OutputMetric
{
    /// <summary>Share of the plain error, of its energy. Plans of the same size lose up to a tenth more at 0.03, and at 0.3.</summary>
    internal const double PlainShare = 0.1;

    /// <summary>
    /// What is mixed in further where a weight is rounded: that puts errors wherever they are said to do little, and they are larger than those of a cut.
    /// Plans of the same size lose more at 0 and at 0.5.
    /// </summary>
    const double MoreForRounding = 0.2;

    OutputMetric(Matrix root) => Root = root;

    /// <summary>L (m, m) with M = L·Lᵀ.</summary>
    public Matrix Root { get; }

    /// <summary>The widest output it is worth its memory for: L takes 128 MiB then, and making and using it two more such matrices.</summary>
    const int MostChannels = 4096;

    /// <summary>Whether a layer's output is narrow enough, and in single precision.</summary>
    public static bool IsWorthIt(Layer layer) => layer.Out <= MostChannels && layer.IsSingle;

    /// <param name="gradients">E[g·gᵀ] (m, m), in any unit; it is changed.</param>
    /// <param name="vectors">How many it is of.</param>
    /// <param name="energy">tr(K), K being y's covariance (m, m).</param>
    /// <param name="seen">tr(M·K) for an M.</param>
    /// <returns>Null where the outputs do not follow anything of what y varies in.</returns>
    public static OutputMetric? Of(ILinearAlgebra algebra, Matrix gradients, double vectors, double energy, Func<Matrix, double> seen)
    {
        Shrink(gradients, vectors);
        double followed = seen(gradients);
        if (!(followed > 0 && double.IsFinite(followed)))
        {
            return null;
        }
        TensorPrimitives.Multiply(gradients.Data, (1 - PlainShare) * energy / followed, gradients.Data);
        gradients.AddToDiagonal(PlainShare);
        return new(algebra.Cholesky(gradients));
    }

    /// <summary>
    /// Mixes in as much of what all channels have in common as makes a moment of few vectors the best guess: directions that those did not meet are followed, too.
    /// Source: oracle approximating shrinkage (Chen, Wiesel, Eldar and Hero 2010).
    /// </summary>
    static void Shrink(Matrix moment, double vectors)
    {
        int channels = moment.Rows;
        double trace = moment.Trace(), square = TensorPrimitives.SumOfSquares<double>(moment.Data), beyond = square - trace * trace / channels;
        double share = beyond > 0 ? Math.Min(1, ((1 - 2.0 / channels) * square + trace * trace) / ((vectors + 1 - 2.0 / channels) * beyond)) : 1;
        TensorPrimitives.Multiply(moment.Data, 1 - share, moment.Data);
        moment.AddToDiagonal(share * trace / channels);
    }

    /// <summary>The widest output whose errors are told apart where a weight is rounded: M takes 32 MiB then and what follows from it twice that, and each row is compared with all before it.</summary>
    const int MostRounded = 2048;

    /// <summary>Which errors matter where a weight is rounded (m, m); null for too wide an output.</summary>
    public Matrix? ForRounding(ILinearAlgebra algebra)
    {
        if (Root.Rows > MostRounded)
        {
            return null;
        }
        var moment = algebra.Multiply(Root, Root, transposeRight: true);
        moment.AddToDiagonal(MoreForRounding);
        return moment;
    }

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
