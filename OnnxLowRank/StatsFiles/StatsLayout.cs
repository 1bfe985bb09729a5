using OnnxLowRank.Calibration;

namespace OnnxLowRank.StatsFiles;

/// <summary>Where in a stats file things are, in bytes; every number in them takes eight.</summary>
sealed class StatsLayout
{
    public const int Version = 2;

    /// <summary>Magic, version, length of the header.</summary>
    public const int Prefix = 16;

    /// <summary>SHA-256 of all before it, at the end.</summary>
    public const int Checksum = 32;

    /// <summary>A header describes some thousand values in less.</summary>
    public const int LongestHeader = 64 << 20;

    const int Number = 8;

    readonly StatsHeader _header;
    readonly long[] _values, _rows;

    /// <exception cref="OverflowException">No file is that long.</exception>
    public StatsLayout(StatsHeader header, int headerBytes)
    {
        _header = header;
        Samples = Prefix + headerBytes;
        long next = checked(Samples + (long)header.Samples * Number);
        _values = [.. header.Values.Select(value => Take(ref next, checked(2 * (Sums(value) + Products(value) * value.Groups))))];
        _rows = [.. header.Rows.Select(_ => Take(ref next, RowMaxima.Classes))];
        Length = checked(next + Checksum);
    }

    public static ReadOnlySpan<byte> Magic => "OLRSTATS"u8;

    public long Length { get; }

    /// <summary>The samples' hashes.</summary>
    public long Samples { get; }

    /// <summary>Σv of a value; then comes what its rounding lost.</summary>
    public (long High, long Low) SumsOf(int value) => (_values[value], _values[value] + Sums(_header.Values[value]) * Number);

    /// <summary>Σv·vᵀ of a value's group; likewise.</summary>
    public (long High, long Low) ProductsOf(int value, int group)
    {
        var known = _header.Values[value];
        long start = _values[value] + (2 * Sums(known) + group * Products(known)) * Number;
        return (start, start + known.Groups * Products(known) * Number);
    }

    public long RowsOf(int rows) => _rows[rows];

    static long Sums(StatsValue value) => (long)value.Groups * value.Size;

    /// <summary>Of one group.</summary>
    static long Products(StatsValue value) => (long)value.Size * (value.Size + 1L) / 2;

    static long Take(ref long next, long numbers)
    {
        long start = next;
        next = checked(next + numbers * Number);
        return start;
    }
}
