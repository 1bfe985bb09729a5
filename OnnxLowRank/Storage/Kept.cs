using System.Runtime.InteropServices;

namespace OnnxLowRank.Storage;

/// <summary>Numbers that were put aside: an array, or a piece of a file.</summary>
readonly struct Kept
{
    readonly float[]? _values;
    readonly ReadOnlyMemory<byte> _bytes;

    public Kept(float[] values) => _values = values;

    public Kept(ReadOnlyMemory<byte> bytes) => _bytes = bytes;

    public int Length => _values?.Length ?? _bytes.Length / sizeof(float);

    public ReadOnlySpan<float> Span => _values ?? MemoryMarshal.Cast<byte, float>(_bytes.Span);
}
