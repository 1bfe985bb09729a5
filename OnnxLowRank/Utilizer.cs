using System.Diagnostics;
using OnnxLowRank.Factorization;
using OnnxLowRank.Layers;
using OnnxLowRank.Numerics;
using OnnxLowRank.Onnx;
using OnnxLowRank.Planning;
using OnnxLowRank.Rewriting;
using OnnxLowRank.Runtime;
using OnnxLowRank.Samples;
using OnnxLowRank.Storage;
using OnnxLowRank.Utilization;

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
        UtilizationOptions options, IProgress<StageProgress>? progress = null, CancellationToken cancellation = default)
    {
        options.Validate();
        long start = Stopwatch.GetTimestamp();
        var clock = new StageClock(progress);
        clock.Enter("load");
        using var job = UtilizationJob.Open(options, cancellation);
        var (search, source) = (job.Search, job.Source);
        var found = LayerFinder.Find(search.Model, new(options.Only, options.Skip, options.ConstantInputs));
        var leftAlone = found.LeftAlone.Select(node => new InspectedNode(node.Name, node.Op, node.Shape, node.Bytes, node.Reason)).ToList();
        var layers = Searchable(search, found, leftAlone);
        var facts = FileFacts.Of(options.Input, search.Model);
        var state = UtilizationState.Empty(facts.Sha256, UtilizationState.Hash(options.Labels == null ? source.Files : source.Files.Append(options.Labels)), options.Signature);
        state = options.State == null ? state : state.LoadFrom(options.State);
        RequireSame(state, layers, options.State);
        int resumed = state.Layers.Count;

        clock.Enter("utilize");
        search.Evaluator.Prepare(job.Shares.Search);
        var passes = ForwardPasses.Of((double)job.Shares.Search.Length / source.Count);
        double expected = layers.Skip(resumed).Sum(item => search.Expected(item.Layer, item.Cut)), done = 0;
        var results = new List<UtilizedLayer>();
        var operands = new Dictionary<Layer, float[]>();
        foreach (var (layer, cut) in layers)
        {
            cancellation.ThrowIfCancellationRequested();
            var (inputs, vectors, ofMoments) = search.Inputs(layer, cut);
            passes = passes.Plus(ofMoments);
            if (results.Count >= resumed)
            {
                double part = search.Expected(layer, cut) / Math.Max(expected, double.Epsilon);
                var searched = search.Find(layer, cut, inputs, probes => clock.Report(done + part * probes));
                done += part;
                passes = passes.Plus(searched.Passes);
                state = state with { Layers = [.. state.Layers, searched] };
                if (options.State != null)
                {
                    state.SaveTo(options.State);
                }
            }
            var dimensions = state.Layers[results.Count];
            var weight = LayerSearch.Projected(inputs, dimensions);
            operands[layer] = layer.OperandFor(weight);
            results.Add(Result(search, layer, weight, dimensions));
            AddNotes(job.Notes, layer, dimensions, vectors);
            Garbage.Collect(layer.Elements);
        }

        clock.Enter("verify");
        using var candidate = ModelSession.Open(WithOperands(search.Model, operands), search.Device, options.Threads);
        var verified = search.Evaluator.Measure(candidate, job.Shares.Verification, Alpha);
        passes = passes.Plus(ForwardPasses.Of(2.0 * job.Shares.Verification.Length / source.Count)); // the original and the result
        var before = new ModelWork(ModelFiles.Parameters(search.Model), search.Cost.Macs);
        var after = new ModelWork(
            before.Parameters - results.Sum(layer => layer.Before.Parameters - layer.After.Parameters), before.Macs - results.Sum(layer => layer.Before.Macs - layer.After.Macs));
        return new(
            ReportBuilder.Tool, facts, RuntimeInfo.Of(search.Device, search.Algebra, options.Threads),
            job.Metric.ToString().ToLowerInvariant(), options.Delta, options.Seed,
            new(job.Shares.Moments.Length, job.Shares.Search.Length, job.Shares.Verification.Length), results.Count > 0 ? results.Average(layer => layer.Utilization) : null,
            before, after, verified, passes, Stopwatch.GetElapsedTime(start).TotalSeconds, resumed, results, leftAlone, job.Notes);
    }

    /// <summary>The layers that can be searched; the others get a reason.</summary>
    static List<(Layer Layer, LayerCut Cut)> Searchable(LayerSearch search, FoundLayers found, List<InspectedNode> leftAlone)
    {
        var layers = new List<(Layer, LayerCut)>();
        foreach (var layer in found.Layers)
        {
            var cut = new LayerCut(search.Model, layer, search.Outputs);
            string obstacle = search.Obstacle(layer, cut);
            if (obstacle.Length == 0)
            {
                layers.Add((layer, cut));
            }
            else
            {
                leftAlone.Add(new(layer.Name, layer.Node.OpType, layer.Weight.Dims, layer.Weight.StoredBytes, obstacle));
            }
        }
        return layers;
    }

    static void RequireSame(UtilizationState state, List<(Layer Layer, LayerCut Cut)> layers, string? path)
    {
        bool fits = state.Layers.Count <= layers.Count && state.Layers.Zip(layers).All(pair =>
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

    static UtilizedLayer Result(LayerSearch search, Layer layer, Matrix projected, SearchedLayer found)
    {
        var (algebra, shapes) = (search.Algebra, search.Shapes);
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
    static OnnxModel WithOperands(OnnxModel model, Dictionary<Layer, float[]> operands)
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
