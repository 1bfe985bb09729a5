using DataType = OnnxLowRank.Onnx.Proto.TensorProto.Types.DataType;

namespace OnnxLowRank.Samples;

/// <summary>What to feed the model in one run. Dispose it when the run is over: its buffers are used again.</summary>
/// <param name="valid">How many samples the run is for.</param>
/// <param name="inputs">In the order of the model's inputs.</param>
sealed class SampleRun(int valid, SampleBuffer[] inputs) : IDisposable
{
    /// <summary>
    /// How many samples the run is for, the first ones of the batch. If the model's batch is larger, the rest repeats the
    /// last sample, and the outputs for it are to be ignored.
    /// </summary>
    public int Valid => valid;

    public IReadOnlyList<SampleBuffer> Inputs => inputs;

    public void Dispose()
    {
        foreach (var input in inputs)
        {
            input.Dispose();
        }
    }
}

/// <summary>The value of one input in one run: row-major little-endian elements of the input's own type.</summary>
sealed class SampleBuffer : IDisposable
{
    AlignedMemory? _memory;

    /// <summary>Uninitialized room for Π shape elements.</summary>
    public SampleBuffer(InputSpec input, long[] shape)
    {
        (Input, Shape) = (input, shape);
        _memory = new(checked((int)(ElementTypes.Bytes(input.ElementType, shape) ?? long.MaxValue)));
    }

    public InputSpec Input { get; }

    public long[] Shape { get; }

    public Memory<byte> Bytes
    {
        get
        {
            ObjectDisposedException.ThrowIf(_memory is null, this);
            return _memory.Memory;
        }
    }

    /// <summary>Checks elements as they were read, and converts them into this buffer if they are of another type (otherwise they are in it already).</summary>
    /// <param name="array">Where they come from, for messages.</param>
    /// <param name="samples">The numbers of the samples that the elements are of, for messages.</param>
    /// <exception cref="DataException">An element is NaN, infinite, no bool, or out of range for the input's type.</exception>
    public void Accept(string array, DataType type, ReadOnlySpan<byte> elements, ReadOnlySpan<int> samples)
    {
        int each = elements.Length / ElementTypes.Size(type) / samples.Length;
        int unusable = ElementValues.FirstUnusable(type, elements);
        if (unusable >= 0)
        {
            throw new DataException($"{array}: sample {samples[unusable / each]} holds {(type is DataType.Bool ? "a bool of " : "")}{ElementValues.Text(type, elements, unusable)}");
        }
        if (type == Input.ElementType)
        {
            return;
        }
        int misfit = ElementValues.Convert(type, Input.ElementType, elements, Bytes.Span);
        if (misfit >= 0)
        {
            throw new DataException($"{array}: sample {samples[misfit / each]} holds {ElementValues.Text(type, elements, misfit)}, out of range for {ElementTypes.Name(Input.ElementType)} of input '{Input.Name}'");
        }
    }

    public void Dispose()
    {
        IDisposable? memory = Interlocked.Exchange(ref _memory, null);
        memory?.Dispose();
    }
}
