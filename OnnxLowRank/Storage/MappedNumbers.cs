using System.Buffers;
using System.IO.MemoryMappedFiles;
using Microsoft.Win32.SafeHandles;

namespace OnnxLowRank.Storage;

/// <summary>Numbers in a file, as memory that is read and written: the operating system writes pages back and forgets them as it needs to.</summary>
sealed unsafe class MappedNumbers : MemoryManager<double>
{
    readonly SafeMemoryMappedViewHandle _view; // unmaps the file when nobody refers to it any more
    readonly double* _start;
    readonly int _length;

    /// <param name="file">Of exactly as many numbers, on disk: a page that finds no room there when it is written back ends the process.</param>
    /// <exception cref="IOException">It cannot be mapped.</exception>
    public MappedNumbers(FileStream file, int length)
    {
        using var mapped = MemoryMappedFile.CreateFromFile(file, null, 0, MemoryMappedFileAccess.ReadWrite, HandleInheritability.None, leaveOpen: true);
        _view = mapped.CreateViewAccessor(0, 0, MemoryMappedFileAccess.ReadWrite).SafeMemoryMappedViewHandle;
        _start = (double*)_view.DangerousGetHandle();
        _length = length;
    }

    public override Span<double> GetSpan() => new(_start, _length);

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
