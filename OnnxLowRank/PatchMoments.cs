using OnnxLowRank.Calibration;
using OnnxLowRank.Factorization;
using OnnxLowRank.Layers;

namespace OnnxLowRank;

/// <summary>From what calibration measured of a Conv's patches to what factors and 4-bit weights are fitted to.</summary>
static class PatchMoments
{
    /// <summary>
    /// The moment of patches about their mean. What it says of numbers at different taps is believed the less, the fewer patches there are per number: at one tap
    /// there are as many products of channels from fewer numbers.
    /// </summary>
    /// <param name="uses">One set per use.</param>
    /// <returns>Null where no patch differs from another.</returns>
    public static PatchMoment? Of(Layer layer, Moments[] uses)
    {
        var moment = Moments.Pooled(uses, 0, centred: true);
        double vectors = uses.Sum(use => use.Count), believed = 1 - Math.Min(1, layer.In / vectors);
        for (int i = 0; i < moment.Rows; i++)
        {
            var row = moment.Row(i);
            for (int j = 0; j < row.Length; j++)
            {
                row[j] *= i % layer.KernelSize == j % layer.KernelSize ? 1 : believed;
            }
        }
        double mean = moment.Trace() / moment.Rows;
        moment.AddToDiagonal(Decomposing.Shrinkage(vectors, layer.In) * mean);
        return mean > 0 ? new(moment, [.. uses.Select(use => use.Mean())]) : null;
    }
}
