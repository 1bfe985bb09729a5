using System.Runtime.InteropServices;
using Microsoft.ML.OnnxRuntime.Native;
using static Microsoft.ML.OnnxRuntime.Native.Ort;

namespace Microsoft.ML.OnnxRuntime;

/// <summary>How one run, or several, are done; also the way to stop them.</summary>
public unsafe class RunOptions : SafeHandle
{
    /// <summary>The defaults.</summary>
    public RunOptions() : base(0, ownsHandle: true)
    {
        fixed (nint* created = &handle)
        {
            Check(Api->CreateRunOptions(created));
        }
    }

    /// <inheritdoc/>
    public override bool IsInvalid => handle == 0;

    /// <summary>
    /// Set from another thread, stops the runs that use these options as soon as their current nodes are done; they throw
    /// <see cref="OnnxRuntimeException"/>. Later runs throw at once, until it is taken back.
    /// </summary>
    public bool Terminate
    {
        get;
        set
        {
            using var options = new Borrowed(this);
            Check(value ? Api->RunOptionsSetTerminate(options.Pointer) : Api->RunOptionsUnsetTerminate(options.Pointer));
            field = value;
        }
    }

    /// <summary>Least severity that the run logs.</summary>
    public OrtLoggingLevel LogSeverityLevel
    {
        get;
        set
        {
            using var options = new Borrowed(this);
            Check(Api->RunOptionsSetRunLogSeverityLevel(options.Pointer, (int)value));
            field = value;
        }
    } = OrtLoggingLevel.ORT_LOGGING_LEVEL_WARNING;

    /// <summary>Stands in the run's log lines.</summary>
    public string LogId
    {
        get;
        set
        {
            fixed (byte* id = Utf8.Bytes(value))
            {
                using var options = new Borrowed(this);
                Check(Api->RunOptionsSetRunTag(options.Pointer, id));
            }
            field = value;
        }
    } = "";

    /// <summary>One of the named settings of onnxruntime_run_options_config_keys.h.</summary>
    public void AddRunConfigEntry(string configKey, string configValue)
    {
        fixed (byte* key = Utf8.Bytes(configKey), value = Utf8.Bytes(configValue))
        {
            using var options = new Borrowed(this);
            Check(Api->AddRunConfigEntry(options.Pointer, key, value));
        }
    }

    /// <inheritdoc/>
    protected override bool ReleaseHandle()
    {
        Api->ReleaseRunOptions(handle);
        return true;
    }
}
