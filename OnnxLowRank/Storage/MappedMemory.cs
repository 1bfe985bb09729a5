using System.Buffers;
using System.IO.MemoryMappedFiles;
using Microsoft.Win32.SafeHandles;

namespace OnnxLowRank.Storage;

/// <summary>
/// A piece of a file as memory: the operating system reads it when it is used, writes changed pages back, and forgets them when memory is short. The file
/// stays mapped for as long as anything refers to a piece of it.
/// </summary>
/// <remarks>
/// Unlike a file that is read, one that shrinks while it is mapped ends the process, and so does a changed page for which the disk has no room: the
/// system has nothing to show there.
/// </remarks>
sealed unsafe class MappedMemory<T> : MemoryManager<T> where T : unmanaged
{
    readonly SafeMemoryMappedViewHandle _view; // unmaps the file when nobody refers to it any more
    readonly T* _start;
    readonly int _length;

    MappedMemory(SafeMemoryMappedViewHandle view, long offset, int length)
    {
        _view = view;
        _start = (T*)((byte*)view.DangerousGetHandle() + offset);
        _length = length;
    }

    /// <summary>Maps a whole file; the result cuts pieces of it, (offset in bytes, length in numbers), which the caller keeps within the file.</summary>
    /// <param name="access">What may be done with the pieces: what is written into read-only ones ends the process.</param>
    /// <exception cref="IOException">It cannot be mapped.</exception>
    public static Func<long, int, Memory<T>> Map(FileStream file, MemoryMappedFileAccess access)
    {
        if (file.Length == 0)
        {
            return (_, _) => Memory<T>.Empty; // nothing can be mapped
        }
        using var mapped = MemoryMappedFile.CreateFromFile(file, null, 0, access, HandleInheritability.None, leaveOpen: true);
        var view = mapped.CreateViewAccessor(0, 0, access).SafeMemoryMappedViewHandle;
        return (offset, length) => new MappedMemory<T>(view, offset, length).Memory;
    }

    public override Span<T> GetSpan() => new(_start, _length);

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
