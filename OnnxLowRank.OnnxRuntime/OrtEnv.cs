using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using Microsoft.ML.OnnxRuntime.Native;
using static Microsoft.ML.OnnxRuntime.Native.Ort;

namespace Microsoft.ML.OnnxRuntime;

/// <summary>The one environment of the process: logging, and what sessions share. Made when it is first needed.</summary>
public sealed unsafe class OrtEnv : SafeHandle
{
    static readonly Lock s_creating = new();
    static OrtEnv? s_instance;
    static DOrtLoggingFunction? s_logger;

    OrtLoggingLevel _level;
    bool _disposed; // IsClosed only tells when the last session is gone, too

    OrtEnv(EnvironmentCreationOptions options) : base(0, ownsHandle: true)
    {
        _level = options.logLevel ?? OrtLoggingLevel.ORT_LOGGING_LEVEL_WARNING;
        fixed (byte* id = Utf8.Bytes(string.IsNullOrEmpty(options.logId) ? "OnnxRuntime" : options.logId))
        fixed (nint* created = &handle)
        {
            using var threads = Borrowed.OrNull(options.threadOptions);
            s_logger = options.loggingFunction ?? s_logger;
            void* param = (void*)(options.loggingParam ?? 0);
            Check((options.threadOptions, options.loggingFunction) switch
            {
                (null, null) => Api->CreateEnv(_level, id, created),
                (null, _) => Api->CreateEnvWithCustomLogger(&Log, param, _level, id, created),
                (_, null) => Api->CreateEnvWithGlobalThreadPools(_level, id, threads.Pointer, created),
                _ => Api->CreateEnvWithCustomLoggerAndGlobalThreadPools(&Log, param, _level, id, threads.Pointer, created),
            });
        }
    }

    /// <summary>The environment, made with the defaults if there is none yet.</summary>
    /// <exception cref="DllNotFoundException">There is no usable native library; the message says where it was looked for.</exception>
    public static OrtEnv Instance()
    {
        lock (s_creating)
        {
            return IsCreated ? s_instance! : s_instance = new(default);
        }
    }

    /// <summary>Makes the environment.</summary>
    /// <exception cref="OnnxRuntimeException">There is one already, so the options would have no effect.</exception>
    public static OrtEnv CreateInstanceWithOptions(ref EnvironmentCreationOptions options)
    {
        lock (s_creating)
        {
            return IsCreated
                ? throw new OnnxRuntimeException(ErrorCode.RuntimeException, "the environment exists already; options would have no effect")
                : s_instance = new(options);
        }
    }

    /// <summary>Whether the environment exists.</summary>
    public static bool IsCreated => s_instance is { _disposed: false };

    /// <summary>Least severity that is logged.</summary>
    public OrtLoggingLevel EnvLogLevel
    {
        get => _level;
        set
        {
            ObjectDisposedException.ThrowIf(_disposed, this);
            using var env = new Borrowed(this);
            Check(Api->UpdateEnvWithCustomLogLevel(env.Pointer, value));
            _level = value;
        }
    }

    /// <inheritdoc/>
    public override bool IsInvalid => handle == 0;

    /// <summary>The version of the native library, "1.30.0".</summary>
    public string GetVersionString()
    {
        ObjectDisposedException.ThrowIf(_disposed, this);
        return VersionString;
    }

    /// <summary>
    /// The execution providers that the library was built for, "CUDAExecutionProvider" for one. That does not mean that what they
    /// need is installed.
    /// </summary>
    public string[] GetAvailableProviders()
    {
        byte** names;
        int count;
        Check(Api->GetAvailableProviders(&names, &count));
        try
        {
            var providers = new string[count];
            for (int i = 0; i < count; i++)
            {
                providers[i] = Utf8.Read(names[i]);
            }
            return providers;
        }
        finally
        {
            Check(Api->ReleaseAvailableProviders(names, count));
        }
    }

    /// <inheritdoc/>
    protected override void Dispose(bool disposing)
    {
        _disposed = true;
        base.Dispose(disposing);
    }

    /// <inheritdoc/>
    protected override bool ReleaseHandle()
    {
        Api->ReleaseEnv(handle);
        return true;
    }

    [UnmanagedCallersOnly(CallConvs = [typeof(CallConvCdecl)])]
    static void Log(void* param, OrtLoggingLevel severity, byte* category, byte* logId, byte* codeLocation, byte* message)
    {
        try
        {
            s_logger?.Invoke(
                (nint)param, severity, Utf8.Read(category), Utf8.Read(logId), Utf8.Read(codeLocation), Utf8.Read(message));
        }
        catch (Exception) // it must not unwind through the library's frames, and a logger has nobody to tell
        {
        }
    }
}
