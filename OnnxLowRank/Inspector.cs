using OnnxLowRank.Calibration;
using OnnxLowRank.Factorization;
using OnnxLowRank.Layers;
using OnnxLowRank.Numerics;
using OnnxLowRank.Onnx;
using OnnxLowRank.Planning;
using OnnxLowRank.Runtime;
using OnnxLowRank.Samples;

namespace OnnxLowRank;

/// <summary>Tells where a model's capacity sits and what a cut would lose, without changing anything.</summary>
public static class Inspector
{
    /// <summary>Of the energy, kept where a layer's gain is told.</summary>
    const double Kept = 0.999;

    /// <summary>Parts of the break-even rank at which losses are told.</summary>
    static readonly double[] s_ranks = [0.125, 0.25, 0.5, 1];

    /// <summary>Looks at every layer's weight and, with samples, at its outputs.</summary>
    /// <exception cref="OptionException">An option is out of range.</exception>
    /// <exception cref="ModelException">The model cannot be read, is not valid or cannot be run.</exception>
    /// <exception cref="DataException">Samples cannot be read or do not fit the model.</exception>
    /// <exception cref="DeviceException">The device or ONNX Runtime cannot be had.</exception>
    /// <exception cref="OperationCanceledException">The user wants to stop.</exception>
    public static InspectionReport Run(
        InspectionOptions options, IProgress<StageProgress>? progress = null, CancellationToken cancellation = default)
    {
        options.Validate();
        var clock = new StageClock(progress);
        clock.Enter("load");
        var model = Flattened.Of(OnnxModel.Load(options.Input));
        var notes = new List<string>();
        var found = LayerFinder.Find(model, new(options.Only, options.Skip, options.ConstantInputs));
        Layer[] running = [.. found.Measured];
        var device = Device.Open(options.Device, options.Threads);
        if (device.Note.Length > 0)
        {
            notes.Add(device.Note);
        }
        var algebra = LinearAlgebra.Create(options.Threads, notes.Add);

        using var source = Open(options, model, device, notes);
        IReadOnlyDictionary<string, long[]>? shapes = null;
        Measured? measured = null;
        if (source != null)
        {
            var sampling = new Sampling(source, options.Batch, cancellation);
            var calibrator = new Calibrator(model, running, device, options.Threads);
            shapes = calibrator.Shapes(sampling);
            if (options.Calibration != null)
            {
                clock.Enter("calibrate");
                sampling.OnSamplesRun = () => clock.ReportCalibration(sampling.Passes);
                sampling.FitTo(Calibrator.BytesPerSample(shapes));
                measured = calibrator.Collect(sampling, Enumerable.Range(0, source.Count).ToArray(), shapes, withRanges: false);
            }
        }

        double parameters = ModelFiles.Parameters(model);
        var macs = shapes == null ? null : found.Layers.ToDictionary(layer => layer, layer => Macs(layer, shapes));
        double? all = macs?.Values.Sum();
        var layers = new List<InspectedLayer>();
        clock.Enter("decompose");
        double work = found.Layers.Sum(Work), done = 0;
        foreach (var layer in found.Layers)
        {
            cancellation.ThrowIfCancellationRequested();
            layers.Add(Look(algebra, layer, measured, parameters, macs?[layer], all));
            measured?.Forget(layer);
            clock.Report((done += Work(layer)) / work);
        }
        return new(
            ReportBuilder.Tool, FileFacts.Of(options.Input, model), RuntimeInfo.Of(device, algebra, options.Threads),
            measured == null ? 0 : source!.Count, (long)parameters, all,
            [.. layers.OrderByDescending(layer => layer.Gain).ThenByDescending(layer => layer.Parameters)],
            [.. found.LeftAlone.Select(node => new InspectedNode(node.Name, node.Op, node.Shape, node.Bytes, node.Reason))], notes);
    }

    /// <summary>The user's samples, or one that shapes can be learned from, or null with a note where neither is there.</summary>
    static SampleSource? Open(InspectionOptions options, OnnxModel model, Device device, List<string> notes)
    {
        using var session = ModelSession.Open(model, device, options.Threads);
        if (options.Calibration == null && session.Inputs.Select(input => Workspace.WhyNotFed(input.Key, input.Value)).FirstOrDefault(why => why.Length > 0) is { } obstacle)
        {
            notes.Add($"multiply-adds are not known: {obstacle}");
            return null;
        }
        InputSpec[] inputs = [.. session.Inputs.Select(input => Workspace.Spec(input.Key, input.Value))];
        if (options.Calibration != null)
        {
            var samples = SampleSource.Open(options.Calibration, inputs);
            notes.AddRange(samples.Notes);
            return samples;
        }
        var generated = GeneratedSamples.For(inputs);
        if (generated == null)
        {
            notes.Add($"multiply-adds depend on shapes that the model leaves open ({string.Join(", ", inputs.AsEnumerable())}); with --calib they are known");
        }
        return generated;
    }

    /// <summary>What a decomposition costs: about m·n·min(m, n) per group.</summary>
    static double Work(Layer layer) => (double)layer.Elements * Math.Min(layer.OutPerGroup, layer.In);

    internal static double Macs(Layer layer, IReadOnlyDictionary<string, long[]> shapes) =>
        layer.Kind == LayerKind.Constant ? 0 : Product.Of(new LayerPlan.Keep(layer), Analysis.PositionsOf(layer, shapes)).Sum(product => product.Macs);

    static InspectedLayer Look(ILinearAlgebra algebra, Layer layer, Measured? measured, double parameters, double? macs, double? all)
    {
        var weight = layer.ReadWeight();
        Matrix[] parts = [.. Enumerable.Range(0, layer.Groups).Select(g => layer.GroupOf(weight, g))];
        int most = Math.Min(layer.OutPerGroup, layer.In);
        Spectrum[] ofWeight = [.. parts.Select(part => SvdMethod.Of(algebra, part, most))];
        Spectrum[]? ofOutput = measured == null || layer.Kind == LayerKind.Constant ? null
            : [.. parts.Select((part, g) => Decomposing.OutputBasisOf(algebra, layer, part, measured.Moments[layer], g))];
        var energies = ofOutput ?? ofWeight;
        int rank = RankFigures.RankKeeping(energies, Kept), breakEven = Math.Max(0, layer.BreakEvenRank);
        double saved = rank > breakEven ? 0 : layer.Elements - new LayerPlan.Factorize(layer, Math.Max(1, rank), WeightFormat.Float32).Elements;
        return new(
            layer.Name, layer.Node.OpType, layer.Weight.Dims, layer.Elements, layer.Elements / parameters, macs, all > 0 ? macs / all : null,
            most, breakEven, RankFigures.Of(ofWeight), ofOutput == null ? null : RankFigures.Of(ofOutput),
            [.. s_ranks.Select(part => (int)Math.Ceiling(part * breakEven)).Where(r => r > 0).Distinct().Select(r => new PredictedLoss(r, RankFigures.Lost(energies, r)))],
            Math.Max(0, saved) / parameters);
    }
}
