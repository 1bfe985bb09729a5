using OnnxLowRank.Layers;
using OnnxLowRank.Numerics;

namespace OnnxLowRank.Factorization;

/// <summary>
/// What makes a layer's input x̃ in a rewritten model most like x, what it was in the original: x ≈ M·x̃ + c, alike at every position and tap. The layer of one group takes
/// both in: W·x + b ≈ (W·M)·x̃ + (b + W·c), which is as large and as fast as W was.
/// </summary>
sealed class InputFit
{
    readonly ILinearAlgebra _algebra;
    readonly Matrix _mix;

    /// <param name="mix">M (channels, channels).</param>
    /// <param name="offsets">c per use, (channels).</param>
    /// <param name="shares">Per use, what each tap of the kernel counts: how often it reads a pixel and not padding, which c does not change.</param>
    public InputFit(ILinearAlgebra algebra, Layer layer, Matrix mix, double[][] offsets, double[][] shares)
    {
        (_algebra, _mix, Offsets) = (algebra, mix, offsets);
        Patches = [.. offsets.Zip(shares, Layers.Patches.Repeat)];
        var weight = layer.ReadWeight();
        Gains = [.. Patches.Select(patch => algebra.Multiply(weight, new Matrix(patch.Length, 1, patch)).Data)];
        Weight = Through(weight);
    }

    /// <summary>W·M (out, in).</summary>
    public Matrix Weight { get; }

    /// <summary>c per use, (channels).</summary>
    public double[][] Offsets { get; }

    /// <summary>c per use as the kernel reads it on average, (in).</summary>
    public double[][] Patches { get; }

    /// <summary>W·c per use, (out).</summary>
    public double[][] Gains { get; }

    /// <summary>c per use as two convolutions' first one D (k, in/slots) reads it for the second, (k·slots).</summary>
    public double[][] ReadBy(Matrix down, int slots) => [.. Patches.Select(patch => PatchMoment.Project(_algebra, new(1, patch.Length, patch), down, slots).Data)];

    /// <summary>Rows (rows, channels·taps) of anything that is applied to x, with M in front of it.</summary>
    /// <param name="cols">channels·taps.</param>
    public float[] Through(ReadOnlySpan<float> rows, int cols) => Through(Matrix.LeftOf(rows, cols, cols)).ToFloats();

    Matrix Through(Matrix rows)
    {
        int taps = rows.Cols / _mix.Rows;
        return TapOrder.ByChannel(_algebra.Multiply(TapOrder.ByTap(rows, taps), _mix), taps);
    }
}
