using OnnxLowRank.Calibration;
using OnnxLowRank.Layers;
using OnnxLowRank.Numerics;
using OnnxLowRank.Onnx;
using OnnxLowRank.Runtime;
using OnnxLowRank.Samples;
using OnnxLowRank.Utilization;
using OnnxLowRank.Validation;

namespace OnnxLowRank;

/// <summary>The user's model and data, opened and checked against each other, and the search that is to run on them.</summary>
sealed class UtilizationJob : IDisposable
{
    readonly ModelSession _original;

    UtilizationJob(ModelSession original, SampleSource source) => (_original, Source) = (original, source);

    public SampleSource Source { get; }

    public required SampleShares Shares { get; init; }

    public required Metric Metric { get; init; }

    public required LayerSearch Search { get; init; }

    /// <summary>What a careful user wants to know.</summary>
    public required List<string> Notes { get; init; }

    /// <exception cref="ModelException">The model cannot be read, is not valid, cannot be run or tells no classes apart.</exception>
    /// <exception cref="DataException">Samples or labels cannot be read or do not fit the model.</exception>
    /// <exception cref="DeviceException">The device or ONNX Runtime cannot be had.</exception>
    public static UtilizationJob Open(UtilizationOptions options, CancellationToken cancellation)
    {
        var model = Flattened.Of(OnnxModel.Load(options.Input));
        var device = Device.Open(options.Device, options.Threads);
        var original = ModelSession.Open(model, device, options.Threads);
        SampleSource? source = null;
        try
        {
            source = SampleSource.Open(options.Calibration, [.. original.Inputs.Select(input => Workspace.Spec(input.Key, input.Value))]);
            return Of(options, model, device, original, source, cancellation);
        }
        catch
        {
            source?.Dispose();
            original.Dispose();
            throw;
        }
    }

    static UtilizationJob Of(
        UtilizationOptions options, OnnxModel model, Device device, ModelSession original, SampleSource source, CancellationToken cancellation)
    {
        var metric = MetricChoice.Of(options.Labels == null ? Metric.Agreement : Metric.Accuracy, options.Labels == null ? null : Labels.Read(options.Labels, source.Count), model, original);
        RequireClasses(original, metric.Outputs[0]);
        var shares = SampleShares.Of(source.Count, options.Seed);
        var notes = Notable(options, device, source, shares, hasOneAnswer: original.Outputs[metric.Outputs[0]].Dimensions.Length <= 2);
        var algebra = LinearAlgebra.Create(options.Threads, notes.Add);
        var sampling = new Sampling(source, options.Batch, cancellation);
        // Layers that are not searched cost work too.
        Layer[] layers = [.. LayerFinder.Find(model, new(ConstantInputs: options.ConstantInputs)).Measured];
        var shapes = new Calibrator(model, layers, device, options.Threads).Shapes(sampling);
        sampling.FitTo(Calibrator.BytesPerSample(shapes));
        return new(original, source)
        {
            Shares = shares,
            Metric = metric.Metric,
            Notes = notes,
            Search = new(shares, options.Seed)
            {
                Model = model,
                Device = device,
                Threads = options.Threads,
                Algebra = algebra,
                Sampling = sampling,
                Evaluator = new(metric.Scorer, metric.Outputs, sampling, original),
                Outputs = metric.Outputs,
                Shapes = shapes,
                Cost = new(layers.ToDictionary(layer => layer, layer => Inspector.Macs(layer, shapes))),
                Delta = options.Delta,
            },
        };
    }

    /// <param name="hasOneAnswer">Whether samples have one answer each, not one per token or pixel.</param>
    static List<string> Notable(UtilizationOptions options, Device device, SampleSource source, SampleShares shares, bool hasOneAnswer)
    {
        List<string> notes = [.. device.Note.Length > 0 ? source.Notes.Prepend(device.Note) : source.Notes];
        if (hasOneAnswer && options.Delta * shares.Search.Length < 1)
        {
            notes.Add(FormattableString.Invariant($"δ = {options.Delta} is less than one of {shares.Search.Length} search samples: no projection may lose any of them; more samples make the limit finer"));
        }
        return notes;
    }

    /// <exception cref="ModelException">All answers of the model would agree.</exception>
    static void RequireClasses(ModelSession original, string output)
    {
        if (original.Outputs[output].Dimensions is { Length: <= 2 } dims && dims.LastOrDefault(1) == 1)
        {
            throw new ModelException($"output '{output}' has one number per sample: no classes, by which utilization is measured");
        }
    }

    public void Dispose()
    {
        Source.Dispose();
        _original.Dispose();
    }
}
