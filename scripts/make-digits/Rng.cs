namespace MakeDigits;

/// <summary>
/// SplitMix64 (Steele, Lea and Flood, OOPSLA 2014): the same numbers on every machine and .NET version,
/// which System.Random does not promise.
/// </summary>
sealed class Rng(ulong seed)
{
    ulong _state = seed;

    /// <summary>64 random bits.</summary>
    public ulong Next()
    {
        _state += 0x9E3779B97F4A7C15;
        ulong z = _state;
        z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9;
        z = (z ^ (z >> 27)) * 0x94D049BB133111EB;
        return z ^ (z >> 31);
    }

    /// <summary>Uniform in [0, <paramref name="count"/>).</summary>
    public int Below(int count) => (int)(((Next() >> 32) * (ulong)count) >> 32);

    /// <summary>Uniform in [<paramref name="low"/>, <paramref name="high"/>).</summary>
    public double Uniform(double low, double high) => low + (high - low) * ((Next() >> 11) * (1.0 / (1L << 53)));

    /// <summary>True with the given probability.</summary>
    public bool Chance(double probability) => Uniform(0, 1) < probability;

    /// <summary>Bell-shaped, mean 0, variance 1, never beyond ±3: the sum of three uniforms in ±1.</summary>
    public double Bell() => Uniform(-1, 1) + Uniform(-1, 1) + Uniform(-1, 1);
}
