namespace OnnxLowRank.Samples;

/// <summary>One sample of zeros (floats: small numbers) of the shapes that the model fixes: enough to learn other shapes from, and to run for its time.</summary>
sealed class GeneratedSamples : SampleSource
{
    readonly IReadOnlyList<InputSpec> _inputs;

    /// <summary>The batch where no input leaves it open.</summary>
    readonly int? _fixed;

    GeneratedSamples(IReadOnlyList<InputSpec> inputs)
    {
        _inputs = inputs;
        _fixed = inputs.Any(input => input.Dimensions is [null, ..]) ? null : (int)(inputs is [{ Dimensions: [{ } first and > 0, ..] }, ..] ? first : 1);
    }

    /// <summary>Null where an input is open in more than its first axis, the batch.</summary>
    /// <exception cref="ModelException">One sample of an input is larger than a buffer can be.</exception>
    public static GeneratedSamples? For(IReadOnlyList<InputSpec> inputs)
    {
        if (!inputs.All(input => input.Dimensions.Skip(1).All(dim => dim != null) && ElementTypes.Size(input.ElementType) > 0))
        {
            return null;
        }
        var large = inputs.FirstOrDefault(input => (ElementTypes.Bytes(input.ElementType, Shape(input, 1)) ?? long.MaxValue) > Array.MaxLength);
        return large == null ? new(inputs) : throw new ModelException($"input {large} takes more than the {Array.MaxLength} bytes that one run can have");
    }

    public override int Count => 1;

    public override long BytesPerSample => _inputs.Sum(input => ElementTypes.Bytes(input.ElementType, Shape(input, 1)) ?? 0);

    public override IReadOnlyList<string> Files => [];

    public override IReadOnlyList<string> Notes => [];

    public override int RunSize(int preferred) => _fixed ?? (int)Math.Clamp(Array.MaxLength / Math.Max(1, BytesPerSample), 1, preferred);

    public override SampleRun Read(ReadOnlySpan<int> indices)
    {
        CheckIndices(indices, RunSize(int.MaxValue));
        int batch = indices.Length;
        return new(batch, [.. _inputs.Select(input => Fill(input, batch))]);
    }

    static long[] Shape(InputSpec input, int batch) => [.. input.Dimensions.Select(dim => dim ?? batch)];

    static SampleBuffer Fill(InputSpec input, int batch)
    {
        var buffer = new SampleBuffer(input, Shape(input, batch));
        buffer.Bytes.Span.Clear();
        ElementValues.FillWithNumbers(input.ElementType, buffer.Bytes.Span);
        return buffer;
    }

    public override void Dispose()
    {
    }
}
