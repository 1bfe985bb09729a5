using System.Runtime.InteropServices;
using Microsoft.ML.OnnxRuntime.Native;
using static Microsoft.ML.OnnxRuntime.Native.Ort;

namespace Microsoft.ML.OnnxRuntime;

public sealed unsafe partial class InferenceSession
{
    /// <summary>Runs the model; the outputs are in ONNX Runtime's memory until they are disposed.</summary>
    /// <param name="runOptions">Not null: the official assembly fails there, if less clearly.</param>
    /// <param name="inputNames">Which input each value is for.</param>
    /// <param name="inputValues">As many as there are names.</param>
    /// <param name="outputNames">The outputs that are wanted; at least one.</param>
    /// <returns>The outputs in the order of their names.</returns>
    /// <exception cref="ArgumentException">There are more names than values, or fewer.</exception>
    /// <exception cref="OnnxRuntimeException">A name is unknown, a type or shape does not fit, a node failed, or the run was terminated.</exception>
    public IDisposableReadOnlyCollection<OrtValue> Run(
        RunOptions runOptions,
        IReadOnlyCollection<string> inputNames,
        IReadOnlyCollection<OrtValue> inputValues,
        IReadOnlyCollection<string> outputNames)
    {
        ArgumentNullException.ThrowIfNull(runOptions);
        ArgumentNullException.ThrowIfNull(inputNames);
        ArgumentNullException.ThrowIfNull(inputValues);
        ArgumentNullException.ThrowIfNull(outputNames);
        RequirePairs(inputNames, nameof(inputNames), inputValues, nameof(inputValues));

        var outputs = new nint[outputNames.Count];
        using var inputs = References.To(Handles(inputValues));
        Invoke(runOptions, inputNames, inputs, outputNames, outputs);

        string[] names = [.. inputNames];
        return TakeOutputs(outputs, outputNames, name => Array.IndexOf(names, name) is >= 0 and var i ? inputs.Handles[i] : null);
    }

    /// <inheritdoc cref="Run(RunOptions, IReadOnlyCollection{string}, IReadOnlyCollection{OrtValue}, IReadOnlyCollection{string})"/>
    /// <param name="inputs">A value for each input, by its name.</param>
    public IDisposableReadOnlyCollection<OrtValue> Run(
        RunOptions runOptions, IReadOnlyDictionary<string, OrtValue> inputs, IReadOnlyCollection<string> outputNames)
    {
        ArgumentNullException.ThrowIfNull(inputs);
        var pairs = inputs.ToArray();
        return Run(
            runOptions, Array.ConvertAll(pairs, pair => pair.Key), Array.ConvertAll(pairs, pair => pair.Value), outputNames);
    }

    /// <summary>Runs the model into tensors that exist already and have the right types and shapes.</summary>
    /// <inheritdoc cref="Run(RunOptions, IReadOnlyCollection{string}, IReadOnlyCollection{OrtValue}, IReadOnlyCollection{string})"/>
    /// <param name="runOptions">Null for the defaults, here only.</param>
    /// <param name="outputValues">As many as there are output names.</param>
    public void Run(
        RunOptions? runOptions,
        IReadOnlyCollection<string> inputNames,
        IReadOnlyCollection<OrtValue> inputValues,
        IReadOnlyCollection<string> outputNames,
        IReadOnlyCollection<OrtValue> outputValues)
    {
        ArgumentNullException.ThrowIfNull(inputNames);
        ArgumentNullException.ThrowIfNull(inputValues);
        ArgumentNullException.ThrowIfNull(outputNames);
        ArgumentNullException.ThrowIfNull(outputValues);
        RequirePairs(inputNames, nameof(inputNames), inputValues, nameof(inputValues));
        RequirePairs(outputNames, nameof(outputNames), outputValues, nameof(outputValues));

        using var inputs = References.To(Handles(inputValues));
        using var outputs = References.To(Handles(outputValues));
        Invoke(runOptions, inputNames, inputs, outputNames, outputs.Pointers);
    }

    /// <summary>Something to bind inputs and outputs to, once for many runs.</summary>
    public OrtIoBinding CreateIoBinding() => new(this);

    /// <summary>Runs the model on what is bound.</summary>
    /// <exception cref="OnnxRuntimeException">An input is missing, a type or shape does not fit, a node failed, or the run was terminated.</exception>
    public void RunWithBinding(RunOptions runOptions, OrtIoBinding ioBinding)
    {
        using var session = new Borrowed(Handle);
        using var options = new Borrowed(runOptions);
        using var binding = new Borrowed(ioBinding);
        Check(Api->RunWithBinding(session.Pointer, options.Pointer, binding.Pointer));
    }

    /// <summary>Runs the model on what is bound, and returns the bound outputs.</summary>
    /// <inheritdoc cref="RunWithBinding"/>
    public IDisposableReadOnlyCollection<OrtValue> RunWithBoundResults(RunOptions runOptions, OrtIoBinding ioBinding)
    {
        RunWithBinding(runOptions, ioBinding);
        return ioBinding.GetOutputValues();
    }

    /// <summary>
    /// Makes values of native outputs; on failure all are released.
    /// </summary>
    /// <param name="memoryOwner">The value given for an input or output of that name, if any: the output may lie in its memory.</param>
    internal static DisposableList<OrtValue> TakeOutputs(
        nint[] outputs, IEnumerable<string> names, Func<string, SafeHandle?> memoryOwner)
    {
        var values = new List<OrtValue>(outputs.Length);
        try
        {
            foreach (string name in names)
            {
                int i = values.Count;
                if (outputs[i] == 0)
                {
                    throw new OnnxRuntimeException(ErrorCode.Fail, $"the model gave no value for output '{name}'");
                }
                nint output = outputs[i];
                outputs[i] = 0; // OrtValue owns it from here, even if it fails
                values.Add(new(output));
                if (memoryOwner(name) is { } owner)
                {
                    values[i].Handle.SharesMemoryOf(owner);
                }
            }
            return new([.. values]);
        }
        catch
        {
            values.ForEach(value => value.Dispose());
            foreach (nint output in outputs)
            {
                Api->ReleaseValue(output); // null is nothing
            }
            throw;
        }
    }

    void Invoke(
        RunOptions? runOptions,
        IReadOnlyCollection<string> inputNames,
        References inputs,
        IReadOnlyCollection<string> outputNames,
        nint[] outputs)
    {
        using var session = new Borrowed(Handle);
        using var options = Borrowed.OrNull(runOptions);
        using var nativeInputNames = new Utf8Array(inputNames);
        using var nativeOutputNames = new Utf8Array(outputNames);
        fixed (nint* inputValues = inputs.Pointers, outputValues = outputs)
        {
            Check(Api->Run(
                session.Pointer, options.Pointer,
                nativeInputNames.Pointers, inputValues, nativeInputNames.Count,
                nativeOutputNames.Pointers, nativeOutputNames.Count, outputValues));
        }
    }

    static IEnumerable<SafeHandle> Handles(IEnumerable<OrtValue> values) =>
        values.Select(value => (value ?? throw new ArgumentNullException(nameof(values))).Handle);

    static void RequirePairs(
        IReadOnlyCollection<string> names, string namesArgument, IReadOnlyCollection<OrtValue> values, string valuesArgument)
    {
        if (names.Count != values.Count)
        {
            throw new ArgumentException($"{namesArgument} has {names.Count} elements, {valuesArgument} has {values.Count}");
        }
    }
}
