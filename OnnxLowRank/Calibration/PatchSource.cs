using OnnxLowRank.Layers;

namespace OnnxLowRank.Calibration;

/// <summary>What the kernel of a Conv reads: no value of the graph, but <see cref="ProbeGraph"/> makes one of it.</summary>
/// <param name="Step">Only at every so-many-th position along each axis.</param>
sealed record PatchSource(Layer Layer, LayerUse Use, int Step)
{
    public bool Equals(PatchSource? other) => other != null && Use.Output == other.Use.Output && Step == other.Step;

    public override int GetHashCode() => HashCode.Combine(Use.Output, Step);
}
