using Microsoft.ML.OnnxRuntime;
using OnnxLowRank.Calibration;
using OnnxLowRank.Factorization;
using OnnxLowRank.Layers;
using OnnxLowRank.Numerics;
using OnnxLowRank.Onnx;
using OnnxLowRank.Onnx.Proto;
using OnnxLowRank.Planning;
using OnnxLowRank.Rewriting;
using OnnxLowRank.Runtime;
using OnnxLowRank.Storage;

namespace OnnxLowRank.Refitting;

/// <summary>
/// Fits layers to what the rewritten layers before them really feed them, in graph order. With x̃ what a layer reads in the rewritten model and x what it read in the
/// original, x ≈ M·x̃ + c is the least-squares guess at x: it takes back what part of the earlier layers' error can be told from x̃, and shrinks what is noise. The layer
/// becomes W·M with bias b + W·c before it is cut or rounded, whatever its plan is; that costs neither bytes nor time.
/// </summary>
/// <remarks>
/// A block of layers is fitted at a time, with all earlier ones already fitted: were all fitted at once, each would correct the same
/// error again. Samples that M has not seen choose λ, see <see cref="InputRegression"/>, and a fit is kept only where it lowers the error that reaches the layer's output on them.
/// </remarks>
/// <param name="inside">Spans between the factors of Conv layers.</param>
/// <param name="macs">Multiply-adds that a sample takes in the original's layers.</param>
/// <param name="memory">Bytes for the moments of a block. Layers that take too much of it stay as they are.</param>
sealed class Refitter(
    OnnxModel model, Rewriter rewriter, IReadOnlyDictionary<Layer, Decomposition> decompositions, IReadOnlyDictionary<Layer, NBitWeights> inFewBits, InnerRanges inside,
    IReadOnlyDictionary<string, long[]> shapes, ILinearAlgebra algebra, Device device, int threads, double macs, double memory)
{
    /// <summary>Samples fitted to at most, and at least as far as there are any; a quarter as many judge the fits.</summary>
    const int MostSamples = 512, FewestSamples = 16;

    /// <summary>Vectors per channel from which on more of them change nothing that matters: their noise is that share of what is lost anyway.</summary>
    const double EnoughVectors = 32;

    /// <summary>Channels of an input from which on there are hardly enough samples to say how they mix.</summary>
    const int Widest = 1024;

    /// <summary>Blocks, and so sessions, at least, where there are as many layers.</summary>
    const int FewestBlocks = 6;

    /// <summary>Multiply-adds for the fits of one plan, about: five seconds on a small machine. Large models get fewer and larger blocks, then fewer samples.</summary>
    const double MostMacs = 2.5e11;

    /// <summary>The same for all plans that one search runs, within these numbers of plans: fitting costs more than running.</summary>
    const double MostMacsOfAll = 2e12;

    const int FewestFits = 2, MostFits = 4;

    /// <summary>Solving takes about as many times a layer's moments.</summary>
    const int Solving = 3;

    readonly Dictionary<NodeProto, int> _positions = model.Graph.Node.Select((node, i) => KeyValuePair.Create(node, i)).ToDictionary((IEqualityComparer<NodeProto>)ReferenceEqualityComparer.Instance);

    sealed record Fit(LayerPlan Plan, CrossMoments[] Fitting, CrossMoments[] Judging);

    /// <summary>How many plans a search may fit.</summary>
    /// <param name="samples">That shape the plans.</param>
    public int Affordable(IReadOnlyCollection<LayerPlan> plans, int samples)
    {
        List<LayerPlan> fittable = [.. plans.Where(IsFittable)];
        var (blocks, most) = Effort(fittable, samples);
        double running = 1.25 * blocks * most * macs;
        double rounding = fittable.Where(plan => plan.Format.IsFewBits()).Sum(plan => (double)plan.Layer.In * plan.Layer.In * (plan.Layer.In + plan.Layer.Out));
        return (int)Math.Clamp(MostMacsOfAll / (running + rounding), FewestFits, MostFits);
    }

    /// <summary>What takes the place of a plan's layers where that helps.</summary>
    /// <param name="samples">Samples that shape the plan, which are fitted to.</param>
    /// <param name="judges">Samples that did not shape any factor.</param>
    public IReadOnlyDictionary<Layer, RefittedLayer> Refit(Sampling sampling, ReadOnlyMemory<int> samples, ReadOnlyMemory<int> judges, IReadOnlyCollection<LayerPlan> plans)
    {
        var refits = new Dictionary<Layer, RefittedLayer>();
        List<LayerPlan> fittable = [.. plans.Where(IsFittable)];
        var (blocks, most) = Effort(fittable, samples.Length);
        foreach (var block in Blocks(fittable, blocks))
        {
            int enough = Math.Min(most, block.Max(Enough));
            foreach (var fit in Measure(sampling, samples[..enough], judges[..Math.Min(judges.Length, (enough + 3) / 4)], plans, block, refits))
            {
                var layer = fit.Plan.Layer;
                if (new InputRegression(algebra, fit.Fitting, fit.Judging, RootOf(layer), HasOffset(fit.Plan)).Best() is { } guess)
                {
                    refits[layer] = Refitted(fit, guess);
                }
            }
            Garbage.Collect((long)block.Sum(Bytes) / sizeof(double));
        }
        return refits;
    }

    /// <summary>Whether a plan rewrites a layer whose input's channels can be told apart, and few enough for that.</summary>
    bool IsFittable(LayerPlan plan) => plan is not LayerPlan.Keep && plan.Layer is { Groups: 1, Kind: LayerKind.MatMul or LayerKind.LeftMatMul or LayerKind.Gemm or LayerKind.Conv }
        && Channels(plan.Layer) <= Widest && Solving * Bytes(plan) <= memory && plan.Layer.Uses.All(use => use.Addend == null);

    /// <summary>Whether a layer's output has a bias, or gets one without an operator of its own, or has another reason for one.</summary>
    static bool HasOffset(LayerPlan plan) => plan.Layer.Uses.All(use => use.Bias != null)
        || plan.Layer.Kind is LayerKind.Conv or LayerKind.Gemm || (plan.Layer.Kind == LayerKind.MatMul && (plan.RunsOnIntegers || plan.Format.IsFewBits()));

    static int Channels(Layer layer) => layer.In / (layer.IsConvolution ? layer.KernelSize : 1);

    int Enough(LayerPlan plan) => Enough(Channels(plan.Layer), plan.Layer.Uses.Sum(use => Tap.Vectors(InputOf(plan.Layer, use), shapes[use.Input])));

    /// <summary>Samples that give a layer enough vectors.</summary>
    /// <param name="vectors">Per sample: a sequence is many.</param>
    internal static int Enough(int channels, double vectors) => (int)Math.Clamp(Math.Ceiling(EnoughVectors * channels / Math.Max(1, vectors)), FewestSamples, MostSamples);

    Tap InputOf(Layer layer, LayerUse use) => layer.Kind == LayerKind.Conv ? Tap.AtConvInput(layer, use, shapes) : Tap.AtInput(layer, use, shapes);

    /// <summary>Of the moments of a layer that are fitted to and of those that judge, in double precision.</summary>
    static double Bytes(LayerPlan plan) => 4.0 * sizeof(double) * plan.Layer.Uses.Count * Channels(plan.Layer) * Channels(plan.Layer);

    /// <summary>Runs of layers that are fitted together: about so many, or more where the moments of one would take too much memory.</summary>
    IEnumerable<List<LayerPlan>> Blocks(List<LayerPlan> plans, int blocks)
    {
        int most = (plans.Count + blocks - 1) / blocks;
        double bytes = 0;
        var block = new List<LayerPlan>();
        foreach (var plan in plans)
        {
            if (block.Count == most || (block.Count > 0 && bytes + Bytes(plan) > memory))
            {
                yield return block;
                (block, bytes) = ([], 0);
            }
            block.Add(plan);
            bytes += Bytes(plan);
        }
        if (block.Count > 0)
        {
            yield return block;
        }
    }

    (int Blocks, int Samples) Effort(List<LayerPlan> plans, int samples) => Effort([.. plans.Select(Enough)], samples, macs);

    /// <summary>How many blocks are fitted, each on how many samples at most.</summary>
    /// <param name="enough">Samples that each layer wants.</param>
    /// <param name="samples">Samples that there are.</param>
    internal static (int Blocks, int Samples) Effort(IReadOnlyCollection<int> enough, int samples, double macs)
    {
        if (enough.Count == 0)
        {
            return (1, 0);
        }
        // Both models run, on average through half of their layers.
        double forwards = MostMacs / macs;
        int blocks = (int)Math.Clamp(forwards / enough.Average(wanted => Math.Min(wanted, samples)), Math.Min(FewestBlocks, enough.Count), enough.Count);
        return (blocks, (int)Math.Min(samples, Math.Max(FewestSamples, forwards / blocks)));
    }

    /// <summary>Moments of the inputs of a block's layers, of which some may not be there in the rewritten model, or be the same as before.</summary>
    List<Fit> Measure(
        Sampling sampling, ReadOnlyMemory<int> samples, ReadOnlyMemory<int> judges, IEnumerable<LayerPlan> plans, List<LayerPlan> block, Dictionary<Layer, RefittedLayer> refits)
    {
        // Layers behind the block will be fitted before they are of use, and what rounds their weights takes long.
        int end = block.Max(plan => plan.Layer.Uses.Max(PositionOf));
        var rewritten = rewriter.Apply(plans.Where(plan => PositionOf(plan.Layer.Uses[0]) < end), refits).Model;
        var computed = rewritten.Graph.Node.SelectMany(node => node.Output).ToHashSet(StringComparer.Ordinal);
        var fits = new List<Fit>();
        var all = new Dictionary<Tap, (CrossMoments Fitting, CrossMoments Judging)>();
        foreach (var plan in block.Where(plan => plan.Layer.Uses.All(use => computed.Contains(use.Input))))
        {
            var own = plan.Layer.Uses.Select(use => InputOf(plan.Layer, use)).Select(tap =>
            {
                if (!all.TryGetValue(tap, out var moments))
                {
                    all[tap] = moments = (new(tap.Size), new(tap.Size));
                }
                return moments;
            }).ToList();
            fits.Add(new(plan, [.. own.Select(moments => moments.Fitting)], [.. own.Select(moments => moments.Judging)]));
        }
        if (fits.Count == 0)
        {
            return fits;
        }
        var graph = new ProbeGraph(PairedGraph.Of(model, rewritten));
        foreach (var tap in all.Keys)
        {
            graph.AddCrossMoments(tap with { Value = PairedGraph.NameOf(tap.Value) }, tap);
        }
        using var session = ModelSession.Open(graph.ToModel(), device, threads);
        sampling.ForEach(sampling.WholeRuns(samples), (run, _) => Add(session.Run(run, graph.Outputs), all.Values.Select(moments => moments.Fitting)));
        sampling.ForEach(sampling.WholeRuns(judges), (run, _) => Add(session.Run(run, graph.Outputs), all.Values.Select(moments => moments.Judging)));
        return fits;
    }

    /// <summary>Where a use is in the graph; a constant, whose node may be no more than its name, is there from the start.</summary>
    int PositionOf(LayerUse use) => _positions.GetValueOrDefault(use.Node);

    static void Add(IDisposableReadOnlyCollection<OrtValue> results, IEnumerable<CrossMoments> all)
    {
        using (results)
        {
            int next = 0;
            foreach (var moments in all)
            {
                double elements = 1;
                foreach (long dim in results[next].GetTensorDataAsSpan<long>())
                {
                    elements *= dim;
                }
                moments.Add(elements / moments.Size, Floats(results[next + 1]), Floats(results[next + 2]), Floats(results[next + 3]), Floats(results[next + 4]));
                next += 5;
            }
        }
    }

    static ReadOnlySpan<float> Floats(OrtValue value) => value.GetTensorDataAsSpan<float>();

    /// <summary>R with RᵀR = WᵀW, summed over the kernel's taps: W itself, or, where that has more rows than columns, a triangle.</summary>
    Matrix RootOf(Layer layer)
    {
        var byTap = TapOrder.ByTap(layer.ReadWeight(), layer.In / Channels(layer));
        if (byTap.Rows <= byTap.Cols)
        {
            return byTap;
        }
        var gram = algebra.Multiply(byTap, byTap, transposeLeft: true);
        gram.AddToDiagonal(1e-12 * gram.Trace() / gram.Rows + double.Epsilon);
        return algebra.Cholesky(gram).Transposed();
    }

    RefittedLayer Refitted(Fit fit, InputGuess guess)
    {
        var layer = fit.Plan.Layer;
        double[][] shares = [.. layer.Uses.Select(use => layer.Kind == LayerKind.Conv ? Patches.Shares(layer, use, shapes) : [1])];
        double[][] shifts = [.. fit.Fitting.Select((use, i) => Patches.Repeat([.. use.MeanY().Zip(use.MeanH(), (before, after) => before - after)], shares[i]))];
        return LayerRefit.Of(
            algebra, layer, new(algebra, layer, guess.Mix, guess.Offsets, shares), shifts, HasOffset(fit.Plan), decompositions.GetValueOrDefault(layer), inFewBits.GetValueOrDefault(layer), inside,
            model.Spill);
    }
}
