namespace OnnxLowRank.Calibration;

/// <summary>What runs have told so far of what was asked.</summary>
/// <param name="moments">Makes the sums of a tap.</param>
sealed class Tally<T>(Probes probes, Func<Tap, T> moments) where T : IMomentSums
{
    public Probes Probes => probes;

    /// <summary>Per <see cref="Probes.Taps"/>.</summary>
    public T[] Moments { get; } = Array.ConvertAll(probes.Taps, tap => moments(tap));

    /// <summary>Per <see cref="Probes.Ranged"/>, the smallest element; 0 where none is below.</summary>
    public double[] Lowest { get; } = new double[probes.Ranged.Length];

    /// <summary>Per <see cref="Probes.Ranged"/>, the largest element; 0 where none is above.</summary>
    public double[] Highest { get; } = new double[probes.Ranged.Length];

    /// <summary>Per <see cref="Probes.Rows"/>.</summary>
    public RowMaxima[] Maxima { get; } = Array.ConvertAll(probes.Rows, _ => new RowMaxima());
}
