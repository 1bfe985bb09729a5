using System.Runtime.InteropServices;

namespace OnnxLowRank.Storage;

/// <summary>
/// Where large arrays wait until they are asked for again: as they are, or, where all of them would take too much memory, in files that the operating
/// system maps into it, and whose pages it writes back and forgets as it needs to.
/// </summary>
sealed class Spill
{
    /// <summary>Bytes from which on an array is worth a file.</summary>
    const int SmallestSpilled = 1 << 20;

    /// <summary>Bytes put aside from which on what was computed on the way, several times as much, is given back.</summary>
    const long CollectedEvery = 64 << 20;

    readonly string? _beside;
    long _sinceCollection;

    Spill(string? beside) => _beside = beside;

    /// <summary>Keeps everything in memory.</summary>
    public static Spill None { get; } = new(null);

    /// <summary>Keeps large arrays on disk.</summary>
    /// <param name="beside">A file whose folder has room: hidden ones are made there, and each disappears with the last reference to its array.</param>
    public static Spill Beside(string beside) => new(Path.GetFullPath(beside));

    /// <summary>Whether large arrays go to disk.</summary>
    public bool IsToDisk => _beside != null;

    /// <summary>The same numbers, wherever they are.</summary>
    /// <exception cref="IOException">The disk is full.</exception>
    public ReadOnlyMemory<byte> Keep(ReadOnlyMemory<byte> bytes) =>
        _beside == null || bytes.Length < SmallestSpilled || MappedMemory.Holds(bytes) ? bytes : OnDisk(bytes.Span, _beside);

    /// <inheritdoc cref="Keep(ReadOnlyMemory{byte})"/>
    public Kept Keep(float[] values) =>
        _beside == null || values.Length * (long)sizeof(float) < SmallestSpilled ? new(values) : new(OnDisk(MemoryMarshal.AsBytes<float>(values), _beside));

    /// <summary>Room for numbers that change; zeros at first.</summary>
    /// <exception cref="IOException">The disk is full.</exception>
    public Memory<double> Room(int count) => _beside == null || count * (long)sizeof(double) < SmallestSpilled
        ? new double[count]
        : InFile(_beside, count * (long)sizeof(double), [], (file, _) =>
        {
            byte[] zeros = new byte[SmallestSpilled];
            for (long left = count * (long)sizeof(double); left > 0; left -= zeros.Length)
            {
                file.Write(zeros, 0, (int)Math.Min(left, zeros.Length));
            }
            return new MappedNumbers(file, count).Memory;
        });

    ReadOnlyMemory<byte> OnDisk(ReadOnlySpan<byte> bytes, string beside)
    {
        _sinceCollection += bytes.Length;
        if (_sinceCollection >= CollectedEvery)
        {
            _sinceCollection = 0;
            Garbage.GiveBack();
        }
        return InFile(beside, bytes.Length, bytes, (file, bytes) =>
        {
            file.Write(bytes);
            return MappedMemory.Map(file)(0, bytes.Length);
        });
    }

    /// <summary>Makes a file that nobody sees and that goes with the last reference to what is mapped of it.</summary>
    static T InFile<T>(string beside, long length, ReadOnlySpan<byte> bytes, Func<FileStream, ReadOnlySpan<byte>, T> use)
    {
        string path = Path.Combine(Path.GetDirectoryName(beside)!, $".{Path.GetFileName(beside)}.{Path.GetRandomFileName()}.tmp");
        try
        {
            using var file = new FileStream(path, new FileStreamOptions
            {
                Mode = FileMode.CreateNew,
                Access = FileAccess.ReadWrite,
                Options = FileOptions.DeleteOnClose,
                PreallocationSize = length,
                BufferSize = 0,
            });
            return use(file, bytes);
        }
        catch (IOException e)
        {
            throw new IOException($"{path}: numbers cannot be put aside on disk: {e.Message}", e);
        }
    }
}
