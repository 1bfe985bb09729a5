using OnnxLowRank.Runtime;
using OnnxLowRank.Samples;

namespace OnnxLowRank;

/// <summary>A model that is timed, loaded and with its input at hand.</summary>
sealed class TimedModel : IDisposable
{
    readonly ModelFile _model;
    readonly SampleSource _source;

    TimedModel(ModelFile model, SampleSource source, int[] batches) => (_model, _source, Batches) = (model, source, batches);

    /// <summary>Samples per run that the model takes of those that are wanted, ascending.</summary>
    public int[] Batches { get; }

    /// <summary>Samples that a run must have, or at most can have.</summary>
    public int OwnBatch => _source.RunSize(int.MaxValue);

    /// <summary>What the process's working set grew by when the model was loaded and run once with its largest batch, without the input.</summary>
    public long MemoryBytes { get; private set; }

    /// <summary>What a careful user wants to know about the samples.</summary>
    public IReadOnlyList<string> Notes => _source.Notes;

    /// <param name="calibration">Samples, or null to make some.</param>
    /// <param name="batches">Samples per run that are wanted; null for a few that the model takes.</param>
    /// <exception cref="ModelException">ONNX Runtime refuses the model or cannot run it.</exception>
    /// <exception cref="DataException">Samples do not fit, or are needed because the model leaves shapes open.</exception>
    public static TimedModel Open(string path, string? calibration, IReadOnlyList<int>? batches, Device device, int threads)
    {
        long before = WorkingSet.Bytes();
        var model = ModelFile.Open(path, device, threads);
        SampleSource? source = null;
        try
        {
            source = Samples(model, calibration);
            int[] taken = batches == null
                ? [.. Benchmark.Batches.Select(source.RunSize).Distinct().Order()]
                : [.. batches.Where(batch => source.RunSize(batch) == batch).Distinct().Order()];
            var timed = new TimedModel(model, source, taken);
            if (taken.Length > 0)
            {
                using var run = timed.Read(taken[^1]);
                timed.Run(run)().Dispose();
                timed.MemoryBytes = Math.Max(0, WorkingSet.Bytes() - before - run.Inputs.Sum(input => input.Bytes.Length));
            }
            return timed;
        }
        catch
        {
            source?.Dispose();
            model.Dispose();
            throw;
        }
    }

    static SampleSource Samples(ModelFile model, string? calibration)
    {
        var inputs = Signatures.Inputs(model);
        return calibration != null
            ? SampleSource.Open(calibration, inputs)
            : GeneratedSamples.For(inputs) ?? throw new DataException($"{model.Path}: needs --calib: its inputs leave more than the batch open ({string.Join(", ", inputs.AsEnumerable())})");
    }

    /// <summary>The first samples, over and over if there are fewer.</summary>
    public SampleRun Read(int batch) => _source.Read([.. Enumerable.Range(0, batch).Select(i => i % _source.Count)]);

    /// <summary>One run for all outputs.</summary>
    public Func<IDisposable> Run(SampleRun samples)
    {
        string[] outputs = [.. _model.Session.OutputNames];
        return () => _model.Run(samples, outputs);
    }

    public void Dispose()
    {
        _source.Dispose();
        _model.Dispose();
    }
}
