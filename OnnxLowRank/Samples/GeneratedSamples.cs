using System.Runtime.InteropServices;
using DataType = OnnxLowRank.Onnx.Proto.TensorProto.Types.DataType;

namespace OnnxLowRank.Samples;

/// <summary>One sample of zeros (floats: small numbers) of the shapes that the model fixes: enough to learn other shapes from.</summary>
sealed class GeneratedSamples : SampleSource
{
    readonly IReadOnlyList<InputSpec> _inputs;

    GeneratedSamples(IReadOnlyList<InputSpec> inputs) => _inputs = inputs;

    /// <summary>Null where an input is open in more than its first axis, the batch.</summary>
    public static GeneratedSamples? For(IReadOnlyList<InputSpec> inputs) =>
        inputs.All(input => input.Dimensions.Skip(1).All(dim => dim != null) && ElementTypes.Size(input.ElementType) > 0) ? new(inputs) : null;

    public override int Count => 1;

    public override long BytesPerSample => _inputs.Sum(input => ElementTypes.Bytes(input.ElementType, Shape(input)) ?? 0);

    public override IReadOnlyList<string> Files => [];

    public override IReadOnlyList<string> Notes => [];

    public override int RunSize(int preferred) => 1;

    public override SampleRun Read(ReadOnlySpan<int> indices)
    {
        CheckIndices(indices, 1);
        return new(1, [.. _inputs.Select(Fill)]);
    }

    static long[] Shape(InputSpec input) => [.. input.Dimensions.Select(dim => dim ?? 1)];

    static SampleBuffer Fill(InputSpec input)
    {
        var buffer = new SampleBuffer(input, Shape(input));
        buffer.Bytes.Span.Clear();
        if (input.ElementType == DataType.Float)
        {
            var values = MemoryMarshal.Cast<byte, float>(buffer.Bytes.Span);
            for (int i = 0; i < values.Length; i++)
            {
                values[i] = (i * 37 % 255 - 127) / 127f;
            }
        }
        return buffer;
    }

    public override void Dispose()
    {
    }
}
