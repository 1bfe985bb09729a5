using OnnxLowRank.Layers;

namespace OnnxLowRank;

/// <summary>Large arrays that nobody needs any more.</summary>
static class Garbage
{
    /// <summary>Elements of a weight from which on what is made of it is worth a collection.</summary>
    const long Large = 1 << 18;

    /// <summary>
    /// Gives back what was computed along the way for a layer, which is several times its weight. Left to itself, the collector lets garbage pile up to a
    /// good part of all that is alive; a collection is cheap, as there are few objects.
    /// </summary>
    public static void Collect(Layer layer)
    {
        if (layer.Elements >= Large)
        {
            GC.Collect();
        }
    }
}
