using System.Globalization;
using Microsoft.ML.OnnxRuntime.Native;
using static Microsoft.ML.OnnxRuntime.Native.Ort;

namespace Microsoft.ML.OnnxRuntime;

public unsafe partial class SessionOptions
{
    /// <summary>
    /// Runs what no earlier provider took on the CPU. It always comes last, asked for or not, so all this decides is whether its
    /// memory comes from a pool.
    /// </summary>
    /// <param name="useArena">0 for no pool.</param>
    public void AppendExecutionProvider_CPU(int useArena = 1) => EnableCpuMemArena = useArena != 0;

    /// <summary>Runs what it can on a CUDA device.</summary>
    /// <exception cref="OnnxRuntimeException">The library was built without CUDA, or what it needs for it is not installed.</exception>
    public void AppendExecutionProvider_CUDA(int deviceId = 0)
    {
        using var options = new OrtCUDAProviderOptions();
        options.UpdateOptions(new() { ["device_id"] = deviceId.ToString(CultureInfo.InvariantCulture) });
        AppendExecutionProvider_CUDA(options);
    }

    /// <summary>Runs what it can on a CUDA device, with options.</summary>
    /// <exception cref="OnnxRuntimeException">What the provider needs is not installed.</exception>
    public void AppendExecutionProvider_CUDA(OrtCUDAProviderOptions cudaProviderOptions)
    {
        using var options = new Borrowed(this);
        using var cuda = new Borrowed(cudaProviderOptions);
        Check(Api->SessionOptionsAppendExecutionProvider_CUDA_V2(options.Pointer, cuda.Pointer));
    }
}
