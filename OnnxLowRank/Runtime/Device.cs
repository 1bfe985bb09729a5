using System.Globalization;
using System.Text.RegularExpressions;
using Microsoft.ML.OnnxRuntime;

namespace OnnxLowRank.Runtime;

/// <summary>A device or library that was asked for and cannot be had. The message says which, in one line.</summary>
public sealed class DeviceException : Exception
{
    /// <summary>Creates an exception without a message; prefer one that says what is missing.</summary>
    public DeviceException()
    {
    }

    /// <summary>Creates an exception that says what is missing.</summary>
    public DeviceException(string message) : base(message)
    {
    }

    /// <summary>Creates an exception that says what is missing, and carries its cause.</summary>
    public DeviceException(string message, Exception innerException) : base(message, innerException)
    {
    }
}

/// <summary>Where models run.</summary>
/// <param name="CudaId">The CUDA device's number, or null for the CPU.</param>
/// <param name="Note">What a user should know: why <c>auto</c> runs on the CPU; empty otherwise.</param>
sealed partial record Device(int? CudaId, string Note)
{
    public static Device Cpu { get; } = new(null, "");

    public string Name => CudaId == null ? "cpu" : $"cuda:{CudaId}";

    /// <summary>Resolves what the user asked for, and tries it: a CUDA device is only accepted once a session ran on it.</summary>
    /// <param name="wanted"><c>auto</c>, <c>cpu</c>, <c>cuda</c> or <c>cuda:N</c>.</param>
    /// <param name="threads">That sessions will want.</param>
    /// <exception cref="OptionException">Not one of these.</exception>
    /// <exception cref="DeviceException">CUDA was asked for and cannot be had, or ONNX Runtime itself is missing.</exception>
    public static Device Open(string wanted, int threads)
    {
        Telemetry.TurnOff();
        try
        {
            SharedThreads.Make(threads);
            OrtEnv.Instance().EnvLogLevel = OrtLoggingLevel.ORT_LOGGING_LEVEL_FATAL;
        }
        catch (Exception e) when (e is DllNotFoundException or TypeInitializationException or EntryPointNotFoundException or BadImageFormatException)
        {
            throw new DeviceException($"ONNX Runtime cannot be loaded: {WithoutAdvice(e.GetBaseException().Message)}", e);
        }
        if (wanted == "cpu")
        {
            return Cpu;
        }
        int id = 0;
        bool isCuda = wanted == "cuda" || (wanted.StartsWith("cuda:", StringComparison.Ordinal)
            && int.TryParse(wanted.AsSpan(5), NumberStyles.None, CultureInfo.InvariantCulture, out id));
        if (!isCuda && wanted != "auto")
        {
            throw new OptionException($"device '{wanted}' is not auto, cpu, cuda or cuda:N");
        }
        string problem = TryCuda(id);
        if (problem.Length == 0)
        {
            return new(id, "");
        }
        return isCuda
            ? throw new DeviceException($"device {wanted}: {problem}")
            : Cpu with { Note = $"runs on the CPU: {problem}" };
    }

    /// <summary>Runs a one-node model on the device; returns what went wrong, or nothing.</summary>
    static string TryCuda(int id)
    {
        if (!OrtEnv.Instance().GetAvailableProviders().Contains("CUDAExecutionProvider"))
        {
            return "this ONNX Runtime library was built without CUDA";
        }
        try
        {
            using var session = ModelSession.Open(TrialModel.Bytes(), new Device(id, ""), threads: 1);
            return "";
        }
        catch (ModelException e)
        {
            return "CUDA: " + (e.InnerException is OnnxRuntimeException cause ? OrtMessage.Of(cause) : e.Message);
        }
    }

    /// <summary>.NET's advice on how to debug the loading of libraries makes up most of its message.</summary>
    static string WithoutAdvice(string message) => LoadingAdvice().Replace(message.ReplaceLineEndings(" ").Trim(), " ");

    [GeneratedRegex(@"\s*In order to help diagnose loading problems,.*?environment variable:\s*")]
    private static partial Regex LoadingAdvice();

    internal void AddTo(SessionOptions options)
    {
        if (CudaId is { } id)
        {
            options.AppendExecutionProvider_CUDA(id);
        }
    }
}
