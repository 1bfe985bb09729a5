using System.Buffers;
using System.IO.MemoryMappedFiles;
using System.Runtime.InteropServices;
using Microsoft.Win32.SafeHandles;

namespace OnnxLowRank.Storage;

/// <summary>
/// A piece of a file as memory, read-only: the operating system reads it when it is used and forgets it when memory is short. The file stays mapped for
/// as long as anything refers to a piece of it.
/// </summary>
/// <remarks>Unlike a file that is read, one that shrinks while it is mapped ends the process: the system has nothing to show there.</remarks>
sealed unsafe class MappedMemory : MemoryManager<byte>
{
    readonly SafeMemoryMappedViewHandle _view; // unmaps the file when nobody refers to it any more
    readonly byte* _start;
    readonly int _length;

    MappedMemory(SafeMemoryMappedViewHandle view, long offset, int length)
    {
        _view = view;
        _start = (byte*)view.DangerousGetHandle() + offset;
        _length = length;
    }

    /// <summary>Maps a whole file; the result cuts pieces of it, (offset, length) in bytes, which the caller keeps within the file.</summary>
    /// <exception cref="IOException">It cannot be mapped.</exception>
    public static Func<long, int, ReadOnlyMemory<byte>> Map(FileStream file)
    {
        if (file.Length == 0)
        {
            return (_, _) => ReadOnlyMemory<byte>.Empty; // nothing can be mapped
        }
        using var mapped = MemoryMappedFile.CreateFromFile(file, null, 0, MemoryMappedFileAccess.Read, HandleInheritability.None, leaveOpen: true);
        var view = mapped.CreateViewAccessor(0, 0, MemoryMappedFileAccess.Read).SafeMemoryMappedViewHandle;
        return (offset, length) => new MappedMemory(view, offset, length).Memory;
    }

    /// <summary>Whether these bytes are in a file already.</summary>
    public static bool Holds(ReadOnlyMemory<byte> bytes) => MemoryMarshal.TryGetMemoryManager<byte, MappedMemory>(bytes, out _);

    public override Span<byte> GetSpan() => new(_start, _length);

    public override MemoryHandle Pin(int elementIndex = 0)
    {
        ArgumentOutOfRangeException.ThrowIfGreaterThan((uint)elementIndex, (uint)_length);
        return new(_start + elementIndex, pinnable: this);
    }

    public override void Unpin()
    {
    }

    protected override void Dispose(bool disposing)
    {
    }
}
