namespace OnnxLowRank.Calibration;

/// <summary>Takes the sums of one run after another.</summary>
interface IMomentSums
{
    /// <summary>Adds the sums of one run.</summary>
    /// <param name="count">Vectors in the run.</param>
    /// <param name="mean">c, (groups·size).</param>
    /// <param name="products">Σ(v − c)·(v − c)ᵀ, (groups, size, size), or what <see cref="SketchedMoments"/> asks of it.</param>
    void Add(double count, ReadOnlySpan<float> mean, ReadOnlySpan<float> products);
}
