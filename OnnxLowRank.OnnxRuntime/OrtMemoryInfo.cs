using System.Runtime.InteropServices;
using Microsoft.ML.OnnxRuntime.Native;
using static Microsoft.ML.OnnxRuntime.Native.Ort;

namespace Microsoft.ML.OnnxRuntime;

/// <summary>Says where memory is: which device, and how it was allocated. Owns no memory.</summary>
public unsafe class OrtMemoryInfo : SafeHandle
{
    /// <summary>Name of CPU memory, zero-terminated.</summary>
    public static readonly byte[] allocatorCPU = Utf8.Bytes("Cpu");

    /// <summary>Name of CUDA device memory, zero-terminated.</summary>
    public static readonly byte[] allocatorCUDA = Utf8.Bytes("Cuda");

    /// <summary>Name of CPU memory that CUDA copies from directly, zero-terminated.</summary>
    public static readonly byte[] allocatorCUDA_PINNED = Utf8.Bytes("CudaPinned");

    static OrtMemoryInfo? s_default;

    readonly SafeHandle? _owner; // null if this owns the native object itself

    /// <summary>A place by name.</summary>
    /// <param name="utf8AllocatorName">One of the names above: UTF-8, zero-terminated.</param>
    /// <exception cref="OnnxRuntimeException">The name is unknown.</exception>
    public OrtMemoryInfo(byte[] utf8AllocatorName, OrtAllocatorType allocatorType, int deviceId, OrtMemType memoryType)
        : base(0, ownsHandle: true)
    {
        if (utf8AllocatorName is not [.., 0])
        {
            throw new ArgumentException("the name must end in a zero byte", nameof(utf8AllocatorName));
        }
        fixed (byte* name = utf8AllocatorName)
        fixed (nint* created = &handle)
        {
            Check(Api->CreateMemoryInfo(name, allocatorType, deviceId, memoryType, created));
        }
    }

    /// <summary>A place by name: "Cpu", "Cuda", "CudaPinned" …</summary>
    /// <exception cref="OnnxRuntimeException">The name is unknown.</exception>
    public OrtMemoryInfo(string allocatorName, OrtAllocatorType allocatorType, int deviceId, OrtMemType memoryType)
        : this(Utf8.Bytes(allocatorName), allocatorType, deviceId, memoryType)
    {
    }

    /// <summary>Takes over a native object or, with an owner, looks at one that belongs to the owner, which is kept.</summary>
    internal OrtMemoryInfo(nint info, SafeHandle? owner = null) : base(0, ownsHandle: true)
    {
        if (owner is not null)
        {
            Borrowed.AddRef(owner);
        }
        _owner = owner;
        SetHandle(info);
    }

    /// <summary>Ordinary CPU memory. Shared: not for the caller to dispose.</summary>
    public static OrtMemoryInfo DefaultInstance => s_default is { IsClosed: false } known ? known : s_default = CreateCpu();

    /// <inheritdoc/>
    public override bool IsInvalid => handle == 0;

    /// <summary>Name of the place.</summary>
    public string Name
    {
        get
        {
            byte* name;
            using var info = new Borrowed(this);
            Check(Api->MemoryInfoGetName(info.Pointer, &name));
            return Utf8.Read(name);
        }
    }

    /// <summary>Number of the device.</summary>
    public int Id
    {
        get
        {
            int id;
            using var info = new Borrowed(this);
            Check(Api->MemoryInfoGetId(info.Pointer, &id));
            return id;
        }
    }

    /// <summary>What the memory is to its execution provider.</summary>
    public OrtMemType GetMemoryType()
    {
        OrtMemType type;
        using var info = new Borrowed(this);
        Check(Api->MemoryInfoGetMemType(info.Pointer, &type));
        return type;
    }

    /// <summary>How it was allocated.</summary>
    public OrtAllocatorType GetAllocatorType()
    {
        OrtAllocatorType type;
        using var info = new Borrowed(this);
        Check(Api->MemoryInfoGetType(info.Pointer, &type));
        return type;
    }

    /// <summary>Whether both mean the same place.</summary>
    public bool Equals(OrtMemoryInfo? other)
    {
        if (other is null || ReferenceEquals(this, other))
        {
            return other is not null;
        }
        int difference;
        using var left = new Borrowed(this);
        using var right = new Borrowed(other);
        Check(Api->CompareMemoryInfo(left.Pointer, right.Pointer, &difference));
        return difference == 0;
    }

    /// <inheritdoc/>
    public override bool Equals(object? obj) => Equals(obj as OrtMemoryInfo);

    /// <inheritdoc/>
    public override int GetHashCode() => HashCode.Combine(Name, Id);

    /// <inheritdoc/>
    protected override bool ReleaseHandle()
    {
        if (_owner is null)
        {
            Api->ReleaseMemoryInfo(handle);
        }
        else
        {
            _owner.DangerousRelease();
        }
        return true;
    }

    static OrtMemoryInfo CreateCpu()
    {
        nint info;
        Check(Api->CreateCpuMemoryInfo(OrtAllocatorType.DeviceAllocator, OrtMemType.Cpu, &info));
        return new(info);
    }
}
