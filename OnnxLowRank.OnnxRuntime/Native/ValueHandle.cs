using System.Buffers;
using System.Runtime.InteropServices;

namespace Microsoft.ML.OnnxRuntime.Native;

/// <summary>Owns an OrtValue*, the pin on the managed memory it may lie on, and references to what its memory may belong to.</summary>
sealed unsafe class ValueHandle : SafeHandle
{
    readonly References _memoryOwners = new();
    MemoryHandle _pin;

    public ValueHandle(nint value, MemoryHandle pin = default) : base(0, ownsHandle: true)
    {
        SetHandle(value);
        _pin = pin;
    }

    public override bool IsInvalid => handle == 0;

    /// <summary>This value's memory may be another's: keep that one until this is released.</summary>
    public void SharesMemoryOf(SafeHandle other) => _memoryOwners.Add(other);

    protected override bool ReleaseHandle()
    {
        Ort.Api->ReleaseValue(handle);
        _pin.Dispose();
        _memoryOwners.Dispose();
        return true;
    }
}
