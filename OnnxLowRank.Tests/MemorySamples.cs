using System.Runtime.InteropServices;
using OnnxLowRank.Onnx.Proto;
using OnnxLowRank.Samples;

namespace OnnxLowRank.Tests;

/// <summary>The value of one input for all samples of a test: float numbers, one row per sample.</summary>
/// <param name="Shape">Of one sample, without the batch axis.</param>
sealed record Feed(string Name, float[] Values, params long[] Shape)
{
    public int Size => (int)Shape.Aggregate(1L, (product, dim) => product * dim);

    /// <summary>Gaussian numbers with a mean of 0.5: inputs whose mean matters.</summary>
    public static Feed Random(string name, int count, params long[] shape) =>
        new(name, Array.ConvertAll(TinyModel.Random([count, .. shape], seed: 100), value => value + 0.5f), shape);
}

/// <summary>Samples in memory.</summary>
/// <param name="isWhole">Whether each sample is a whole input without a batch axis, fed alone.</param>
/// <param name="fixedBatch">The number of samples that every run must have; incomplete runs repeat their last sample.</param>
sealed class MemorySamples(Feed[] feeds, bool isWhole = false, int? fixedBatch = null) : SampleSource
{
    public override int Count => feeds[0].Values.Length / feeds[0].Size;

    public override long BytesPerSample => feeds.Sum(feed => sizeof(float) * feed.Size);

    public override IReadOnlyList<string> Files => [];

    public override IReadOnlyList<string> Notes => [];

    public override int RunSize(int preferred) => isWhole ? 1 : fixedBatch ?? preferred;

    public ReadOnlyMemory<int> All => Enumerable.Range(0, Count).ToArray();

    public override SampleRun Read(ReadOnlySpan<int> indices)
    {
        int batch = fixedBatch ?? indices.Length;
        var buffers = new List<SampleBuffer>();
        foreach (var feed in feeds)
        {
            long[] shape = isWhole ? feed.Shape : [batch, .. feed.Shape];
            var buffer = new SampleBuffer(new(feed.Name, TensorProto.Types.DataType.Float, new long?[shape.Length]), shape);
            var values = MemoryMarshal.Cast<byte, float>(buffer.Bytes.Span);
            for (int i = 0; i < batch; i++)
            {
                feed.Values.AsSpan(indices[Math.Min(i, indices.Length - 1)] * feed.Size, feed.Size).CopyTo(values[(i * feed.Size)..]);
            }
            buffers.Add(buffer);
        }
        return new(indices.Length, [.. buffers]);
    }

    public override void Dispose()
    {
    }
}
