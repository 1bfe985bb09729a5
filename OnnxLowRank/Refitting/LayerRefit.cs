using OnnxLowRank.Calibration;
using OnnxLowRank.Factorization;
using OnnxLowRank.Layers;
using OnnxLowRank.Numerics;
using OnnxLowRank.Rewriting;
using OnnxLowRank.Storage;

namespace OnnxLowRank.Refitting;

/// <summary>Puts a fit of its input into a layer, and into all that is known of the layer.</summary>
static class LayerRefit
{
    /// <param name="shifts">Per use, what E[x] is more than E[x̃], as the kernel reads it (in).</param>
    /// <param name="hasOffset">Whether W·c goes into the biases; otherwise c is 0.</param>
    /// <param name="inside">Spans between the factors of Conv layers.</param>
    public static RefittedLayer Of(
        ILinearAlgebra algebra, Layer layer, InputFit fit, double[][] shifts, bool hasOffset, Decomposition? decomposition, NBitWeights? inFewBits, InnerRanges inside, Spill spill)
    {
        var refitted = layer with
        {
            Weight = layer.Weight.With(layer.OperandFor(fit.Weight), spill),
            Uses = [.. layer.Uses.Select((use, i) => hasOffset ? use with { Bias = Emission.Gained(use, fit.Gains[i]) } : use)],
        };
        var behind = decomposition?.Behind(fit, refitted, spill);
        return new(refitted, behind, inFewBits?.Behind(refitted, behind, shifts), InsideOf(algebra, layer, refitted, fit, decomposition, inside));
    }

    /// <summary>The layer's spans without what c adds to them, which is in the bias now.</summary>
    static InnerRanges InsideOf(ILinearAlgebra algebra, Layer layer, Layer refitted, InputFit fit, Decomposition? decomposition, InnerRanges inside)
    {
        Dictionary<Layer, InnerRange> Of(IReadOnlyDictionary<Layer, InnerRange> spans, Func<int, double[]> constant) => spans.TryGetValue(layer, out var span)
            ? new() { [refitted] = span.Without([.. layer.Uses.Select((_, use) => constant(use))]) }
            : [];
        double[] Image(ReadOnlySpan<float> rows, double[] vector) =>
            algebra.Multiply(Matrix.LeftOf(rows, vector.Length, vector.Length), new Matrix(vector.Length, 1, vector)).Data;
        return new(
            Of(inside.Outputs, use => decomposition!.Projected(fit.Gains[use])),
            Of(inside.Inputs, use => Image(decomposition!.Tucker!.Entry, fit.Offsets[use])),
            Of(inside.Columns, use => Image(decomposition!.Spatial!.Columns, Patches.Repeat(fit.Offsets[use], [.. Enumerable.Repeat(1.0, (int)layer.Kernel[0])]))));
    }
}
