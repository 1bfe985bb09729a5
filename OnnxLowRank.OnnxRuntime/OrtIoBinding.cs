using System.Runtime.InteropServices;
using System.Text;
using Microsoft.ML.OnnxRuntime.Native;
using static Microsoft.ML.OnnxRuntime.Native.Ort;

namespace Microsoft.ML.OnnxRuntime;

/// <summary>Inputs and outputs bound to a session, for many runs. Not for use from several threads.</summary>
/// <remarks>Here a bound value may be disposed at once: the binding keeps its memory. With the official assembly it must be kept.</remarks>
public unsafe class OrtIoBinding : SafeHandle
{
    readonly References _session;
    readonly Dictionary<string, References> _inputs = [];
    readonly Dictionary<string, References> _outputs = [];

    internal OrtIoBinding(InferenceSession session) : base(0, ownsHandle: true)
    {
        _session = References.To([session.Handle]);
        try
        {
            fixed (nint* created = &handle)
            {
                Check(Api->CreateIoBinding(session.Handle.DangerousGetHandle(), created));
            }
        }
        catch
        {
            _session.Dispose(); // an invalid handle is never released
            throw;
        }
    }

    /// <inheritdoc/>
    public override bool IsInvalid => handle == 0;

    /// <summary>Binds a value to an input, in place of the one bound before. A value on another device is copied there now.</summary>
    public void BindInput(string name, OrtValue ortValue) => Bind(Api->BindInput, name, ortValue, _inputs);

    /// <summary>Binds a tensor of the right type and shape to an output, in place of what was bound before.</summary>
    public void BindOutput(string name, OrtValue ortValue) => Bind(Api->BindOutput, name, ortValue, _outputs);

    /// <summary>Lets each run allocate the output, there.</summary>
    public void BindOutputToDevice(string name, OrtMemoryInfo memInfo)
    {
        fixed (byte* utf8 = Utf8.Bytes(name))
        {
            using var binding = new Borrowed(this);
            using var info = new Borrowed(memInfo);
            Check(Api->BindOutputToDevice(binding.Pointer, utf8, info.Pointer));
        }
        Replace(_outputs, name, null);
    }

    /// <summary>Waits until the inputs have arrived on their devices.</summary>
    public void SynchronizeBoundInputs()
    {
        using var binding = new Borrowed(this);
        Check(Api->SynchronizeBoundInputs(binding.Pointer));
    }

    /// <summary>Waits until the outputs are complete.</summary>
    public void SynchronizeBoundOutputs()
    {
        using var binding = new Borrowed(this);
        Check(Api->SynchronizeBoundOutputs(binding.Pointer));
    }

    /// <summary>Names of the bound outputs, in the order they were first bound.</summary>
    public string[] GetOutputNames()
    {
        byte* texts; // one after the other, without zeros between them
        nuint* lengths;
        nuint count;
        using var binding = new Borrowed(this);
        Check(Api->GetBoundOutputNames(binding.Pointer, OrtAllocator.DefaultPointer, &texts, &lengths, &count));
        if (count == 0)
        {
            return [];
        }
        try
        {
            var names = new string[count];
            byte* next = texts;
            for (nuint i = 0; i < count; i++)
            {
                names[i] = Encoding.UTF8.GetString(next, checked((int)lengths[i]));
                next += lengths[i];
            }
            return names;
        }
        finally
        {
            OrtAllocator.FreeDefault(lengths);
            OrtAllocator.FreeDefault(texts);
        }
    }

    /// <summary>The outputs of the last run, in the order of <see cref="GetOutputNames"/>.</summary>
    public IDisposableReadOnlyCollection<OrtValue> GetOutputValues()
    {
        nint* values;
        nuint count;
        using var binding = new Borrowed(this);
        var names = GetOutputNames();
        Check(Api->GetBoundOutputValues(binding.Pointer, OrtAllocator.DefaultPointer, &values, &count));
        if (count == 0)
        {
            return new DisposableList<OrtValue>([]);
        }
        try
        {
            return InferenceSession.TakeOutputs(
                new Span<nint>(values, checked((int)count)).ToArray(),
                names,
                name => (_outputs.GetValueOrDefault(name) ?? _inputs.GetValueOrDefault(name))?.Handles[0]);
        }
        finally
        {
            OrtAllocator.FreeDefault(values);
        }
    }

    /// <summary>Unbinds all inputs.</summary>
    public void ClearBoundInputs()
    {
        using var binding = new Borrowed(this);
        Api->ClearBoundInputs(binding.Pointer);
        Clear(_inputs);
    }

    /// <summary>Unbinds all outputs.</summary>
    public void ClearBoundOutputs()
    {
        using var binding = new Borrowed(this);
        Api->ClearBoundOutputs(binding.Pointer);
        Clear(_outputs);
    }

    /// <inheritdoc/>
    protected override bool ReleaseHandle()
    {
        Api->ReleaseIoBinding(handle);
        Clear(_inputs);
        Clear(_outputs);
        _session.Dispose();
        return true;
    }

    void Bind(
        delegate* unmanaged[Cdecl]<nint, byte*, nint, nint> slot, string name, OrtValue value, Dictionary<string, References> bound)
    {
        ArgumentNullException.ThrowIfNull(value);
        var reference = References.To([value.Handle]);
        try
        {
            fixed (byte* utf8 = Utf8.Bytes(name))
            {
                using var binding = new Borrowed(this);
                Check(slot(binding.Pointer, utf8, value.Handle.DangerousGetHandle()));
                Replace(bound, name, reference);
            }
        }
        catch
        {
            reference.Dispose();
            throw;
        }
    }

    static void Replace(Dictionary<string, References> bound, string name, References? reference)
    {
        bound.Remove(name, out var before);
        if (reference is not null)
        {
            bound.Add(name, reference);
        }
        before?.Dispose();
    }

    static void Clear(Dictionary<string, References> bound)
    {
        foreach (var reference in bound.Values)
        {
            reference.Dispose();
        }
        bound.Clear();
    }
}
