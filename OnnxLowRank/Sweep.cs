using OnnxLowRank.Runtime;
using OnnxLowRank.Samples;

namespace OnnxLowRank;

/// <summary>Size against what it costs, over a range of settings.</summary>
public static class Sweep
{
    /// <summary>Tries every setting on every model. Whole compressions write their models, other sweeps write nothing.</summary>
    /// <exception cref="OptionException">An option is out of range.</exception>
    /// <exception cref="ModelException">A model cannot be read, is not valid or cannot be run.</exception>
    /// <exception cref="DataException">Samples or labels cannot be read or do not fit a model.</exception>
    /// <exception cref="DeviceException">The device or ONNX Runtime cannot be had.</exception>
    /// <exception cref="IOException">A model cannot be written.</exception>
    /// <exception cref="OperationCanceledException">The user wants to stop.</exception>
    public static SweepReport Run(SweepOptions options, IProgress<StageProgress>? progress = null, CancellationToken cancellation = default)
    {
        options.Validate();
        if (options.Folder != null)
        {
            Directory.CreateDirectory(options.Folder);
        }
        var sink = new SweepSink(options, progress);
        foreach (string input in options.Inputs)
        {
            switch (options.Kind)
            {
                case SweepKind.Ranks:
                    RankSweep.Run(options, input, sink, cancellation);
                    break;
                case SweepKind.Errors:
                    ErrorSweep.Run(options, input, sink, cancellation);
                    break;
                default:
                    TradeoffSweep.Run(options, input, sink, cancellation);
                    break;
            }
            sink.FinishModel();
        }
        return sink.Report();
    }
}

/// <summary>Gathers what the sweeps find, model by model.</summary>
sealed class SweepSink(SweepOptions options, IProgress<StageProgress>? progress)
{
    readonly List<SweptModel> _models = [];
    readonly List<SweepPoint> _points = [];
    readonly List<string> _notes = [];
    string _metric = "";
    int _finished;
    RuntimeInfo? _runtime;

    /// <summary>Starts a model.</summary>
    /// <param name="metric">The same for all of them: they share samples and labels.</param>
    public void Start(SweptModel model, string metric)
    {
        _models.Add(model);
        _metric = metric;
    }

    public void Add(SweepPoint point) => _points.Add(point);

    public void Note(string text)
    {
        if (!_notes.Contains(text))
        {
            _notes.Add(text);
        }
    }

    /// <summary>What runs the models and the algebra: the same for all of them.</summary>
    public void RunsOn(RuntimeInfo runtime) => _runtime = runtime;

    /// <summary>Tells how much of the running model is done, 0…1.</summary>
    public void Progress(double fraction) => progress?.Report(new("sweep", (_finished + fraction) / options.Inputs.Count));

    public void FinishModel() => _finished++;

    public SweepReport Report() => new(
        ReportBuilder.Tool, _runtime!, options.Kind, _metric, options.Tolerance, _models, _points,
        options.Kind == SweepKind.Ranks ? [.. RankSweep.GoodEnough(_points, options.Tolerance)] : [], _notes);
}
