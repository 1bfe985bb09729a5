using System.Numerics.Tensors;
using OnnxLowRank.Layers;
using OnnxLowRank.Numerics;
using OnnxLowRank.Quantization;

namespace OnnxLowRank.Factorization;

/// <summary>A dense weight in 4 bits.</summary>
/// <param name="Weight">Q ≈ W, (out, in); Wᵀ for Gather and Constant, as scales belong to rows.</param>
/// <param name="Error">Share of the layer's output energy that is lost.</param>
/// <param name="Gains">Per use, what the bias must gain so that the output's mean stays, (W − Q)·E[x]; null without a measured mean.</param>
sealed record Int4Dense(Int4Blocks Weight, double Error, double[]?[] Gains);

/// <summary>Two thin weights in 4 bits, W ≈ Up·Down.</summary>
/// <param name="Down">(r, in).</param>
/// <param name="Up">(out, r).</param>
/// <param name="Error">Share of the layer's output energy that is lost, by cutting and rounding.</param>
/// <param name="Gains">As for <see cref="Int4Dense"/>.</param>
sealed record Int4Pair(Int4Blocks Down, Int4Blocks Up, double Error, double[]?[] Gains);

/// <summary>
/// What one layer's weight becomes in 4 bits: made when first asked for. 4 bits are so coarse that rounding to the
/// nearest value is not enough; what the layer's inputs look like decides which errors matter.
/// </summary>
/// <remarks>
/// Errors are remembered; of weights only the one that was asked for last, which the next plan likely asks for again. All that a large
/// model's plans may ask for would take more memory than the model.
/// </remarks>
/// <param name="decomposition">Null where no rank saves anything.</param>
/// <param name="moment">
/// Of the inputs about their mean; null where it is not known: then values are rounded to the nearest, and what that loses is
/// estimated as if inputs were unrelated.
/// </param>
/// <param name="means">Per use, E[x] (in), or null where it is not known.</param>
sealed class Int4Weights(ILinearAlgebra algebra, Layer layer, Decomposition? decomposition, InputMoment? moment, double[]?[] means)
{
    /// <summary>Keeps Cholesky's pivots above rounding; far below any error that matters.</summary>
    const double Ridge = 1e-9;

    /// <summary>Ranks at which rounding is measured, a factor of this apart; between them its share changes slowly.</summary>
    const int RankRatio = 8;

    /// <summary>Stands for the dense weight where there may be a rank.</summary>
    const int NoRank = 0;

    readonly Dictionary<(int Rank, int Block), double> _errors = [];
    (int Rank, int Block, object Weight)? _last;
    double? _energy;

    /// <summary>tr(W·G·Wᵀ): the output's variance, summed over channels.</summary>
    double Energy => _energy ??= EnergyOf(layer.ReadWeight());

    /// <summary>Bytes of values and scales of the dense weight.</summary>
    public static double DenseBytes(Layer layer, int block) =>
        layer.IsTable ? Bytes(layer.In, layer.Out, block) : Bytes(layer.Out, layer.In, block);

    static double Bytes(int rows, int cols, int block) =>
        block == 0 ? Int4.RowBytes(rows, cols) : Int4.Bytes(rows, cols, Int4.BlockFor(cols, block));

    /// <summary>The block that a row of this many columns gets.</summary>
    static int Fitting(int cols, int block) => block == 0 ? cols : Int4.BlockFor(cols, block);

    /// <summary>Bytes of values and scales of a pair.</summary>
    public static double PairBytes(Layer layer, int rank, int block) =>
        Bytes(layer.Groups * rank, layer.In, block) + Bytes(layer.Out, rank, block);

    /// <param name="block">Numbers that share a scale, or fewer where that takes no more bytes; 0: a whole row.</param>
    public Int4Dense Dense(int block) => LastOr(NoRank, block, () => MakeDense(block), weight => weight.Error);

    /// <summary><see cref="Int4Dense.Error"/> of the dense weight.</summary>
    public double DenseError(int block) => _errors.TryGetValue((NoRank, block), out double known) ? known : Dense(block).Error;

    T LastOr<T>(int rank, int block, Func<T> make, Func<T, double> error) where T : class
    {
        if (_last is { } last && (last.Rank, last.Block) == (rank, block))
        {
            return (T)last.Weight;
        }
        _last = null;
        var made = make();
        _errors[(rank, block)] = error(made);
        _last = (rank, block, made);
        return made;
    }

    Int4Dense MakeDense(int block)
    {
        var weight = layer.IsTable ? layer.ReadWeight().Transposed() : layer.ReadWeight();
        var rounded = Rounded(weight, Fitting(weight.Cols, block));
        var lost = Difference(weight, rounded.Dequantize());
        return new(rounded, Share(EnergyOf(lost)), Gains(lost));
    }

    /// <summary>
    /// Down is rounded first, then Up: solved again for the Down that is left and rounded with error feedback where the moment is
    /// exact, otherwise to the nearest.
    /// </summary>
    /// <param name="block">As for <see cref="Dense"/>.</param>
    public Int4Pair Pair(int rank, int block) => LastOr(rank, block, () => MakePair(rank, block), pair => pair.Error);

    Int4Pair MakePair(int rank, int block)
    {
        var factors = decomposition!.Cut(rank, balanced: true);
        var wanted = ToMatrix(factors.Down, layer.Groups * rank, layer.In);
        var down = Rounded(wanted, Fitting(layer.In, block));
        var rounded = down.Dequantize();
        if (moment is not { IsExact: true })
        {
            var upper = ToMatrix(factors.Up, layer.Out, rank);
            var nearest = Int4.Nearest(upper, Fitting(rank, block));
            double noise = RoundingNoise(factors, wanted, Difference(wanted, rounded), Difference(upper, nearest.Dequantize()));
            double error = decomposition.Error(rank) + (decomposition.Energy > 0 ? noise / decomposition.Energy : 0);
            return new(down, nearest, error, new double[means.Length][]);
        }
        var weight = layer.ReadWeight();
        var up = Int4.WithFeedback(algebra, Fit(algebra, weight, moment, rounded, out var gram), new ErrorFeedback(gram), Fitting(rank, block));
        var lost = Difference(weight, algebra.Multiply(up.Dequantize(), rounded));
        return new(down, up, Share(EnergyOf(lost)), Gains(lost));
    }

    Int4Blocks Rounded(Matrix matrix, int block) => moment == null ? Int4.Nearest(matrix, block) : moment.Rounded(algebra, matrix, block);

    /// <summary>
    /// Output energy that rounding both factors costs. Number k between them, in its orthonormal form, carries the energy s^-4 of
    /// <see cref="Decomposition.Cut"/>'s scale s; a row of Down loses of it the share that its weights lose.
    /// </summary>
    double RoundingNoise(LowRank factors, Matrix down, Matrix lostDown, Matrix lostUp)
    {
        double noise = 0;
        Matrix seen = Seen(down), seenLost = Seen(lostDown);
        for (int k = 0; k < down.Rows; k++)
        {
            double all = TensorPrimitives.Dot<double>(seen.Row(k), down.Row(k)), lost = TensorPrimitives.Dot<double>(seenLost.Row(k), lostDown.Row(k));
            noise += all > 0 ? Math.Pow(factors.Scales[k], -4) * lost / all : 0;
        }
        for (int o = 0; o < lostUp.Rows; o++)
        {
            for (int k = 0; k < factors.Rank; k++)
            {
                noise += Math.Pow(lostUp[o, k] / factors.Scales[o / layer.OutPerGroup * factors.Rank + k], 2);
            }
        }
        return noise;
    }

    /// <summary>The Up that loses least beside a given Down, (W·G·Downᵀ)·(Down·G·Downᵀ)⁻¹.</summary>
    /// <param name="gram">Down·G·Downᵀ, the covariance of what is between the factors: it says which errors of Up matter.</param>
    public static Matrix Fit(ILinearAlgebra algebra, Matrix weight, InputMoment moment, Matrix down, out Matrix gram)
    {
        var seen = moment.Times(algebra, down);
        gram = algebra.Multiply(seen, down, transposeRight: true);
        double trace = 0;
        for (int k = 0; k < down.Rows; k++)
        {
            trace += gram[k, k];
        }
        for (int k = 0; k < down.Rows; k++)
        {
            gram[k, k] += Ridge * trace / down.Rows + double.Epsilon;
        }
        return algebra.Solve(gram, algebra.Multiply(seen, weight, transposeRight: true)).Transposed();
    }

    /// <summary>Predicted <see cref="Int4Pair.Error"/> at any rank: what cutting loses, and rounding as measured at a few ranks.</summary>
    public double PairError(int rank, int block)
    {
        int below = 1;
        while (below * RankRatio <= rank)
        {
            below *= RankRatio;
        }
        int above = Math.Min(below * RankRatio, decomposition!.MaxRank);
        double share = above > below ? Math.Log((double)rank / below) / Math.Log((double)above / below) : 0;
        return decomposition.Error(rank) + (1 - share) * Rounding(below, block) + share * Rounding(above, block);
    }

    double Rounding(int rank, int block) =>
        Math.Max(0, (_errors.TryGetValue((rank, block), out double known) ? known : Pair(rank, block).Error) - decomposition!.Error(rank));

    double Share(double energy) => Energy > 0 ? energy / Energy : 0;

    double EnergyOf(Matrix matrix) => TensorPrimitives.Dot<double>(Seen(matrix).Data, matrix.Data);

    /// <summary>M·G, as far as G is known.</summary>
    Matrix Seen(Matrix matrix) => moment == null ? matrix : moment.Times(algebra, matrix);

    double[]?[] Gains(Matrix lost) =>
        [.. means.Select(mean => mean == null ? null : algebra.Multiply(lost, new Matrix(mean.Length, 1, mean)).Data)];

    static Matrix Difference(Matrix left, Matrix right)
    {
        TensorPrimitives.Subtract<double>(left.Data, right.Data, right.Data);
        return right;
    }

    static Matrix ToMatrix(float[] values, int rows, int cols)
    {
        var matrix = new Matrix(rows, cols);
        TensorPrimitives.ConvertTruncating<float, double>(values, matrix.Data);
        return matrix;
    }
}
