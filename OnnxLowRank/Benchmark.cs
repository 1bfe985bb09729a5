using OnnxLowRank.Onnx;
using OnnxLowRank.Runtime;
using OnnxLowRank.Samples;

namespace OnnxLowRank;

/// <summary>Times models against each other, in turns in one process.</summary>
public static class Benchmark
{
    /// <summary>Fewer than six rounds have no 95 % interval (<see cref="Statistics.MedianInterval"/>); with ten it leaves out the extremes.</summary>
    const int FewestRounds = 10;

    /// <summary>Counted time of a turn of the slowest model, in milliseconds: short, so that both models of a round meet the same noise.</summary>
    const double Turn = 20;

    /// <summary>What the turn before has left in the caches is gone after this; where threads are not shared, those of other models spin for far longer.</summary>
    static readonly TimeSpan s_settling = TimeSpan.FromMilliseconds(5), s_spinning = TimeSpan.FromMilliseconds(50), s_warmUp = TimeSpan.FromMilliseconds(100);

    /// <summary>Samples per run where the user names none.</summary>
    internal static readonly int[] Batches = [1, 32];

    /// <summary>Times every model in every setting.</summary>
    /// <exception cref="OptionException">An option is out of range, or no model takes any of the batches.</exception>
    /// <exception cref="ModelException">A model cannot be read, is not valid or cannot be run.</exception>
    /// <exception cref="DataException">Samples cannot be read or do not fit a model, or are needed because a model leaves shapes open.</exception>
    /// <exception cref="DeviceException">The device or ONNX Runtime cannot be had.</exception>
    /// <exception cref="OperationCanceledException">The user wants to stop.</exception>
    public static BenchmarkReport Run(BenchmarkOptions options, CancellationToken cancellation = default)
    {
        options.Validate();
        FileFacts[] facts = [.. options.Models.Select(path => FileFacts.Of(path, OnnxModel.Load(path)))];
        var device = Device.Open(options.Device, options.Threads.Max());
        using (ModelSession.Open(TrialModel.Bytes(), device, options.Threads[0])) // what ONNX Runtime itself takes is no model's memory
        {
        }
        List<string> notes = device.Note.Length > 0 ? [device.Note] : [];
        var settings = new List<BenchmarkSetting>();
        BenchmarkedModel[]? models = null;
        foreach (int threads in options.Threads.Distinct())
        {
            var timed = new List<TimedModel>();
            try
            {
                foreach (string path in options.Models)
                {
                    cancellation.ThrowIfCancellationRequested();
                    timed.Add(TimedModel.Open(path, options.Calibration, options.Batches, device, threads));
                }
                if (models == null)
                {
                    models = [.. facts.Zip(timed, (file, model) => new BenchmarkedModel(file.Path, file.Sha256, file.Bytes, model.MemoryBytes))];
                    notes.AddRange(timed.SelectMany(model => model.Notes).Distinct());
                    notes.AddRange(LeftOut(options, timed));
                }
                settings.AddRange(timed.SelectMany(model => model.Batches).Distinct().Order()
                    .Select(batch => Measure(timed, threads, batch, options.Seconds, cancellation)));
            }
            finally
            {
                timed.ForEach(model => model.Dispose());
            }
        }
        return new(ReportBuilder.Tool, MachineInfo.Of(device), options.Calibration, options.Seconds, models!, settings, notes);
    }

    /// <summary>What is not measured, and why.</summary>
    /// <exception cref="OptionException">Nothing is.</exception>
    static IEnumerable<string> LeftOut(BenchmarkOptions options, List<TimedModel> timed)
    {
        if (timed.TrueForAll(model => model.Batches.Length == 0))
        {
            throw new OptionException($"--batch {string.Join(',', options.Batches!)}: {options.Models[0]} does not take it; its own batch is {timed[0].OwnBatch}");
        }
        foreach (var (path, model) in options.Models.Zip(timed))
        {
            int[] missing = [.. (options.Batches ?? []).Except(model.Batches).Order()];
            if (missing.Length > 0)
            {
                yield return $"{path}: not measured at batch {string.Join(", ", missing)}: it takes {model.OwnBatch} per run";
            }
        }
    }

    static BenchmarkSetting Measure(List<TimedModel> timed, int threads, int batch, double seconds, CancellationToken cancellation)
    {
        int[] taking = [.. Enumerable.Range(0, timed.Count).Where(i => timed[i].Batches.Contains(batch))];
        var inputs = new List<SampleRun>();
        try
        {
            inputs.AddRange(taking.Select(i => timed[i].Read(batch)));
            Func<IDisposable>[] runs = [.. taking.Zip(inputs, (i, input) => timed[i].Run(input))];
            List<double[][]> Take(TurnPlan plan) => Turns.Take(runs, plan, TimeProvider.System, cancellation);

            double slowest = Take(new(s_warmUp, Runs: 3, 1, 1, TimeSpan.Zero))[0].Max(times => times.Min());
            int count = (int)Math.Clamp(Turn / slowest, 1, 1000);
            return BenchmarkSetting.Of(threads, batch, taking, Take(new(SharedThreads.Has(threads) ? s_settling : s_spinning, count, FewestRounds, int.MaxValue, TimeSpan.FromSeconds(seconds * runs.Length))));
        }
        finally
        {
            inputs.ForEach(input => input.Dispose());
        }
    }
}
