namespace OnnxLowRank.Calibration;

/// <summary>Which moments of a value are measured: those of all channels, or of some random mixtures of them where the former would take more than a limit.</summary>
static class MomentChoice
{
    const int NarrowestSketch = 32;

    /// <summary>Makes the one or the other.</summary>
    /// <param name="limit">Bytes.</param>
    /// <param name="sketched">Is given the number of mixtures.</param>
    public static T Of<T>(Tap tap, long limit, Func<T> full, Func<int, T> sketched) => SketchWidth(tap, limit) is > 0 and var width ? sketched(width) : full();

    /// <summary>Bytes that what is measured takes, with what one run adds.</summary>
    public static long Bytes(Tap tap, long limit) => Of(tap, limit, () => SummedMoments.Bytes(tap.Groups, tap.Size), width => SketchedMoments.Bytes(tap.Size, width));

    /// <summary>
    /// Number of mixtures, 0 where moments of all channels stay within the limit. Half as many as there are channels tell all that is worth a rank. Values whose channels do
    /// not come last have few of them.
    /// </summary>
    public static int SketchWidth(Tap tap, long limit) => tap.Groups > 1 || tap.Axis < tap.Rank - 1 || SummedMoments.Bytes(tap.Groups, tap.Size) <= limit
        ? 0 : (int)Math.Clamp(limit / SketchedMoments.Bytes(tap.Size, 1), Math.Min(NarrowestSketch, tap.Size), Math.Max(NarrowestSketch, tap.Size / 2));
}
