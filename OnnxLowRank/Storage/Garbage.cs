namespace OnnxLowRank.Storage;

/// <summary>
/// Large arrays that nobody needs any more. Left to itself, the collector lets them pile up to a good part of all that is alive; a collection is cheap, as
/// there are few objects.
/// </summary>
static class Garbage
{
    /// <summary>Elements of a weight from which on what is made of it is worth a collection, and from which on worth giving its pages back at once.</summary>
    const long Large = 1 << 20, VeryLarge = 1 << 26;

    /// <summary>Gives back what was computed along the way for a layer, which is several times its weight.</summary>
    /// <param name="elements">Of the weight.</param>
    public static void Collect(long elements)
    {
        if (elements >= VeryLarge)
        {
            GiveBack();
        }
        else if (elements >= Large)
        {
            GC.Collect();
        }
    }

    /// <summary>Collects everything, and gives its pages back to the system at once.</summary>
    public static void GiveBack() => GC.Collect(GC.MaxGeneration, GCCollectionMode.Aggressive, blocking: true, compacting: true);
}
