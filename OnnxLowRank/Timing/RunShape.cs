namespace OnnxLowRank.Timing;

/// <summary>Shape of a layer's input in runs of any number of samples.</summary>
/// <param name="One">In a run of one sample, or of the batch that the model insists on.</param>
/// <param name="Two">In a run of two samples; the same as <paramref name="One"/> where the batch is fixed.</param>
sealed record RunShape(long[] One, long[] Two)
{
    public bool IsFixed => One.AsSpan().SequenceEqual(Two);

    /// <summary>Every axis grows in equal steps with the samples, as two runs showed; most do not grow at all.</summary>
    public long[] At(int samples) => [.. One.Zip(Two, (one, two) => one + (samples - 1) * (two - one))];

    public bool Grows(int axis) => One[axis] != Two[axis];

    public override string ToString() => $"[{string.Join(',', One.Select((dim, axis) => Grows(axis) ? $"{dim}+{Two[axis] - dim}" : $"{dim}"))}]";
}
