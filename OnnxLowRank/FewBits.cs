using System.Numerics.Tensors;
using System.Runtime.CompilerServices;
using OnnxLowRank.Calibration;
using OnnxLowRank.Factorization;
using OnnxLowRank.Layers;
using OnnxLowRank.Numerics;
using OnnxLowRank.Storage;

namespace OnnxLowRank;

/// <summary>From what calibration measured of a layer's inputs to what tells which errors of its weight matter in few bits.</summary>
static class FewBits
{
    /// <summary>What every input counts in few bits, in units of the average input's variance.</summary>
    const double Damping = 1e-2;

    /// <param name="patches">Of a Conv where it was measured; null otherwise.</param>
    /// <param name="metric">Which errors of the output matter; null where all count alike.</param>
    /// <param name="known">Moments of values that several layers read, which it does not keep alive.</param>
    public static NBitWeights Of(
        ILinearAlgebra algebra, Layer layer, Decomposition? decomposition, Measured measured, PatchMoment? patches, IReadOnlyDictionary<string, long[]> shapes, Method method,
        OutputMetric? metric, ConditionalWeakTable<Moments, InputMoment?> known, Spill spill)
    {
        var outputs = metric?.ForRounding(algebra) is { } matters ? new StoredMoment(matters, spill) : null;
        if (patches != null)
        {
            return new(algebra, layer, decomposition, Damped(patches.Covariance.Copy(), [1], spill), patches.Means, spill, outputs);
        }
        bool isConv = measured.InputMoments.ContainsKey(layer);
        if (method is Method.Svd or Method.Randomized || !(isConv || Tap.IsAtInput(layer)))
        {
            return new(algebra, layer, decomposition, null, new double[layer.Uses.Count][], spill);
        }
        if (measured.Sketches.TryGetValue(layer, out var sketches))
        {
            return new(algebra, layer, decomposition, null, [.. sketches.Select(use => use.Mean())], spill); // how inputs vary together is not known well enough
        }
        var moments = isConv ? measured.InputMoments[layer] : measured.Moments[layer];
        double[] taps = isConv ? Patches.Shares(layer, layer.Uses[0], shapes) : [1];
        double[][] means = [.. moments.Select(use => Patches.Repeat(use.Mean(), taps))];
        if (isConv)
        {
            // Next to padding even a constant input varies: there is no mean to take off where a tap reads none of it.
            var moment = Moments.Pooled(moments, 0, centred: true);
            double inside = taps.Average();
            TensorPrimitives.Multiply<double>(moment.Data, inside, moment.Data);
            TensorPrimitives.MultiplyAdd(Moments.Pooled(moments, 0, centred: false).Data, 1 - inside, moment.Data, moment.Data);
            return new(algebra, layer, decomposition, Damped(moment, taps, spill), means, spill, outputs);
        }
        if (moments.Length > 1)
        {
            return new(algebra, layer, decomposition, Damped(Moments.Pooled(moments, 0, centred: true), taps, spill), means, spill, outputs);
        }
        if (!known.TryGetValue(moments[0], out var shared))
        {
            known.Add(moments[0], shared = Damped(moments[0].Second(0, centred: true), taps, spill));
        }
        return new(algebra, layer, decomposition, shared, means, spill, outputs);
    }

    /// <summary>G with a little of every input in it, so that no error is free because few samples would show it; null where all inputs are constant.</summary>
    static InputMoment? Damped(Matrix covariance, double[] taps, Spill spill)
    {
        double mean = covariance.Trace() / covariance.Rows;
        covariance.AddToDiagonal(Damping * mean);
        return mean > 0 ? new(covariance, taps, spill) : null;
    }
}
