using System.Runtime.InteropServices;
using Microsoft.ML.OnnxRuntime.Native;
using static Microsoft.ML.OnnxRuntime.Native.Ort;

namespace Microsoft.ML.OnnxRuntime;

/// <summary>
/// Threads of the environment, which sessions share that have none of their own. The environment copies this, so it can be disposed as soon as
/// that exists.
/// </summary>
public unsafe class OrtThreadingOptions : SafeHandle
{
    /// <summary>The defaults: as many threads as ONNX Runtime chooses.</summary>
    public OrtThreadingOptions() : base(0, ownsHandle: true)
    {
        fixed (nint* created = &handle)
        {
            Check(Api->CreateThreadingOptions(created));
        }
    }

    /// <inheritdoc/>
    public override bool IsInvalid => handle == 0;

    /// <summary>Nodes that run at once in <see cref="ExecutionMode.ORT_PARALLEL"/>; 0 for one per core.</summary>
    public int GlobalInterOpNumThreads
    {
        set
        {
            using var options = new Borrowed(this);
            Check(Api->SetGlobalInterOpNumThreads(options.Pointer, value));
        }
    }

    /// <summary>Threads that share one node's work, the calling one included; 0 for one per core.</summary>
    public int GlobalIntraOpNumThreads
    {
        set
        {
            using var options = new Borrowed(this);
            Check(Api->SetGlobalIntraOpNumThreads(options.Pointer, value));
        }
    }

    /// <summary>Whether idle threads wait for work without sleeping, for a while.</summary>
    public bool GlobalSpinControl
    {
        set
        {
            using var options = new Borrowed(this);
            Check(Api->SetGlobalSpinControl(options.Pointer, value ? 1 : 0));
        }
    }

    /// <summary>Makes the threads take numbers that are too small for full precision for zero.</summary>
    public void SetGlobalDenormalAsZero()
    {
        using var options = new Borrowed(this);
        Check(Api->SetGlobalDenormalAsZero(options.Pointer));
    }

    /// <inheritdoc/>
    protected override bool ReleaseHandle()
    {
        Api->ReleaseThreadingOptions(handle);
        return true;
    }
}
