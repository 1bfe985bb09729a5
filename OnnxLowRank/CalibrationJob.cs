using System.Diagnostics;
using Microsoft.ML.OnnxRuntime;
using OnnxLowRank.Calibration;
using OnnxLowRank.Layers;
using OnnxLowRank.Onnx;
using OnnxLowRank.Rewriting;
using OnnxLowRank.Runtime;
using OnnxLowRank.Samples;
using OnnxLowRank.StatsFiles;
using OnnxLowRank.Storage;

namespace OnnxLowRank;

/// <summary>
/// Measures what compress needs to know of a model's activations and writes it to a file. Files of parts of the samples add up to what one job over all of them
/// measures, and a job that was stopped goes on where its file ends.
/// </summary>
public static class CalibrationJob
{
    /// <summary>Runs that there are at least where samples are enough, to be shared out evenly.</summary>
    const int FewestRuns = 128;

    /// <summary>Larger runs save little: what does not grow with a run, a sum over all pairs of channels, is small by then.</summary>
    const int LargestRun = 8;

    /// <summary>Writing takes at most one part in so many of the time.</summary>
    const double CheckpointShare = 20;

    /// <summary>Runs the samples and writes the file.</summary>
    /// <exception cref="OptionException">An option is out of range, or the file belongs to another job.</exception>
    /// <exception cref="ModelException">The model cannot be read, is not valid, cannot be run or has nothing to measure.</exception>
    /// <exception cref="DataException">Samples cannot be read or do not fit the model, or there is a file already that is damaged.</exception>
    /// <exception cref="DeviceException">The device or ONNX Runtime cannot be had.</exception>
    /// <exception cref="IOException">The file cannot be written.</exception>
    /// <exception cref="OperationCanceledException">The user wants to stop; the file holds the samples that are done, if any.</exception>
    public static CalibrationReport Run(CalibrationOptions options, IProgress<StageProgress>? progress = null, CancellationToken cancellation = default)
    {
        options.Validate();
        var clock = new StageClock(progress);
        clock.Enter("load");
        RequireWritable(options.Stats);
        var user = Workspace.Kept(OnnxModel.Load(options.Input), options.Memory, options.Stats);
        var device = Device.Open(options.Device, options.Threads);
        using var source = Open(options, user, device);
        RequireIntact(options, user, source);
        var flattened = Flattened.Of(user);
        var found = LayerFinder.Find(flattened, options.Layers);
        var model = Siblings.Stacked(flattened, found.Layers);
        Layer[] layers = [.. LayerFinder.Find(model, options.Layers).Measured, .. model == flattened ? [] : found.Measured]; // compress may stack fewer
        if (layers.Length == 0)
        {
            throw new ModelException(Compressor.WhyNone(found));
        }
        var samples = options.All ? Enumerable.Range(0, source.Count).ToArray() : SampleShares.Of(source.Count, options.Seed).Moments;
        var sampling = new Sampling(source, options.Batch, cancellation, Math.Clamp(samples.Length / FewestRuns, 1, LargestRun));
        var calibrator = new Calibrator(model, layers, device, options.Threads);
        var shapes = calibrator.Shapes(sampling);
        sampling.FitTo(Calibrator.BytesPerSample(shapes));
        var patchSteps = PatchChoice.Steps(layers, shapes, long.MaxValue, samples.Length, sampling.RunSize); // whatever the memory, the file is the same
        var probes = Probes.Of(layers, shapes, withRanges: true, patchSteps);
        var spill = probes.Taps.Sum(tap => (double)WideMoments.Bytes(tap.Groups, tap.Size)) > options.Memory ? Spill.Beside(options.Stats) : Spill.None;
        var tally = new Tally<WideMoments>(probes, tap => new(tap.Groups, tap.Size, spill));

        var planned = Planned(options.Shard, sampling, sampling.WholeRuns(samples));
        var job = new StatsJob(source.Count, options.All, options.All ? 0 : options.Seed, sampling.RunSize, options.Shard.Number, options.Shard.Count, planned.Length);
        string hash = ModelFiles.ContentHash(options.Input, user);
        List<ulong> done = [.. Resumed(options.Stats, StatsHeader.Of(hash, job, 0, tally), tally, source, planned.Span, cancellation)];
        int resumed = done.Count;
        clock.Enter("calibrate");
        sampling.OnSamplesRun = () => clock.Report((double)done.Count / planned.Length);
        if (resumed < planned.Length)
        {
            Fill(
                calibrator, tally, sampling, planned, done, source.RunSize(1), options.Checkpoint, options.Memory,
                () => StatsWriter.Write(options.Stats, StatsHeader.Of(hash, job, done.Count, tally), done.ToArray(), tally));
        }
        return new(
            ReportBuilder.Tool, FileFacts.Of(options.Input, user), hash, new(options.Stats, ModelFiles.Sha256(options.Stats), new FileInfo(options.Stats).Length),
            new(OrtEnv.Instance().GetVersionString(), device.Name, "", options.Threads), options.Shard.ToString(), done.Count, resumed, clock.Seconds().Total,
            [.. tally.Probes.Taps.Zip(tally.Moments, (tap, moments) => Measured(tap, moments, layers, shapes, patchSteps))],
            device.Note.Length > 0 ? [device.Note, .. source.Notes] : source.Notes);
    }

    static SampleSource Open(CalibrationOptions options, OnnxModel model, Device device)
    {
        using var session = ModelSession.Open(model, device, options.Threads);
        return SampleSource.Open(options.Calibration, [.. session.Inputs.Select(input => Workspace.Spec(input.Key, input.Value))]);
    }

    /// <summary>Better before the job than after it.</summary>
    static void RequireWritable(string path)
    {
        if (Directory.Exists(path))
        {
            throw new IOException($"--stats {path}: is a folder");
        }
        string trial = StatsWriter.Temporary(path);
        try
        {
            File.Create(trial).Dispose();
            File.Delete(trial);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw new IOException($"--stats {path}: cannot be written: {e.Message}", e);
        }
    }

    /// <summary>Nothing that is read may be replaced by what is written.</summary>
    static void RequireIntact(CalibrationOptions options, OnnxModel model, SampleSource source)
    {
        if (model.ExternalFiles.Prepend(options.Input).Concat(source.Files).FirstOrDefault(read => RealPath.AreSame(read, options.Stats)) is { } lost)
        {
            throw new OptionException($"--stats {options.Stats}: writing it would replace {lost}, which is read");
        }
    }

    /// <summary>Samples are put into runs first and runs given out then, so that no run depends on how many shards there are.</summary>
    static ReadOnlyMemory<int> Planned(Shard shard, Sampling sampling, ReadOnlyMemory<int> samples)
    {
        int[][] runs = [.. samples.ToArray().Chunk(sampling.RunSize)];
        return shard.Count <= runs.Length
            ? runs.Where((_, i) => i % shard.Count == shard.Number - 1).SelectMany(run => run).ToArray()
            : throw new OptionException($"--shard {shard}: there are only {runs.Length} runs of {sampling.RunSize} samples to share out");
    }

    /// <summary>Reads what an earlier run of this job has written, if there is something.</summary>
    /// <param name="header">Of this job.</param>
    /// <returns>Hashes of the samples that are in.</returns>
    static ulong[] Resumed(string path, StatsHeader header, Tally<WideMoments> tally, SampleSource source, ReadOnlySpan<int> planned, CancellationToken cancellation)
    {
        if (!File.Exists(path))
        {
            return [];
        }
        using var file = StatsFile.Open(path);
        string? difference = file.Header.Model != header.Model ? "another model"
            : file.Header.Job != header.Job ? file.Header.Job.ToString()
            : !file.Header.Measures(header) ? "other layers"
            : null;
        ulong[] done = file.Samples();
        if (difference == null && done.Length > 0 && SampleHash.Of(source, planned[(done.Length - 1)..done.Length], cancellation)[0] != done[^1])
        {
            difference = "other samples";
        }
        if (difference != null)
        {
            throw new OptionException($"--stats {path}: holds {difference}, and this is {header.Job}; remove it or choose another name");
        }
        file.AddTo(tally);
        return done;
    }

    static void Fill(
        Calibrator calibrator, Tally<WideMoments> tally, Sampling sampling, ReadOnlyMemory<int> planned, List<ulong> done, int leastPerRun, double seconds, long memory,
        Action write)
    {
        int written = done.Count;
        long last = Stopwatch.GetTimestamp();
        void Write()
        {
            long start = Stopwatch.GetTimestamp();
            write();
            (written, last) = (done.Count, Stopwatch.GetTimestamp());
            seconds = Math.Max(seconds, CheckpointShare * Stopwatch.GetElapsedTime(start, last).TotalSeconds);
        }

        try
        {
            calibrator.Fill(tally, sampling, planned[done.Count..], (run, _) =>
            {
                done.AddRange(SampleHash.Of(run, leastPerRun));
                if (done.Count == planned.Length || Stopwatch.GetElapsedTime(last).TotalSeconds >= seconds)
                {
                    Write();
                }
            }, memory);
        }
        catch (OperationCanceledException) when (done.Count > written) // between two runs: all that is done is in the tally
        {
            Write();
            throw;
        }
    }

    static MeasuredValue Measured(
        Tap tap, WideMoments moments, Layer[] layers, IReadOnlyDictionary<string, long[]> shapes, IReadOnlyDictionary<Layer, int> patchSteps)
    {
        double squares = Enumerable.Range(0, tap.Groups).Sum(g => Enumerable.Range(0, tap.Size).Sum(i => moments.ProductsHigh.Span[g * WideMoments.Triangle(tap.Size) + WideMoments.Triangle(i) + i]));
        var readers = layers.Where(layer => Probes.TapsOf(layer, shapes, patchSteps.GetValueOrDefault(layer)).Contains(tap));
        return new(
            tap.Patches == null ? tap.Value : $"patches of {tap.Value}", [.. readers.Select(layer => layer.Name).Distinct()], tap.Groups, tap.Size, moments.Count, Math.Sqrt(squares / (Math.Max(1, moments.Count) * tap.Groups * tap.Size)),
            WideMoments.Bytes(tap.Groups, tap.Size));
    }
}
