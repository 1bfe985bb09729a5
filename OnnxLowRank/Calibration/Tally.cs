namespace OnnxLowRank.Calibration;

/// <summary>What runs have told so far of what was asked.</summary>
sealed class Tally<T> where T : IMomentSums
{
    /// <param name="moments">Makes the sums of a tap.</param>
    public Tally(Probes probes, Func<Tap, T> moments)
    {
        Probes = probes;
        Moments = Array.ConvertAll(probes.Taps, tap => moments(tap));
        Lowest = new double[probes.Ranged.Length];
        Highest = new double[probes.Ranged.Length];
        Maxima = Array.ConvertAll(probes.Rows, _ => new RowMaxima());
    }

    /// <summary>Of some taps alone.</summary>
    Tally(Tally<T> all, bool[] isAsked)
    {
        Probes = all.Probes with { Taps = [.. all.Probes.Taps.Where((_, i) => isAsked[i])] };
        Moments = [.. all.Moments.Where((_, i) => isAsked[i])];
        (Lowest, Highest, Maxima) = (all.Lowest, all.Highest, all.Maxima);
    }

    public Probes Probes { get; }

    /// <summary>Per <see cref="Probes.Taps"/>.</summary>
    public T[] Moments { get; }

    /// <summary>Per <see cref="Probes.Ranged"/>, the smallest element; 0 where none is below.</summary>
    public double[] Lowest { get; }

    /// <summary>Per <see cref="Probes.Ranged"/>, the largest element; 0 where none is above.</summary>
    public double[] Highest { get; }

    /// <summary>Per <see cref="Probes.Rows"/>.</summary>
    public RowMaxima[] Maxima { get; }

    /// <summary>The same sums, of fewer taps: what runs add to them is in this tally, too.</summary>
    public Tally<T> Of(Func<Tap, T, bool> isAsked) => new(this, [.. Probes.Taps.Zip(Moments, isAsked)]);
}
