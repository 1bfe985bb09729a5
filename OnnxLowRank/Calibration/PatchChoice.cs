using OnnxLowRank.Layers;

namespace OnnxLowRank.Calibration;

/// <summary>
/// Of which convolutions the moments of whole patches are measured, and at which places: a patch holds every channel once per tap of the kernel, so
/// its products are many, but few places tell them.
/// </summary>
static class PatchChoice
{
    /// <summary>The most numbers of a patch: 256 channels under a kernel of 3×3. The work grows with their cube.</summary>
    const int Widest = 2304;

    /// <summary>Patches per number of a patch, from which on more say little.</summary>
    public const double Enough = 8;

    /// <summary>Places along an axis of which some are left out: the first one lies at the border, so it must not be one of few.</summary>
    const int FewestPlaces = 8;

    /// <summary>Bytes that the patches of one run may take, as they are, centred and transposed.</summary>
    const double RunBytes = 256 << 20;

    /// <param name="limit">Bytes that moments of one value may take.</param>
    public static bool IsWanted(Layer layer, long limit) =>
        layer is { Kind: LayerKind.Conv, Groups: 1, KernelSize: > 1, In: <= Widest } && layer.Uses.Count * SummedMoments.Bytes(1, layer.In) <= limit;

    /// <summary>Those layers of which patches are wanted, with the step between their places.</summary>
    /// <inheritdoc cref="IsWanted"/>
    /// <inheritdoc cref="Step"/>
    public static Dictionary<Layer, int> Steps(IEnumerable<Layer> layers, IReadOnlyDictionary<string, long[]> shapes, long limit, int samples, int runSize) =>
        layers.Where(layer => IsWanted(layer, limit)).ToDictionary(layer => layer, layer => Step(layer, shapes, samples, runSize));

    /// <summary>Along each axis of the output, one place in how many is enough.</summary>
    /// <param name="shapes">Shape of every use's input and output for one sample.</param>
    /// <param name="samples">That patches are taken from at first.</param>
    /// <param name="runSize">Samples in one run.</param>
    public static int Step(Layer layer, IReadOnlyDictionary<string, long[]> shapes, int samples, int runSize)
    {
        double places = Places(layer, shapes), axes = layer.Kernel.Length;
        double spare = Math.Pow(samples * places / (Enough * layer.In), 1 / axes);
        double needed = Math.Pow(3 * sizeof(float) * runSize * places * layer.In / RunBytes, 1 / axes);
        long shortest = layer.Uses.Min(use => shapes[use.Output][2..].Min());
        return (int)Math.Max(Math.Ceiling(needed), Math.Clamp(Math.Floor(spare), 1, Math.Max(1, shortest / FewestPlaces)));
    }

    static double Places(Layer layer, IReadOnlyDictionary<string, long[]> shapes) =>
        layer.Uses.Sum(use => shapes[use.Output][2..].Aggregate(1.0, (product, dim) => product * dim));
}
