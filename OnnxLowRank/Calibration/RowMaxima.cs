namespace OnnxLowRank.Calibration;

/// <summary>
/// How much the rows of a value differ in size: with one 8-bit scale for all, taken from the largest, a row whose maximum is k times
/// smaller is left with log2(256/k) bits. Kept as a histogram, because rows are as many as samples times positions.
/// </summary>
sealed class RowMaxima
{
    /// <summary>Bits of a float that a class ignores: those left tell 32 sizes per octave apart.</summary>
    const int IgnoredBits = 18;

    /// <summary>Classes of the histogram: one per pattern of the bits that are left.</summary>
    public const int Classes = 1 << (31 - IgnoredBits);

    readonly long[] _counts = new long[Classes];
    float _largest;
    long _rows;

    /// <param name="maxima">max|x| per row, ≥ 0. Rows of zeros lose nothing, so they do not count.</param>
    public void Add(ReadOnlySpan<float> maxima)
    {
        foreach (float maximum in maxima)
        {
            if (maximum > 0)
            {
                _counts[BitConverter.SingleToInt32Bits(maximum) >> IgnoredBits]++;
                _largest = Math.Max(_largest, maximum);
                _rows++;
            }
        }
    }

    /// <summary>Rows per class, by the bits of their maximum without the last <see cref="IgnoredBits"/>.</summary>
    public ReadOnlySpan<long> Counts => _counts;

    /// <summary>The largest row maximum; 0 where no row was seen.</summary>
    public float Largest => _largest;

    /// <summary>Adds what was seen elsewhere.</summary>
    /// <param name="counts">As <see cref="Counts"/>.</param>
    public void Add(ReadOnlySpan<long> counts, float largest)
    {
        for (int i = 0; i < _counts.Length; i++)
        {
            _counts[i] += counts[i];
            _rows += counts[i];
        }
        _largest = Math.Max(_largest, largest);
    }

    /// <summary>The largest row maximum in units of the median one, ≥ 1, to 3 %; 1 where no row was seen.</summary>
    public double Spread
    {
        get
        {
            long left = (_rows + 1) / 2;
            for (int i = 0; left > 0; i++)
            {
                left -= _counts[i];
                if (left <= 0)
                {
                    return _largest / BitConverter.Int32BitsToSingle(Math.Max(1, i << IgnoredBits));
                }
            }
            return 1;
        }
    }
}
