using OnnxLowRank.Samples;

namespace OnnxLowRank.Calibration;

/// <summary>Feeds samples to sessions, run by run, and counts the work.</summary>
/// <param name="batch">Samples per run that the user wants, or null to choose by memory.</param>
/// <param name="largestRun">The most samples per run that are chosen.</param>
sealed class Sampling(SampleSource source, int? batch, CancellationToken cancellation, int largestRun = Sampling.LargestRun)
{
    /// <summary>Memory for what one run reads and computes.</summary>
    const long RunBytes = 512L << 20;

    /// <summary>Larger runs are no faster.</summary>
    const int LargestRun = 64;

    double _samplesRun;

    /// <summary>Samples per run.</summary>
    public int RunSize { get; private set; } = source.RunSize(batch ?? Fitting(source.BytesPerSample, largestRun));

    /// <summary>Chooses the run's size by what a sample takes inside the model, unless the user chose it.</summary>
    public void FitTo(long bytesPerSample) => RunSize = source.RunSize(batch ?? Fitting(source.BytesPerSample + bytesPerSample, largestRun));

    static int Fitting(long bytesPerSample, int largest) => (int)Math.Clamp(RunBytes / Math.Max(1, bytesPerSample), 1, largest);

    /// <summary>Forward work so far, in units of one pass over all samples.</summary>
    public double Passes => _samplesRun / source.Count;

    /// <summary>How much of the model the runs that follow are, 0…1, in multiply-adds.</summary>
    public double Share { get; set; } = 1;

    /// <summary>Told when samples have run, for progress.</summary>
    public Action? OnSamplesRun { get; set; }

    /// <summary>Reads the samples with these indices in runs, in order.</summary>
    /// <param name="use">Gets each run and the indices of its valid samples.</param>
    /// <exception cref="OperationCanceledException">The user wants to stop.</exception>
    public void ForEach(ReadOnlyMemory<int> indices, Action<SampleRun, ReadOnlyMemory<int>> use)
    {
        for (int start = 0; start < indices.Length; start += RunSize)
        {
            cancellation.ThrowIfCancellationRequested();
            var part = indices.Slice(start, Math.Min(RunSize, indices.Length - start));
            using var run = source.Read(part.Span);
            use(run, part);
            _samplesRun += Share * part.Length;
            OnSamplesRun?.Invoke();
        }
    }

    /// <summary>Reads the first samples, at most this many, as one run for shapes and timing; not counted as work.</summary>
    public void First(int count, Action<SampleRun> use)
    {
        int[] indices = [.. Enumerable.Range(0, Math.Min(source.RunSize(count), source.Count))];
        using var run = source.Read(indices);
        use(run);
    }

    /// <summary>These indices without a last run that would have to be padded, unless that leaves nothing.</summary>
    public ReadOnlyMemory<int> WholeRuns(ReadOnlyMemory<int> indices)
    {
        bool isFixed = source.RunSize(int.MaxValue / 2) == RunSize;
        int whole = indices.Length / RunSize * RunSize;
        return isFixed && whole > 0 ? indices[..whole] : indices;
    }
}
