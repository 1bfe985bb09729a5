using System.Numerics.Tensors;
using OnnxLowRank.Numerics;
using OnnxLowRank.Quantization;
using OnnxLowRank.Storage;

namespace OnnxLowRank.Factorization;

/// <summary>
/// G (in, in), what a layer's inputs look like, which tells errors of the weight that matter from those that do not. A Conv's inputs
/// are patches, one block of channels per tap of the kernel; taps are taken as unrelated and channels as looking the same at all of
/// them, so that G is one small matrix times each tap's weight.
/// </summary>
sealed class InputMoment
{
    readonly int _size;
    readonly StoredMoment _channels;
    readonly double[] _taps;

    /// <param name="channels">(channels, channels), positive definite.</param>
    /// <param name="taps">What each tap counts: how often it reads a pixel and not padding; one tap for all layers but Conv.</param>
    /// <param name="spill">Where it waits; in memory when null.</param>
    public InputMoment(Matrix channels, double[] taps, Spill? spill = null) => (_size, _channels, _taps) = (channels.Rows, new(channels, spill), taps);

    /// <summary>Whether nothing was neglected.</summary>
    public bool IsExact => _taps.Length == 1;

    /// <summary>G (in, in) where nothing was neglected.</summary>
    public Matrix Read() => _channels.Read();

    /// <summary>M·G.</summary>
    /// <param name="matrix">M (rows, in), tap within channel, as a Conv's weight lies.</param>
    public Matrix Times(ILinearAlgebra algebra, Matrix matrix)
    {
        var product = algebra.Multiply(TapOrder.ByTap(matrix, _taps.Length), _channels.Read());
        for (int i = 0; _taps.Length > 1 && i < product.Rows; i++)
        {
            TensorPrimitives.Multiply<double>(product.Row(i), _taps[i % _taps.Length], product.Row(i));
        }
        return TapOrder.ByChannel(product, _taps.Length);
    }

    /// <summary>What <see cref="Rounded"/> needs.</summary>
    public ErrorFeedback Feedback(ILinearAlgebra algebra) => _channels.Feedback(algebra);

    /// <summary>
    /// The same where Up·Down is fitted to what rounding leaves: what Down passes of the inputs does not matter then, so nearly all of
    /// it is taken off G. A little stays, as Up is rounded too.
    /// </summary>
    /// <param name="solved">(Down·G·Downᵀ)⁻¹·(Down·G), (r, in); nothing may have been neglected in G.</param>
    /// <param name="gram">Down·G·Downᵀ.</param>
    public ErrorFeedback FeedbackBeside(ILinearAlgebra algebra, Matrix solved, Matrix gram)
    {
        const double MadeGood = 0.99;
        var rest = _channels.Read();
        var passed = algebra.Multiply(gram, solved);
        for (int i = 0; i < rest.Rows; i++)
        {
            for (int k = 0; k < solved.Rows; k++)
            {
                TensorPrimitives.MultiplyAdd<double>(passed.Row(k), -MadeGood * solved[k, i], rest.Row(i), rest.Row(i));
            }
        }
        return new(algebra, rest);
    }

    /// <summary>The matrix in few bits with little of its output lost: see <see cref="NBit.WithFeedback"/>.</summary>
    /// <param name="feedback">From <see cref="Feedback"/>.</param>
    /// <param name="matrix">(rows, in).</param>
    /// <param name="grid">With a scale per row where there are several taps.</param>
    /// <param name="across">Of the outputs, which rows are; null where all count alike.</param>
    public NBitBlocks Rounded(ILinearAlgebra algebra, ErrorFeedback feedback, Matrix matrix, NBitGrid grid, ErrorFeedback? across = null)
    {
        if (_taps.Length == 1)
        {
            return NBit.WithFeedback(algebra, matrix, feedback, grid, across);
        }
        float[] scales = NBit.RowScales(matrix, grid), perTap = new float[scales.Length * _taps.Length];
        for (int i = 0; i < perTap.Length; i++)
        {
            perTap[i] = scales[i / _taps.Length];
        }
        var rounded = TapOrder.ByChannel(NBit.WithFeedback(algebra, TapOrder.ByTap(matrix, _taps.Length), feedback, grid with { Block = _size }, across, perTap).Dequantize(), _taps.Length);
        var ordered = new NBitDraft(matrix.Rows, matrix.Cols, grid);
        scales.CopyTo(ordered.Scales, 0);
        for (int i = 0; i < matrix.Rows; i++)
        {
            for (int j = 0; j < matrix.Cols; j++)
            {
                ordered.Set(i, j, rounded[i, j]); // on the very same steps
            }
        }
        return ordered.Done();
    }
}
