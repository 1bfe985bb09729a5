namespace MakeDigits;

/// <summary>Pictures and what they show.</summary>
/// <param name="Pixels">Count·28·28 values k/255, picture after picture.</param>
/// <param name="Labels">The digits, 0..9.</param>
sealed record DigitSet(float[] Pixels, long[] Labels)
{
    /// <summary>Values per picture.</summary>
    public const int PictureSize = Painter.Side * Painter.Side;

    public int Count => Labels.Length;

    public ReadOnlySpan<float> Picture(int index) => Pixels.AsSpan(index * PictureSize, PictureSize);

    /// <summary>Draws a set. Each picture has its own random numbers, so neither the thread count nor <paramref name="count"/> changes it.</summary>
    /// <param name="seed">One per set; sets with different seeds share no picture.</param>
    public static DigitSet Draw(uint seed, int count)
    {
        var set = new DigitSet(new float[count * PictureSize], new long[count]);
        Parallel.For(0, count, i =>
        {
            var rng = new Rng(((ulong)seed << 32) | (uint)i);
            set.Labels[i] = Painter.Draw(rng, set.Pixels.AsSpan(i * PictureSize, PictureSize));
        });
        return set;
    }
}
