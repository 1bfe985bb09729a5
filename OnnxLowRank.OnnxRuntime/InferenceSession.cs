using Microsoft.ML.OnnxRuntime.Native;
using static Microsoft.ML.OnnxRuntime.Native.Ort;

namespace Microsoft.ML.OnnxRuntime;

/// <summary>A model, loaded, optimized and ready to run; from several threads at once if need be.</summary>
public sealed unsafe partial class InferenceSession : IDisposable
{
    readonly SessionHandle _session;
    bool _disposed; // the handle may live on, in a binding or an allocator

    delegate nint Create(nint env, nint options, nint* session);

    /// <summary>From a file, with the defaults.</summary>
    /// <inheritdoc cref="InferenceSession(string, SessionOptions)"/>
    public InferenceSession(string modelPath) : this(OpenWithDefaults(options => Open(modelPath, options)))
    {
    }

    /// <summary>From a file; its external data is looked for beside it.</summary>
    /// <exception cref="OnnxRuntimeException">The file is not there, or it is not a model that can run.</exception>
    public InferenceSession(string modelPath, SessionOptions options) : this(Open(modelPath, options))
    {
    }

    /// <summary>From the bytes of a model, with the defaults.</summary>
    /// <inheritdoc cref="InferenceSession(byte[], SessionOptions)"/>
    public InferenceSession(byte[] model) : this(OpenWithDefaults(options => Open(model, options)))
    {
    }

    /// <summary>From the bytes of a model, which are not needed afterwards.</summary>
    /// <exception cref="OnnxRuntimeException">It is not a model that can run.</exception>
    public InferenceSession(byte[] model, SessionOptions options) : this(Open(model, options))
    {
    }

    InferenceSession(SessionHandle session)
    {
        _session = session;
        try
        {
            (InputNames, InputMetadata) = ReadNodes(
                Api->SessionGetInputCount, Api->SessionGetInputName, Api->SessionGetInputTypeInfo);
            (OutputNames, OutputMetadata) = ReadNodes(
                Api->SessionGetOutputCount, Api->SessionGetOutputName, Api->SessionGetOutputTypeInfo);
            (_, OverridableInitializerMetadata) = ReadNodes(
                Api->SessionGetOverridableInitializerCount,
                Api->SessionGetOverridableInitializerName,
                Api->SessionGetOverridableInitializerTypeInfo);
        }
        catch
        {
            session.Dispose();
            throw;
        }
    }

    internal SessionHandle Handle
    {
        get
        {
            ObjectDisposedException.ThrowIf(_disposed, this);
            return _session;
        }
    }

    /// <summary>Names of the inputs that must be given, in the model's order.</summary>
    public IReadOnlyList<string> InputNames { get; }

    /// <summary>Names of the outputs, in the model's order.</summary>
    public IReadOnlyList<string> OutputNames { get; }

    /// <summary>Type and shape of each input.</summary>
    public IReadOnlyDictionary<string, NodeMetadata> InputMetadata { get; }

    /// <summary>Type and shape of each output.</summary>
    public IReadOnlyDictionary<string, NodeMetadata> OutputMetadata { get; }

    /// <summary>Type and shape of each initializer that is also a graph input, and so may be given.</summary>
    public IReadOnlyDictionary<string, NodeMetadata> OverridableInitializerMetadata { get; }

    /// <summary>What the model says about itself.</summary>
    public ModelMetadata ModelMetadata => field ??= new(Handle);

    /// <summary>Ends profiling and returns the path of the profile.</summary>
    public string EndProfiling()
    {
        byte* path;
        using var session = new Borrowed(Handle);
        Check(Api->SessionEndProfiling(session.Pointer, OrtAllocator.DefaultPointer, &path));
        return Utf8.Take(path);
    }

    /// <summary>Releases the session, once nothing else uses it (a running call, a binding, an allocator). Its outputs stay good.</summary>
    public void Dispose()
    {
        _disposed = true;
        _session.Dispose();
    }

    static SessionHandle OpenWithDefaults(Func<SessionOptions, SessionHandle> open)
    {
        using var defaults = new SessionOptions();
        return open(defaults);
    }

    static SessionHandle Open(string modelPath, SessionOptions options)
    {
        var path = Utf8.Path(modelPath);
        return Open(options, (env, native, session) =>
        {
            fixed (byte* first = path)
            {
                return Api->CreateSession(env, first, native, session);
            }
        });
    }

    static SessionHandle Open(byte[] model, SessionOptions options)
    {
        ArgumentNullException.ThrowIfNull(model);
        return Open(options, (env, native, session) =>
        {
            fixed (byte* first = model)
            {
                return Api->CreateSessionFromArray(env, first, (nuint)model.LongLength, native, session);
            }
        });
    }

    static SessionHandle Open(SessionOptions options, Create create)
    {
        using var native = new Borrowed(options);
        var env = OrtEnv.Instance();
        var uses = References.To([env, .. options.Initializers]);
        try
        {
            nint session;
            Check(create(env.DangerousGetHandle(), native.Pointer, &session));
            return new(session, uses);
        }
        catch
        {
            uses.Dispose();
            throw;
        }
    }

    (IReadOnlyList<string>, IReadOnlyDictionary<string, NodeMetadata>) ReadNodes(
        delegate* unmanaged[Cdecl]<nint, nuint*, nint> getCount,
        delegate* unmanaged[Cdecl]<nint, nuint, nint, byte**, nint> getName,
        delegate* unmanaged[Cdecl]<nint, nuint, nint*, nint> getType)
    {
        using var session = new Borrowed(Handle);
        nuint count;
        Check(getCount(session.Pointer, &count));
        var names = new List<string>();
        var nodes = new Dictionary<string, NodeMetadata>();
        for (nuint i = 0; i < count; i++)
        {
            byte* text;
            Check(getName(session.Pointer, i, OrtAllocator.DefaultPointer, &text));
            string name = Utf8.Take(text);

            nint type;
            Check(getType(session.Pointer, i, &type));
            try
            {
                nodes[name] = new(type);
            }
            finally
            {
                Api->ReleaseTypeInfo(type);
            }
            names.Add(name);
        }
        return (names, nodes);
    }
}
