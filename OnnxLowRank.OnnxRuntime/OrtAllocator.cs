using System.Runtime.InteropServices;
using Microsoft.ML.OnnxRuntime.Native;
using static Microsoft.ML.OnnxRuntime.Native.Ort;

namespace Microsoft.ML.OnnxRuntime;

/// <summary>Where a value's memory comes from.</summary>
public unsafe class OrtAllocator : SafeHandle
{
    static OrtAllocator? s_default;

    readonly References? _session; // null for the default allocator, which is nobody's

    OrtAllocator(nint allocator) : base(0, ownsHandle: true) => SetHandle(allocator);

    /// <summary>A session's allocator for a place that one of its execution providers uses. Keeps the session.</summary>
    /// <exception cref="OnnxRuntimeException">No provider of the session has memory there.</exception>
    public OrtAllocator(InferenceSession session, OrtMemoryInfo memInfo) : base(0, ownsHandle: true)
    {
        ArgumentNullException.ThrowIfNull(session);
        using var info = new Borrowed(memInfo);
        _session = References.To([session.Handle]);
        try
        {
            fixed (nint* created = &handle)
            {
                Check(Api->CreateAllocator(session.Handle.DangerousGetHandle(), info.Pointer, created));
            }
        }
        catch
        {
            _session.Dispose(); // an invalid handle is never released
            throw;
        }
    }

    /// <summary>Ordinary CPU memory. Shared: not for the caller to dispose.</summary>
    public static OrtAllocator DefaultInstance => s_default is { IsClosed: false } known ? known : s_default = new(DefaultPointer);

    /// <inheritdoc/>
    public override bool IsInvalid => handle == 0;

    /// <summary>Where its memory is.</summary>
    public OrtMemoryInfo Info
    {
        get
        {
            nint info;
            using var allocator = new Borrowed(this);
            Check(Api->AllocatorGetInfo(allocator.Pointer, &info));
            return new(info, owner: this);
        }
    }

    /// <summary>The default allocator as the library knows it; there is one for the process, never released.</summary>
    internal static nint DefaultPointer
    {
        get
        {
            nint allocator;
            Check(Api->GetAllocatorWithDefaultOptions(&allocator));
            return allocator;
        }
    }

    /// <summary>Frees what the library allocated with the default allocator; null is nothing.</summary>
    internal static void FreeDefault(void* memory)
    {
        if (memory != null)
        {
            Check(Api->AllocatorFree(DefaultPointer, memory));
        }
    }

    /// <inheritdoc/>
    protected override bool ReleaseHandle()
    {
        if (_session is not null)
        {
            Api->ReleaseAllocator(handle);
            _session.Dispose();
        }
        return true;
    }
}
