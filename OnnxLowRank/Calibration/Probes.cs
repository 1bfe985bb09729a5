using OnnxLowRank.Layers;
using OnnxLowRank.Onnx.Proto;

namespace OnnxLowRank.Calibration;

/// <summary>What calibration asks of a model: every value once, however many layers want to know.</summary>
/// <param name="Taps">Vectors whose moments are summed.</param>
/// <param name="Ranged">Values whose smallest and largest element are kept.</param>
/// <param name="Rows">Vectors whose largest magnitudes are counted.</param>
sealed record Probes(Tap[] Taps, (string Value, TensorProto.Types.DataType Type)[] Ranged, Tap[] Rows)
{
    /// <summary>Whether nothing is asked.</summary>
    public bool IsEmpty => Taps.Length == 0 && Ranged.Length == 0 && Rows.Length == 0;

    /// <param name="shapes">Shape of every layer's inputs and outputs in one run.</param>
    /// <param name="withRanges">Whether 8-bit activations will want to know of inputs and outputs.</param>
    /// <param name="patchSteps">Layers whose patches are measured, with the step between them; null for none.</param>
    public static Probes Of(IReadOnlyList<Layer> layers, IReadOnlyDictionary<string, long[]> shapes, bool withRanges, IReadOnlyDictionary<Layer, int>? patchSteps = null) => new(
        [.. layers.SelectMany(layer => TapsOf(layer, shapes, patchSteps?.GetValueOrDefault(layer) ?? 0)).Distinct()],
        withRanges ? [.. RangedValues(layers)] : [],
        withRanges ? [.. layers.Where(HasRows).SelectMany(layer => layer.Uses.Select(use => Tap.AtInput(layer, use, shapes))).Distinct()] : []);

    /// <summary>Everything whose moments a layer needs.</summary>
    /// <param name="patchStep">Between the patches that are measured; 0 for none.</param>
    public static IEnumerable<Tap> TapsOf(Layer layer, IReadOnlyDictionary<string, long[]> shapes, int patchStep = 0) => layer.Uses.Select(use => Tap.Of(layer, use, shapes))
        .Concat(MixesChannels(layer) ? layer.Uses.Select(use => Tap.AtConvInput(layer, use, shapes)) : [])
        .Concat(patchStep > 0 ? layer.Uses.Select(use => Tap.AtPatches(layer, use, shapes, patchStep)) : []).Distinct();

    /// <summary>Whether the input channels of a Conv matter by themselves: because they may be combined, or its kernel cut into columns and rows.</summary>
    public static bool MixesChannels(Layer layer) => layer.BreakEvenInputRank > 0 || layer.BreakEvenSpatialRank > 0;

    /// <summary>Whether rows of the input may share one 8-bit scale.</summary>
    public static bool HasRows(Layer layer) => layer.Kind is LayerKind.MatMul or LayerKind.Gemm;

    /// <summary>Values that may travel as 8 bits.</summary>
    public static IEnumerable<(string Value, TensorProto.Types.DataType Type)> RangedValues(IEnumerable<Layer> layers) => layers.Where(layer => layer.Kind == LayerKind.Conv)
        .SelectMany(layer => layer.Uses.SelectMany(use => new[] { use.Input, use.Activation }).Select(value => (value, layer.Type))).Distinct();
}
