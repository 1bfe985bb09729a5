namespace OnnxLowRank.Samples;

/// <summary>
/// The user's calibration samples, counted and checked against the model's inputs when opened, read from disk when asked for.
/// Reading is safe from several threads.
/// </summary>
abstract class SampleSource : IDisposable
{
    /// <summary>How many bytes of temporary files an .npz may unpack to, unless the caller says otherwise: 16 GiB.</summary>
    public const long DefaultUnpackedLimit = 16L << 30;

    /// <summary>How many samples there are, at least one.</summary>
    public abstract int Count { get; }

    /// <summary>Bytes that one sample takes in the buffers of a run, all inputs together; where samples differ, those of the largest.</summary>
    public abstract long BytesPerSample { get; }

    /// <summary>Paths of the files that samples are read from.</summary>
    public abstract IReadOnlyList<string> Files { get; }

    /// <summary>What a careful user wants to know: conversions, padding. One sentence each.</summary>
    public abstract IReadOnlyList<string> Notes { get; }

    /// <summary>
    /// Opens calibration data of any kind:
    /// a folder with one NAME.npy per input; an .npz with arrays of those names; with exactly one input, a single .npy of any
    /// name; an ONNX test-data folder, that is one with test_data_set_N inside, or such a set itself with its input_N.pb.
    /// What a file is, is decided by its first bytes, not by its extension.
    /// </summary>
    /// <remarks>
    /// <para>Names: an array is looked up by the exact name of the input, then by the name with each of / \ : * ? " &lt; &gt; | replaced by _.</para>
    /// <para>Arrays: the first axis counts samples, the same number in all. If an array has as many axes as the input, the first
    /// is the model's batch: free, or fixed to B samples per run. If it has one more, each sample is a whole input of its own,
    /// and all inputs run one sample at a time.</para>
    /// <para>Test data (where a folder holds both, it wins over arrays): each set is one sample with shapes of its own. A tensor goes to the input that it is named after, or else
    /// tensor input_N.pb to input N.</para>
    /// <para>Types: must be the input's; float64 is converted to float32, and int32 and int64 to each other, if all values fit.</para>
    /// </remarks>
    /// <param name="inputs">The inputs that the model requires, in its order.</param>
    /// <param name="unpackedLimit">The most bytes that the arrays of an .npz may unpack to.</param>
    /// <exception cref="DataException">The data cannot be read, is empty, or does not fit the inputs.</exception>
    /// <exception cref="IOException">There is no room for temporary files.</exception>
    public static SampleSource Open(string path, IReadOnlyList<InputSpec> inputs, long unpackedLimit = DefaultUnpackedLimit)
    {
        if (inputs.Count == 0)
        {
            throw new DataException($"{path}: the model has no inputs that samples could be fed to");
        }
        var sets = TestDataSamples.FindSets(path);
        return sets.Count > 0 ? TestDataSamples.OpenSets(sets, inputs) : ArraySamples.OpenArrays(path, inputs, unpackedLimit);
    }

    /// <summary>How many samples one run takes: the model's fixed batch, 1 where each is fed alone, otherwise as many as preferred that fit into 2 GiB.</summary>
    /// <param name="preferred">1 or more.</param>
    public abstract int RunSize(int preferred);

    /// <summary>Gathers the samples with these indices, in this order, for one run.</summary>
    /// <param name="indices">1 to <see cref="RunSize"/>, each in 0 .. Count − 1; fewer than the model's fixed batch are padded.</param>
    /// <exception cref="DataException">A value is NaN or infinite or does not fit the input's type, or a file has become unreadable.</exception>
    public abstract SampleRun Read(ReadOnlySpan<int> indices);

    public abstract void Dispose();

    /// <exception cref="ArgumentException">The indices do not make one run.</exception>
    private protected void CheckIndices(ReadOnlySpan<int> indices, int most)
    {
        if (indices.Length == 0 || indices.Length > most)
        {
            throw new ArgumentException($"a run takes 1 to {most} samples, not {indices.Length}");
        }
        int wrong = indices.IndexOfAnyExceptInRange(0, Count - 1);
        if (wrong >= 0)
        {
            throw new ArgumentException($"sample {indices[wrong]} is not one of {Count}");
        }
    }
}
