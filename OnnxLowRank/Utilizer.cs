using System.Diagnostics;
using Microsoft.ML.OnnxRuntime;
using OnnxLowRank.Calibration;
using OnnxLowRank.Factorization;
using OnnxLowRank.Layers;
using OnnxLowRank.Numerics;
using OnnxLowRank.Onnx;
using OnnxLowRank.Planning;
using OnnxLowRank.Rewriting;
using OnnxLowRank.Runtime;
using OnnxLowRank.Samples;
using OnnxLowRank.Utilization;
using OnnxLowRank.Validation;

namespace OnnxLowRank;

/// <summary>
/// Tells how much of the space that their weights have a model's layers use on its data: W' = P_T·W·P_S with the smallest subspaces S of
/// the input and T of the output that keep the model's answers, and the rank of W'. Source: Garg et al. 2024 (arXiv 2407.04797).
/// </summary>
public static class Utilizer
{
    /// <summary>Of ‖W'‖², held by the singular values that count.</summary>
    const double Kept = 0.9999;

    /// <summary>1 − confidence of the verified interval.</summary>
    const double Alpha = 0.05;

    /// <summary>Searches every layer, then measures all projections together.</summary>
    /// <exception cref="OptionException">An option is out of range, or the state file is of another job.</exception>
    /// <exception cref="ModelException">The model cannot be read, is not valid or cannot be run.</exception>
    /// <exception cref="DataException">Samples or labels cannot be read or do not fit the model.</exception>
    /// <exception cref="DeviceException">The device or ONNX Runtime cannot be had.</exception>
    /// <exception cref="IOException">The state file cannot be read or written.</exception>
    /// <exception cref="OperationCanceledException">The user wants to stop; the state file holds the layers that are done.</exception>
    public static UtilizationReport Run(
        UtilizationOptions options, IProgress<CompressionProgress>? progress = null, CancellationToken cancellation = default)
    {
        options.Validate();
        long start = Stopwatch.GetTimestamp();
        var clock = new StageClock(progress);
        clock.Enter("load");
        var model = OnnxModel.Load(options.Input);
        var notes = new List<string>();
        var device = Device.Open(options.Device);
        var algebra = LinearAlgebra.Create(options.Threads, notes.Add);
        using var original = ModelSession.Open(model, device, options.Threads);
        using var source = SampleSource.Open(options.Calibration, [.. original.Inputs.Select(input => Workspace.Spec(input.Key, input.Value))]);
        notes.AddRange(device.Note.Length > 0 ? source.Notes.Prepend(device.Note) : source.Notes);
        var metric = MetricChoice.Of(options.Labels == null ? Metric.Agreement : Metric.Accuracy, Workspace.ReadLabels(options.Labels, source), model, original);
        RequireClasses(original, metric);
        var shares = SampleShares.Of(source.Count, options.Seed);
        var sampling = new Sampling(source, options.Batch, cancellation);
        string sha = ModelFiles.Sha256(options.Input);
        var state = UtilizationState.Empty(sha, UtilizationState.Hash(options.Labels == null ? source.Files : source.Files.Append(options.Labels)), options.Signature);
        state = options.State == null ? state : state.LoadFrom(options.State);

        var all = LayerFinder.Find(model, new(ConstantInputs: options.ConstantInputs)).Layers.Where(layer => layer.Kind != LayerKind.Constant).ToList();
        var found = LayerFinder.Find(model, new(options.Only, options.Skip, options.ConstantInputs));
        var shapes = new Calibrator(model, all, device, options.Threads).Shapes(sampling);
        sampling.FitTo(Calibrator.BytesPerSample(shapes));
        var macs = all.ToDictionary(layer => layer, layer => Inspector.Macs(layer, shapes));
        var evaluator = new Evaluator(metric.Scorer, metric.Outputs, sampling, original);
        var search = new LayerSearch(shares.Search, options.Seed)
        {
            Model = model,
            Device = device,
            Threads = options.Threads,
            Algebra = algebra,
            Sampling = sampling,
            Evaluator = evaluator,
            Outputs = metric.Outputs,
            Shapes = shapes,
            Cost = new(macs),
            MomentSamples = shares.Moments,
            SampleCount = source.Count,
            Delta = options.Delta,
        };

        var leftAlone = found.LeftAlone.Select(node => new InspectedNode(node.Name, node.Op, node.Shape, node.Bytes, node.Reason)).ToList();
        var jobs = Jobs(search, found, leftAlone);
        int resumed = Math.Min(state.Layers.Count, jobs.Count);
        RequireSame(state, jobs, options.State);
        clock.Enter("utilize");
        evaluator.Prepare(shares.Search);
        var passes = ForwardPasses.Of((double)shares.Search.Length / source.Count);
        double expected = jobs.Skip(resumed).Sum(job => search.Expected(job.Layer, job.Cut)), done = 0;
        var layers = new List<UtilizedLayer>();
        var projected = new Dictionary<Layer, float[]>();
        foreach (var (layer, cut) in jobs)
        {
            cancellation.ThrowIfCancellationRequested();
            var (inputs, vectors, ofMoments) = search.Inputs(layer, cut);
            passes = passes.Plus(ofMoments);
            if (layers.Count >= resumed)
            {
                double share = search.Expected(layer, cut) / expected;
                var searched = search.Find(layer, cut, inputs, probes => clock.Report(done + share * probes));
                done += share;
                passes = passes.Plus(searched.Passes);
                state = state with { Layers = [.. state.Layers, searched] };
                if (options.State != null)
                {
                    state.SaveTo(options.State);
                }
            }
            var result = state.Layers[layers.Count];
            var weight = LayerSearch.Projected(inputs, result);
            projected[layer] = layer.OperandFor(weight);
            layers.Add(Report(algebra, layer, weight, result, shapes));
            AddNotes(notes, layer, result, vectors);
            Garbage.Collect(layer);
        }

        clock.Enter("verify");
        using var candidate = ModelSession.Open(WithWeights(model, projected), device, options.Threads);
        var verified = evaluator.Measure(candidate, shares.Verification, Alpha);
        passes = passes.Plus(ForwardPasses.Of(2.0 * shares.Verification.Length / source.Count)); // the original and the result
        if (options.Delta * shares.Search.Length < 1)
        {
            notes.Add(FormattableString.Invariant($"δ = {options.Delta} is less than one of {shares.Search.Length} search samples: a projection may lose none of them; more samples make the limit finer"));
        }
        long parameters = ModelFiles.Parameters(model);
        double work = macs.Values.Sum();
        return new(
            ReportBuilder.Tool, new(options.Input, sha, ModelFiles.Bytes(options.Input, model)), new(OrtEnv.Instance().GetVersionString(), device.Name, algebra.Name, options.Threads),
            metric.Metric.ToString().ToLowerInvariant(), options.Delta, options.Seed, new(shares.Moments.Length, shares.Search.Length, shares.Verification.Length),
            layers.Count > 0 ? layers.Average(layer => layer.Utilization) : 0,
            new(parameters, work), new(parameters - layers.Sum(layer => layer.Before.Parameters - layer.After.Parameters), work - layers.Sum(layer => layer.Before.Macs - layer.After.Macs)),
            verified, passes, Stopwatch.GetElapsedTime(start).TotalSeconds, resumed, layers, leftAlone, notes);
    }

    /// <exception cref="ModelException">All answers of the model would agree.</exception>
    static void RequireClasses(ModelSession original, MetricChoice metric)
    {
        int[] dims = original.Outputs[metric.Outputs[0]].Dimensions;
        if (dims.Length <= 2 && dims.LastOrDefault(1) == 1)
        {
            throw new ModelException($"output '{metric.Outputs[0]}' has one number per sample; utilization is measured by classes, which it does not tell apart");
        }
    }

    /// <summary>The layers that can be searched; the others get a reason.</summary>
    static List<(Layer Layer, LayerCut Cut)> Jobs(LayerSearch search, FoundLayers found, List<InspectedNode> leftAlone)
    {
        var jobs = new List<(Layer, LayerCut)>();
        foreach (var layer in found.Layers)
        {
            var cut = new LayerCut(search.Model, layer, search.Outputs);
            string obstacle = search.Obstacle(layer, cut);
            if (obstacle.Length == 0)
            {
                jobs.Add((layer, cut));
            }
            else
            {
                leftAlone.Add(new(layer.Name, layer.Node.OpType, layer.Weight.Dims, layer.Weight.StoredBytes, obstacle));
            }
        }
        return jobs;
    }

    static void RequireSame(UtilizationState state, List<(Layer Layer, LayerCut Cut)> jobs, string? path)
    {
        bool fits = state.Layers.Count <= jobs.Count && state.Layers.Zip(jobs).All(pair =>
            pair.First.Name == pair.Second.Layer.Name && pair.First.InputDimension >= 1 && pair.First.InputDimension <= pair.Second.Layer.In
            && pair.First.OutputDimension >= 1 && pair.First.OutputDimension <= pair.Second.Layer.OutPerGroup);
        CompressionOptions.Require(fits, $"--state {path}: does not fit the model's layers; remove the file or name another");
    }

    static void AddNotes(List<string> notes, Layer layer, SearchedLayer searched, double vectors)
    {
        if (vectors < layer.In)
        {
            notes.Add($"{layer.Name}: {vectors:0} input vectors span at most so many of {layer.In} dimensions; more samples may show more");
        }
        if (!searched.IsCut)
        {
            notes.Add($"{layer.Name}: what lies before it was too large to remember, so that every probe ran the whole model");
        }
    }

    static UtilizedLayer Report(ILinearAlgebra algebra, Layer layer, Matrix projected, SearchedLayer found, IReadOnlyDictionary<string, long[]> shapes)
    {
        int most = Math.Min(layer.OutPerGroup, layer.In), rank = Rank(algebra, layer, projected);
        var before = new ModelWork(layer.Elements, Inspector.Macs(layer, shapes));
        var factors = new LayerPlan.Factorize(layer, Math.Max(1, rank), WeightFormat.Float32);
        bool pays = factors.Rank <= layer.BreakEvenRank;
        var after = pays ? new ModelWork(factors.Elements, Product.Of(factors, Analysis.PositionsOf(layer, shapes)).Sum(product => product.Macs)) : before;
        return new(
            layer.Name, layer.Node.OpType, layer.Weight.Dims, layer.In, found.InputDimension, layer.OutPerGroup, found.OutputDimension, most,
            Rank(algebra, layer, layer.ReadWeight()), rank, (double)rank / most, found.Loss, before, after, found.Probes, found.Passes, found.Seconds);
    }

    /// <summary>Singular values that hold <see cref="Kept"/> of ‖W‖², per group; their squares are eigenvalues of the smaller Gram matrix.</summary>
    static int Rank(ILinearAlgebra algebra, Layer layer, Matrix weight) => RankFigures.RankKeeping([.. Enumerable.Range(0, layer.Groups).Select(g =>
    {
        var part = layer.GroupOf(weight, g);
        double[] squares = Array.ConvertAll(algebra.Eigen(algebra.Gram(part, transpose: part.Rows > part.Cols)).Values, value => Math.Max(0, value));
        return new Spectrum(squares, squares.Sum());
    })], Kept);

    /// <summary>The model with other weights of its layers.</summary>
    static OnnxModel WithWeights(OnnxModel model, Dictionary<Layer, float[]> operands)
    {
        var result = model.Copy();
        var editor = new GraphEditor(result);
        var names = new Dictionary<Onnx.Proto.NodeProto, (Layer Layer, string Name)>(ReferenceEqualityComparer.Instance);
        foreach (var (layer, operand) in operands)
        {
            string name = editor.AddConstant(TensorData.Floats($"{layer.Name}_projected", operand, layer.Weight.Dims));
            foreach (var use in layer.Uses)
            {
                names[use.Node] = (layer, name);
            }
        }
        for (int i = 0; i < result.Graph.Node.Count; i++)
        {
            if (names.TryGetValue(model.Graph.Node[i], out var changed))
            {
                result.Graph.Node[i].Input[changed.Layer.OperandIndex] = changed.Name;
            }
        }
        result.Graph.KeepOnly([.. result.Graph.Output.Select(output => output.Name)]);
        return result;
    }
}
