using System.IO.MemoryMappedFiles;
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
        _beside == null || bytes.Length < SmallestSpilled || IsInFile(bytes) ? bytes : OnDisk(bytes.Span, _beside);

    /// <inheritdoc cref="Keep(ReadOnlyMemory{byte})"/>
    public Kept Keep(float[] values) =>
        _beside == null || values.Length * (long)sizeof(float) < SmallestSpilled ? new(values) : new(OnDisk(MemoryMarshal.AsBytes<float>(values), _beside));

    /// <summary>Room for numbers that change; zeros at first.</summary>
    /// <exception cref="IOException">The disk is full.</exception>
    public Memory<double> Room(int count)
    {
        long bytes = count * (long)sizeof(double);
        if (_beside == null || bytes < SmallestSpilled)
        {
            return new double[count];
        }
        return InFile(_beside, bytes, [], (file, _) =>
        {
            byte[] zeros = new byte[SmallestSpilled];
            for (long left = bytes; left > 0; left -= zeros.Length)
            {
                file.Write(zeros, 0, (int)Math.Min(left, zeros.Length)); // a page without room on disk must not be found when it is written back
            }
            return MappedMemory<double>.Map(file, MemoryMappedFileAccess.ReadWrite)(0, count);
        });
    }

    /// <summary>Whether these bytes need no other file.</summary>
    static bool IsInFile(ReadOnlyMemory<byte> bytes) => MemoryMarshal.TryGetMemoryManager<byte, MappedMemory<byte>>(bytes, out _);

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
            return MappedMemory<byte>.Map(file, MemoryMappedFileAccess.Read)(0, bytes.Length);
        });
    }

    /// <summary>Makes a file that nobody sees and that goes with the last reference to what is mapped of it.</summary>
    /// <param name="bytes">Handed on.</param>
    static Memory<T> InFile<T>(string beside, long length, ReadOnlySpan<byte> bytes, Func<FileStream, ReadOnlySpan<byte>, Memory<T>> use)
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
