using System.Buffers.Binary;
using System.Numerics.Tensors;
using System.Runtime.InteropServices;
using System.Security.Cryptography;
using System.Text.Json;
using Microsoft.Win32.SafeHandles;
using OnnxLowRank.Calibration;
using OnnxLowRank.Samples;
using OnnxLowRank.Storage;

namespace OnnxLowRank.StatsFiles;

/// <summary>A stats file, checked as a whole when it is opened and then read where something is wanted. Reading is safe from several threads.</summary>
sealed class StatsFile : IDisposable
{
    /// <summary>Numbers that are read at a time.</summary>
    const int Piece = 1 << 15;

    readonly SafeFileHandle _handle;
    readonly StatsLayout _layout;

    StatsFile(string path, SafeFileHandle handle, StatsHeader header, StatsLayout layout) => (Path, _handle, Header, _layout) = (path, handle, header, layout);

    public string Path { get; }

    public StatsHeader Header { get; }

    /// <exception cref="DataException">It cannot be read, is something else, cut short or damaged.</exception>
    public static StatsFile Open(string path)
    {
        if (path.Length == 0)
        {
            throw new DataException("an empty path names no file");
        }
        var handle = DataFile.Reading(path, () =>
        {
            RegularFile.Require(path);
            return File.OpenHandle(path);
        });
        try
        {
            return DataFile.Reading(path, () => Open(path, handle));
        }
        catch
        {
            handle.Dispose();
            throw;
        }
    }

    static StatsFile Open(string path, SafeFileHandle handle)
    {
        Span<byte> prefix = stackalloc byte[StatsLayout.Prefix];
        long length = RandomAccess.GetLength(handle);
        if (length < prefix.Length || !Filled(handle, prefix, 0) || !prefix.StartsWith(StatsLayout.Magic))
        {
            throw new DataException($"{path}: is not a stats file of onnx-lowrank calibrate");
        }
        int version = BinaryPrimitives.ReadInt32LittleEndian(prefix[8..]), headerBytes = BinaryPrimitives.ReadInt32LittleEndian(prefix[12..]);
        if (version != StatsLayout.Version)
        {
            throw new DataException($"{path}: is of format version {version}; this program reads version {StatsLayout.Version}");
        }
        if (headerBytes < 2 || headerBytes > Math.Min(StatsLayout.LongestHeader, length - prefix.Length))
        {
            throw Damaged(path, "its header does not fit in");
        }
        byte[] json = new byte[headerBytes];
        var header = Filled(handle, json, prefix.Length) ? Parse(path, json) : throw Damaged(path, "it ends too early");
        var layout = Layout(path, header, headerBytes);
        if (layout.Length != length)
        {
            throw Damaged(path, $"{length} bytes, where its header announces {layout.Length}");
        }
        RequireChecksum(path, handle, length - StatsLayout.Checksum);
        return new(path, handle, header, layout);
    }

    static StatsHeader Parse(string path, byte[] json)
    {
        try
        {
            var header = JsonSerializer.Deserialize(json, StatsContext.Default.StatsHeader);
            if (header == null || header.Values.Contains(null!) || header.Ranges.Contains(null!) || header.Rows.Contains(null!))
            {
                throw Damaged(path, "something is missing in its header");
            }
            return header.Defect is { } defect ? throw Damaged(path, defect) : header;
        }
        catch (JsonException e)
        {
            throw Damaged(path, $"its header: {e.Message}", e);
        }
    }

    static StatsLayout Layout(string path, StatsHeader header, int headerBytes)
    {
        try
        {
            return new(header, headerBytes);
        }
        catch (OverflowException e)
        {
            throw Damaged(path, "its header announces more than a file can hold", e);
        }
    }

    static void RequireChecksum(string path, SafeFileHandle handle, long end)
    {
        using var hash = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
        byte[] buffer = new byte[1 << 20];
        for (long done = 0; done < end;)
        {
            var part = buffer.AsSpan(0, (int)Math.Min(buffer.Length, end - done));
            if (!Filled(handle, part, done))
            {
                throw Damaged(path, "it ends too early");
            }
            hash.AppendData(part);
            done += part.Length;
        }
        byte[] stored = new byte[StatsLayout.Checksum];
        if (!Filled(handle, stored, end) || !hash.GetHashAndReset().AsSpan().SequenceEqual(stored))
        {
            throw Damaged(path, "its checksum is not that of its content");
        }
    }

    /// <summary>Hashes of the samples that are in, in the order they were run.</summary>
    public ulong[] Samples()
    {
        var samples = new ulong[Header.Samples];
        Read(MemoryMarshal.AsBytes(samples.AsSpan()), _layout.Samples);
        return samples;
    }

    /// <summary>Adds all of it to an empty tally of the same values.</summary>
    public void AddTo(Tally<WideMoments> tally)
    {
        for (int i = 0; i < tally.Moments.Length; i++)
        {
            var (tap, moments) = (tally.Probes.Taps[i], tally.Moments[i]);
            moments.Count += Header.Values[i].Count;
            AddSums(i, moments.SumsHigh.Span, moments.SumsLow.Span);
            int triangle = WideMoments.Triangle(tap.Size);
            for (int g = 0; g < tap.Groups; g++)
            {
                AddProducts(i, g, moments.ProductsHigh.Span.Slice(g * triangle, triangle), moments.ProductsLow.Span.Slice(g * triangle, triangle));
            }
        }
        for (int i = 0; i < tally.Lowest.Length; i++)
        {
            tally.Lowest[i] = Math.Min(tally.Lowest[i], Header.Ranges[i].Low);
            tally.Highest[i] = Math.Max(tally.Highest[i], Header.Ranges[i].High);
        }
        for (int i = 0; i < tally.Maxima.Length; i++)
        {
            AddMaxima(i, tally.Maxima[i]);
        }
    }

    /// <summary>Adds Σv of a value.</summary>
    /// <param name="value">Its place in the header.</param>
    public void AddSums(int value, Span<double> high, Span<double> low) => Add(_layout.SumsOf(value), high, low);

    /// <summary>Adds Σv·vᵀ of one of a value's groups: the lower triangle, or a part of it.</summary>
    /// <param name="value">Its place in the header.</param>
    /// <param name="first">Number of the first product.</param>
    public void AddProducts(int value, int group, Span<double> high, Span<double> low, int first = 0) => Add(_layout.ProductsOf(value, group), high, low, first);

    /// <summary>Adds a histogram.</summary>
    /// <param name="rows">Its place in the header.</param>
    public void AddMaxima(int rows, RowMaxima maxima)
    {
        long[] counts = new long[RowMaxima.Classes];
        Read(MemoryMarshal.AsBytes(counts.AsSpan()), _layout.RowsOf(rows));
        const long Most = 1L << 52; // far more than anybody runs, and sums of files stay whole numbers
        if (counts.AsSpan().ContainsAnyExceptInRange(0, Most))
        {
            throw Damaged(Path, $"a count of rows of '{Header.Rows[rows].Value}' is impossible");
        }
        maxima.Add(counts, Header.Rows[rows].Largest);
    }

    void Add((long High, long Low) start, Span<double> high, Span<double> low, int first = 0)
    {
        double[] numbers = new double[Math.Min(Piece, high.Length)];
        for (int done = 0; done < high.Length; done += numbers.Length)
        {
            var part = numbers.AsSpan(0, Math.Min(numbers.Length, high.Length - done));
            ReadFinite(part, start.High + 8L * (first + done));
            WideSums.Add(part, high.Slice(done, part.Length), low.Slice(done, part.Length));
            ReadFinite(part, start.Low + 8L * (first + done));
            var lost = low.Slice(done, part.Length);
            TensorPrimitives.Add<double>(lost, part, lost);
        }
    }

    void ReadFinite(Span<double> numbers, long start)
    {
        Read(MemoryMarshal.AsBytes(numbers), start);
        if (numbers.Length > 0 && !double.IsFinite(TensorPrimitives.MaxMagnitude<double>(numbers)))
        {
            throw Damaged(Path, "a sum is not finite");
        }
    }

    void Read(Span<byte> bytes, long start)
    {
        try
        {
            if (!Filled(_handle, bytes, start))
            {
                throw Damaged(Path, "it has become shorter");
            }
        }
        catch (IOException e)
        {
            throw new DataException($"{Path}: cannot be read: {e.Message}", e);
        }
    }

    static bool Filled(SafeFileHandle handle, Span<byte> bytes, long start)
    {
        for (int done = 0; done < bytes.Length;)
        {
            int read = RandomAccess.Read(handle, bytes[done..], start + done);
            if (read == 0)
            {
                return false;
            }
            done += read;
        }
        return true;
    }

    static DataException Damaged(string path, string how, Exception? cause = null) => new($"{path}: is damaged: {how}", cause);

    public void Dispose() => _handle.Dispose();
}
