using OnnxLowRank.Layers;
using OnnxLowRank.Quantization;

namespace OnnxLowRank.Calibration;

/// <summary>What calibration measured.</summary>
/// <param name="Moments">Per layer, one set of moments per use, of the value that <see cref="Tap"/> chose.</param>
/// <param name="InputMoments">Per Conv layer whose input channels may be combined or whose kernel may be cut, the moments of those channels.</param>
/// <param name="Patches">Per Conv layer for which they were asked for, the moments of what its kernel reads, one set per use.</param>
/// <param name="Sketches">Per layer whose value is too wide for moments, one sketch per use.</param>
/// <param name="Grids">8-bit grid per value that enters or leaves a Conv layer.</param>
/// <param name="Spreads">Per MatMul and Gemm layer, <see cref="RowMaxima.Spread"/> of its input; the largest where it has several.</param>
sealed record Measured(
    Dictionary<Layer, Moments[]> Moments, Dictionary<Layer, Moments[]> InputMoments, Dictionary<Layer, Moments[]> Patches, Dictionary<Layer, SketchedMoments[]> Sketches,
    IReadOnlyDictionary<string, UInt8Grid> Grids, IReadOnlyDictionary<Layer, double> Spreads)
{
    /// <summary>What was measured of values, as layers look at it.</summary>
    /// <param name="moments">Its <see cref="Calibration.Moments"/> or <see cref="SketchedMoments"/>.</param>
    /// <param name="range">Smallest and largest element of a value.</param>
    /// <param name="spread"><see cref="RowMaxima.Spread"/> of a value's vectors.</param>
    /// <param name="patchSteps">As <see cref="Probes.Of"/> was told.</param>
    public static Measured Of(
        IReadOnlyList<Layer> layers, IReadOnlyDictionary<string, long[]> shapes, bool withRanges, Func<Tap, IMoments> moments,
        Func<string, (double Low, double High)> range, Func<Tap, double> spread, IReadOnlyDictionary<Layer, int>? patchSteps = null)
    {
        Dictionary<Layer, T[]> Known<T>(IEnumerable<Layer> layers, Func<Layer, LayerUse, IReadOnlyDictionary<string, long[]>, Tap> tap) where T : IMoments => layers
            .Where(layer => moments(tap(layer, layer.Uses[0], shapes)) is T)
            .ToDictionary(layer => layer, layer => layer.Uses.Select(use => (T)moments(tap(layer, use, shapes))).ToArray());
        return new(
            Known<Moments>(layers, Tap.Of), Known<Moments>(layers.Where(Probes.MixesChannels), Tap.AtConvInput),
            Known<Moments>(layers.Where(layer => patchSteps?.ContainsKey(layer) == true), (layer, use, shapes) => Tap.AtPatches(layer, use, shapes, patchSteps![layer])), Known<SketchedMoments>(layers, Tap.Of),
            withRanges ? Probes.RangedValues(layers).ToDictionary(item => item.Value, item => UInt8Grid.Covering(range(item.Value).Low, range(item.Value).High)) : [],
            withRanges ? layers.Where(Probes.HasRows).ToDictionary(layer => layer, layer => layer.Uses.Max(use => spread(Tap.AtInput(layer, use, shapes)))) : []);
    }

    /// <summary>Lets go of a layer's moments, which are among the largest things of a job.</summary>
    public void Forget(Layer layer)
    {
        Moments.Remove(layer);
        InputMoments.Remove(layer);
        Patches.Remove(layer);
        Sketches.Remove(layer);
    }
}
