namespace OnnxLowRank.Calibration;

/// <summary>What is known of vectors that were seen: <see cref="Moments"/>, or <see cref="SketchedMoments"/> of wide ones.</summary>
interface IMoments
{
    /// <summary>Vectors seen.</summary>
    double Count { get; }

    /// <summary>E[v], (groups·size).</summary>
    double[] Mean();
}
