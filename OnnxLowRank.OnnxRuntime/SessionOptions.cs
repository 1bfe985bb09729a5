using System.Runtime.InteropServices;
using Microsoft.ML.OnnxRuntime.Native;
using static Microsoft.ML.OnnxRuntime.Native.Ort;

namespace Microsoft.ML.OnnxRuntime;

/// <summary>How a session is made. A session copies it, so it can be disposed as soon as the session exists.</summary>
public unsafe partial class SessionOptions : SafeHandle
{
    readonly References _initializers = new();

    /// <summary>The defaults: every optimization, one node at a time, threads as ONNX Runtime chooses.</summary>
    public SessionOptions() : base(0, ownsHandle: true)
    {
        fixed (nint* created = &handle)
        {
            Check(Api->CreateSessionOptions(created));
        }
    }

    /// <inheritdoc/>
    public override bool IsInvalid => handle == 0;

    internal IEnumerable<SafeHandle> Initializers => _initializers.Handles;

    /// <summary>How much the graph may be changed.</summary>
    public GraphOptimizationLevel GraphOptimizationLevel
    {
        get;
        set
        {
            using var options = new Borrowed(this);
            Check(Api->SetSessionGraphOptimizationLevel(options.Pointer, value));
            field = value;
        }
    } = GraphOptimizationLevel.ORT_ENABLE_ALL;

    /// <summary>Where the optimized model is written when a session is made; "" for nowhere.</summary>
    public string OptimizedModelFilePath
    {
        get;
        set
        {
            fixed (byte* path = Utf8.Path(value))
            {
                using var options = new Borrowed(this);
                Check(Api->SetOptimizedModelFilePath(options.Pointer, path));
            }
            field = value;
        }
    } = "";

    /// <summary>Threads that share one node's work; 0 for one per core.</summary>
    public int IntraOpNumThreads
    {
        get;
        set
        {
            using var options = new Borrowed(this);
            Check(Api->SetIntraOpNumThreads(options.Pointer, value));
            field = value;
        }
    }

    /// <summary>Lets the session share the environment's threads, which has to have some, instead of making its own.</summary>
    /// <seealso cref="EnvironmentCreationOptions.threadOptions"/>
    public void DisablePerSessionThreads()
    {
        using var options = new Borrowed(this);
        Check(Api->DisablePerSessionThreads(options.Pointer));
    }

    /// <summary>Nodes that run at once in <see cref="ExecutionMode.ORT_PARALLEL"/>; 0 for one per core.</summary>
    public int InterOpNumThreads
    {
        get;
        set
        {
            using var options = new Borrowed(this);
            Check(Api->SetInterOpNumThreads(options.Pointer, value));
            field = value;
        }
    }

    /// <summary>Whether nodes may run side by side.</summary>
    public ExecutionMode ExecutionMode
    {
        get;
        set
        {
            using var options = new Borrowed(this);
            Check(Api->SetSessionExecutionMode(options.Pointer, value));
            field = value;
        }
    } = ExecutionMode.ORT_SEQUENTIAL;

    /// <summary>Least severity that the session logs.</summary>
    public OrtLoggingLevel LogSeverityLevel
    {
        get;
        set
        {
            using var options = new Borrowed(this);
            Check(Api->SetSessionLogSeverityLevel(options.Pointer, (int)value));
            field = value;
        }
    } = OrtLoggingLevel.ORT_LOGGING_LEVEL_WARNING;

    /// <summary>Stands in the session's log lines.</summary>
    public string LogId
    {
        get;
        set
        {
            fixed (byte* id = Utf8.Bytes(value))
            {
                using var options = new Borrowed(this);
                Check(Api->SetSessionLogId(options.Pointer, id));
            }
            field = value;
        }
    } = "";

    /// <summary>Whether CPU memory comes from a pool that grows and is kept.</summary>
    public bool EnableCpuMemArena
    {
        get;
        set
        {
            using var options = new Borrowed(this);
            Check(value ? Api->EnableCpuMemArena(options.Pointer) : Api->DisableCpuMemArena(options.Pointer));
            field = value;
        }
    } = true;

    /// <summary>Whether memory use is planned from one run to the next while shapes stay the same.</summary>
    public bool EnableMemoryPattern
    {
        get;
        set
        {
            using var options = new Borrowed(this);
            Check(value ? Api->EnableMemPattern(options.Pointer) : Api->DisableMemPattern(options.Pointer));
            field = value;
        }
    } = true;

    /// <summary>Start of the profile's path; read when <see cref="EnableProfiling"/> is set.</summary>
    public string ProfileOutputPathPrefix { get; set; } = "onnxruntime_profile_";

    /// <summary>Whether the session writes a profile.</summary>
    public bool EnableProfiling
    {
        get;
        set
        {
            fixed (byte* prefix = Utf8.Path(ProfileOutputPathPrefix))
            {
                using var options = new Borrowed(this);
                Check(value ? Api->EnableProfiling(options.Pointer, prefix) : Api->DisableProfiling(options.Pointer));
            }
            field = value;
        }
    }

    /// <summary>One of the named settings of onnxruntime_session_options_config_keys.h.</summary>
    public void AddSessionConfigEntry(string configKey, string configValue)
    {
        fixed (byte* key = Utf8.Bytes(configKey), value = Utf8.Bytes(configValue))
        {
            using var options = new Borrowed(this);
            Check(Api->AddSessionConfigEntry(options.Pointer, key, value));
        }
    }

    /// <summary>Fixes a symbolic dimension ("batch") to a number.</summary>
    public void AddFreeDimensionOverrideByName(string dimName, long dimValue)
    {
        fixed (byte* name = Utf8.Bytes(dimName))
        {
            using var options = new Borrowed(this);
            Check(Api->AddFreeDimensionOverrideByName(options.Pointer, name, dimValue));
        }
    }

    /// <summary>Replaces an initializer of the model by a tensor in memory, which is not copied.</summary>
    /// <remarks>
    /// Here the value may be disposed at once: these options and every session made with them keep its memory. With the official
    /// assembly the caller must keep it until the last session is gone.
    /// </remarks>
    public void AddInitializer(string name, OrtValue ortValue)
    {
        ArgumentNullException.ThrowIfNull(ortValue);
        fixed (byte* utf8 = Utf8.Bytes(name))
        {
            using var options = new Borrowed(this);
            using var value = new Borrowed(ortValue.Handle);
            _initializers.Add(ortValue.Handle); // before the call: what the library knows is always kept
            Check(Api->AddInitializer(options.Pointer, utf8, value.Pointer));
        }
    }

    /// <inheritdoc/>
    protected override bool ReleaseHandle()
    {
        Api->ReleaseSessionOptions(handle);
        _initializers.Dispose();
        return true;
    }
}
