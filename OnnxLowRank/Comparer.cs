using OnnxLowRank.Calibration;
using OnnxLowRank.Layers;
using OnnxLowRank.Onnx;
using OnnxLowRank.Runtime;
using OnnxLowRank.Samples;
using OnnxLowRank.Validation;

namespace OnnxLowRank;

/// <summary>Measures one model against another on the same samples, by every metric that applies.</summary>
public static class Comparer
{
    /// <summary>1 − confidence of every interval.</summary>
    const double Alpha = 0.05;

    /// <summary>Runs both models once over all samples.</summary>
    /// <exception cref="OptionException">An option is out of range.</exception>
    /// <exception cref="ModelException">A model cannot be read, is not valid or cannot be run, or they do not take and give the same.</exception>
    /// <exception cref="DataException">Samples or labels cannot be read or do not fit the models.</exception>
    /// <exception cref="DeviceException">The device or ONNX Runtime cannot be had.</exception>
    /// <exception cref="OperationCanceledException">The user wants to stop.</exception>
    public static ComparisonReport Run(ComparisonOptions options, CancellationToken cancellation = default)
    {
        options.Validate();
        OnnxModel a = OnnxModel.Load(options.First), b = OnnxModel.Load(options.Second);
        var device = Device.Open(options.Device, options.Threads);
        using var first = ModelFile.Open(options.First, device, options.Threads);
        using var second = ModelFile.Open(options.Second, device, options.Threads);
        using var source = SampleSource.Open(options.Calibration, Signatures.Common(first, second));
        List<string> notes = device.Note.Length > 0 ? [device.Note, .. source.Notes] : [.. source.Notes];
        var labels = options.Labels == null ? null : Labels.Read(options.Labels, source.Count);

        var measures = ModelFile.Naming(first.Path, () => Measure.All(labels, a, b, first.Session, notes));
        string? classOutput = measures.Find(measure => measure.Metric == Measure.Agreement)?.Output;
        var classes = classOutput == null ? null : new ClassTally(labels);
        var sampling = new Sampling(source, options.Batch, cancellation);
        sampling.FitTo(ModelFile.Naming(first.Path, () => BytesPerSample(a, first, sampling, device, options.Threads)));
        new Comparison(first, second, sampling, measures, classes, classOutput).Run(Enumerable.Range(0, source.Count).ToArray());

        var samples = Samples(measures, classes, labels);
        return new(
            ReportBuilder.Tool, FileFacts.Of(options.First, a), FileFacts.Of(options.Second, b), MachineInfo.Of(device), options.Threads, source.Count, [.. measures.Select(Metric)], classOutput,
            [.. (classes?.Losses(Alpha) ?? []).Select(item => new ComparedClass(item.Class, item.Places, item.Loss.Original, item.Loss.Compressed, item.Loss.Estimate, item.Loss.Low, item.Loss.High))],
            [.. samples.Where(sample => sample.RelativeChange > 0).OrderByDescending(sample => sample.RelativeChange).Take(options.Worst)],
            [.. samples.Where(sample => sample.Broken > 0).OrderByDescending(sample => sample.Broken)], notes);
    }

    /// <summary>What one sample takes inside the models, about: of the first one's layers, and of the outputs that are compared.</summary>
    static long BytesPerSample(OnnxModel model, ModelFile first, Sampling sampling, Device device, int threads)
    {
        Layer[] layers = [.. LayerFinder.Find(model, new()).Measured];
        long inside = Calibrator.BytesPerSample(new Calibrator(model, layers, device, threads).Shapes(sampling)), outputs = 0;
        sampling.First(1, run =>
        {
            using var results = first.Run(run, MetricChoice.Floats(first.Session));
            outputs = results.Sum(result => sizeof(float) * result.GetTensorTypeAndShape().ElementCount);
        });
        return inside + 2 * outputs;
    }

    static ComparedMetric Metric(Measure measure)
    {
        var loss = measure.Scorer.Total(measure.Rows, Alpha);
        bool hasOwn = measure.Metric is not ("kl" or Measure.Relative) && double.IsFinite(loss.Estimate);
        return new(measure.Metric, measure.Output, hasOwn ? loss.Original : null, hasOwn ? loss.Compressed : null, loss.Estimate, loss.Low, loss.High);
    }

    /// <summary>Every sample, in order.</summary>
    static List<ComparedSample> Samples(List<Measure> measures, ClassTally? classes, Labels? labels)
    {
        var distances = measures.Where(measure => measure.Metric == Measure.Relative).ToList();
        var accuracy = measures.Find(measure => measure.Metric == Measure.Accuracy);
        var samples = new List<ComparedSample>();
        for (int i = 0; i < distances[0].Rows.Count; i++)
        {
            var (output, change) = distances.Select(measure => (measure.Output, Change(measure.Rows[i]))).MaxBy(pair => pair.Item2);
            (int First, int Second)? answers = classes?.Answers.Count > 0 ? classes.Answers[i] : null;
            int? label = labels is { PerSample: 1 } && labels.Of(i)[0] >= 0 ? labels.Of(i)[0] : null;
            samples.Add(new(i, output, change, (int?)accuracy?.Rows[i][0], label, answers?.First, answers?.Second));
        }
        return samples;
    }

    /// <summary>‖Δy‖/‖y‖ of one sample; infinite where y is zero and moved, or Δy is not a number.</summary>
    static double Change(double[] row) => row[0] == 0 ? 0 : Math.Sqrt(row[0] / row[1]) is var change && double.IsNaN(change) ? double.PositiveInfinity : change;
}
