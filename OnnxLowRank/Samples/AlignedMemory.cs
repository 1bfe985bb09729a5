using System.Buffers;
using System.Runtime.InteropServices;

namespace OnnxLowRank.Samples;

/// <summary>
/// Uninitialized memory that begins at a multiple of a cache line, as all of ONNX Runtime's own does: where vectors begin decides in which order its kernels
/// sum, and the last bits of what they answer.
/// </summary>
sealed unsafe class AlignedMemory(int length) : MemoryManager<byte>
{
    const int Alignment = 64;

    nint _start = (nint)NativeMemory.AlignedAlloc((nuint)Math.Max(1, length), Alignment);

    public override Span<byte> GetSpan() => new((void*)_start, length);

    public override MemoryHandle Pin(int elementIndex = 0)
    {
        ArgumentOutOfRangeException.ThrowIfGreaterThan((uint)elementIndex, (uint)length);
        return new((byte*)_start + elementIndex, pinnable: this);
    }

    public override void Unpin()
    {
    }

    protected override void Dispose(bool disposing) => NativeMemory.AlignedFree((void*)Interlocked.Exchange(ref _start, 0));
}
