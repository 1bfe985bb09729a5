using System.Runtime.InteropServices;
using Microsoft.ML.OnnxRuntime.Native;
using static Microsoft.ML.OnnxRuntime.Native.Ort;

namespace Microsoft.ML.OnnxRuntime;

/// <summary>Options of the CUDA execution provider, by the names in its documentation: "device_id", "gpu_mem_limit" …</summary>
public unsafe class OrtCUDAProviderOptions : SafeHandle
{
    /// <summary>The defaults.</summary>
    /// <exception cref="OnnxRuntimeException">The library was built without CUDA, or its CUDA part does not load.</exception>
    public OrtCUDAProviderOptions() : base(0, ownsHandle: true)
    {
        fixed (nint* created = &handle)
        {
            Check(Api->CreateCUDAProviderOptions(created));
        }
    }

    /// <inheritdoc/>
    public override bool IsInvalid => handle == 0;

    /// <summary>Sets these; the others go back to their defaults.</summary>
    /// <exception cref="OnnxRuntimeException">A name is unknown, or a value is not one it can have.</exception>
    public void UpdateOptions(Dictionary<string, string> providerOptions)
    {
        ArgumentNullException.ThrowIfNull(providerOptions);
        using var options = new Borrowed(this);
        using var keys = new Utf8Array(providerOptions.Keys);
        using var values = new Utf8Array(providerOptions.Values);
        Check(Api->UpdateCUDAProviderOptions(options.Pointer, keys.Pointers, values.Pointers, keys.Count));
    }

    /// <summary>All options with their values, "name=value;name=value".</summary>
    public string GetOptions()
    {
        byte* text;
        using var options = new Borrowed(this);
        Check(Api->GetCUDAProviderOptionsAsString(options.Pointer, OrtAllocator.DefaultPointer, &text));
        return Utf8.Take(text);
    }

    /// <inheritdoc/>
    protected override bool ReleaseHandle()
    {
        Api->ReleaseCUDAProviderOptions(handle);
        return true;
    }
}
