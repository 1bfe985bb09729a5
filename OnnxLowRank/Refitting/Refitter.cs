using System.Numerics.Tensors;
using Microsoft.ML.OnnxRuntime;
using OnnxLowRank.Calibration;
using OnnxLowRank.Factorization;
using OnnxLowRank.Layers;
using OnnxLowRank.Numerics;
using OnnxLowRank.Onnx;
using OnnxLowRank.Planning;
using OnnxLowRank.Rewriting;
using OnnxLowRank.Runtime;
using OnnxLowRank.Storage;

namespace OnnxLowRank.Refitting;

/// <summary>
/// Fits factorized layers to what the rewritten layers before them really feed them, in graph order. With h the numbers that Up is
/// applied to in the rewritten model and y the original's output, Up and the bias become the least-squares solution of
/// y ≈ Up·h + b, pulled a little towards the old Up: Up = (Cov(y, h) + λ·Up₀)·(Cov(h) + λ·I)⁻¹, an (r, r) problem whatever the layer is.
/// </summary>
/// <remarks>
/// A block of layers is fitted at a time, with all earlier ones already fitted: were all fitted at once, each would correct the same
/// error again. Samples that neither the old Up nor the new one has seen choose λ, and a fit is kept only where it lowers the
/// layer's error on them.
/// </remarks>
/// <param name="macs">Multiply-adds that a sample takes in the original's layers.</param>
/// <param name="memory">Bytes for the moments of a block. Layers that take too much of it keep the Up that was cut.</param>
sealed class Refitter(
    OnnxModel model, Rewriter rewriter, IReadOnlyDictionary<Layer, Decomposition> decompositions, IReadOnlyDictionary<string, long[]> shapes,
    ILinearAlgebra algebra, Device device, int threads, double macs, double memory)
{
    /// <summary>λ in units of the mean variance of h.</summary>
    static readonly double[] s_dampings = [1e-2, 1e-1, 1, 10];

    /// <summary>Samples fitted to at most, and at least as far as there are any; a quarter as many judge the fits.</summary>
    const int MostSamples = 512, FewestSamples = 16;

    /// <summary>Vectors per direction that is fitted from which on more of them change nothing that matters: their noise is that share of what is lost anyway.</summary>
    const double EnoughVectors = 64;

    /// <summary>Blocks, and so sessions, at most and at least.</summary>
    const int MostBlocks = 8, FewestBlocks = 6;

    /// <summary>Multiply-adds for the fits of one plan, about: half a minute on a small machine. Large models get fewer and larger blocks, then fewer samples.</summary>
    const double MostMacs = 2e12;

    /// <summary>Solving takes about as many times a layer's moments.</summary>
    const int Solving = 3;

    sealed record Fit(LayerPlan.Factorize Plan, CrossMoments[] Fitting, CrossMoments[] Judging);

    /// <summary>New Up factors and biases for the layers of a plan where they help.</summary>
    /// <param name="samples">Samples that shape the plan, which are fitted to.</param>
    /// <param name="judges">Samples that did not shape any factor.</param>
    public IReadOnlyDictionary<Layer, RefittedUp> Refit(Sampling sampling, ReadOnlyMemory<int> samples, ReadOnlyMemory<int> judges, IEnumerable<LayerPlan> plans)
    {
        // In floats: what rounding adds is noise that no bias or mixture removes.
        var (factorized, fittable) = (new List<LayerPlan.Factorize>(), new List<LayerPlan.Factorize>());
        foreach (var plan in plans.OfType<LayerPlan.Factorize>())
        {
            var inFloats = plan with { Format = WeightFormat.Float32, Block = 0, WeightOnly = false };
            factorized.Add(inFloats);
            // Nothing that is rewritten feeds a table. In few bits Up is fitted to the rounded Down instead, which matters more there.
            if (!plan.Format.IsFewBits() && plan.HasUp && !plan.Layer.IsTable && plan.Layer.Uses.All(use => use.Addend == null))
            {
                fittable.Add(inFloats);
            }
        }
        var refits = new Dictionary<Layer, RefittedUp>();
        var (blocks, most) = Effort(samples.Length, macs);
        foreach (var block in Blocks(Affordable(fittable), blocks))
        {
            int enough = Math.Min(most, Enough(block));
            foreach (var fit in Measure(sampling, samples[..enough], judges[..Math.Min(judges.Length, (enough + 3) / 4)], factorized, block, refits))
            {
                if (Solve(fit) is { } up)
                {
                    refits[fit.Plan.Layer] = up;
                }
            }
            Garbage.Collect((long)block.Sum(Bytes) / sizeof(double));
        }
        return refits;
    }

    int Enough(List<LayerPlan.Factorize> block) => block.Max(plan =>
        Enough(plan.Rank, plan.Layer.Uses.Sum(use => Tap.Vectors(Tap.AtOutput(plan.Layer, use, shapes), shapes[use.Output]))));

    /// <summary>Samples that give a layer enough vectors.</summary>
    /// <param name="vectors">Per sample: a sequence is many.</param>
    internal static int Enough(int rank, double vectors) => (int)Math.Clamp(Math.Ceiling(EnoughVectors * rank / Math.Max(1, vectors)), FewestSamples, MostSamples);

    /// <summary>Of the moments of a layer that are fitted to and of those that judge, in double precision.</summary>
    static double Bytes(LayerPlan.Factorize plan) =>
        2.0 * sizeof(double) * plan.Layer.Uses.Count * plan.Layer.Groups * plan.Rank * (plan.Rank + plan.Layer.OutPerGroup);

    /// <summary>The layers, in their order, without those whose moments, or all of which in as many blocks as there may be, would take too much memory.</summary>
    List<LayerPlan.Factorize> Affordable(List<LayerPlan.Factorize> plans)
    {
        var affordable = new HashSet<LayerPlan.Factorize>();
        double all = 0;
        foreach (var plan in plans.OrderBy(Bytes))
        {
            all += Bytes(plan);
            if (Solving * Bytes(plan) > memory || all > MostBlocks * memory)
            {
                break;
            }
            affordable.Add(plan);
        }
        return plans.FindAll(affordable.Contains);
    }

    /// <summary>Runs of layers that are fitted together: about so many, or more where the moments of one would take too much memory.</summary>
    IEnumerable<List<LayerPlan.Factorize>> Blocks(List<LayerPlan.Factorize> plans, int blocks)
    {
        int most = (plans.Count + blocks - 1) / blocks;
        double bytes = 0;
        var block = new List<LayerPlan.Factorize>();
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

    /// <summary>How many blocks are fitted, each on how many samples.</summary>
    internal static (int Blocks, int Samples) Effort(int samples, double macs)
    {
        // Both models run, on average through half of their layers.
        double forwards = MostMacs / macs;
        samples = Math.Min(samples, MostSamples);
        int blocks = (int)Math.Clamp(forwards / samples, FewestBlocks, MostBlocks);
        return (blocks, (int)Math.Min(samples, Math.Max(FewestSamples, forwards / blocks)));
    }

    List<Fit> Measure(
        Sampling sampling, ReadOnlyMemory<int> samples, ReadOnlyMemory<int> judges, List<LayerPlan.Factorize> plans, List<LayerPlan.Factorize> block, Dictionary<Layer, RefittedUp> refits)
    {
        var rewritten = rewriter.Apply(plans, refits);
        var graph = new ProbeGraph(PairedGraph.Of(model, rewritten.Model));
        var fits = block.Select(plan => new Fit(plan, Empty(plan), Empty(plan))).ToList();
        foreach (var plan in block)
        {
            foreach (var use in plan.Layer.Uses)
            {
                var y = Tap.AtOutput(plan.Layer, use, shapes);
                graph.AddCrossMoments(y with { Value = PairedGraph.NameOf(rewritten.Inner[use]), Size = plan.Rank }, y);
            }
        }
        using var session = ModelSession.Open(graph.ToModel(), device, threads);
        sampling.ForEach(sampling.WholeRuns(samples), (run, _) => Add(session.Run(run, graph.Outputs), fits, fit => fit.Fitting));
        sampling.ForEach(sampling.WholeRuns(judges), (run, _) => Add(session.Run(run, graph.Outputs), fits, fit => fit.Judging));
        return fits;
    }

    static CrossMoments[] Empty(LayerPlan.Factorize plan) =>
        [.. plan.Layer.Uses.Select(_ => new CrossMoments(plan.Layer.Groups, plan.Rank, plan.Layer.OutPerGroup))];

    static void Add(IDisposableReadOnlyCollection<OrtValue> results, List<Fit> fits, Func<Fit, CrossMoments[]> part)
    {
        using (results)
        {
            int next = 0;
            foreach (var moments in fits.SelectMany(part))
            {
                double elements = 1;
                foreach (long dim in results[next].GetTensorDataAsSpan<long>())
                {
                    elements *= dim;
                }
                moments.Add(elements / moments.Channels, Floats(results[next + 1]), Floats(results[next + 2]), Floats(results[next + 3]), Floats(results[next + 4]));
                next += 5;
            }
        }
    }

    static ReadOnlySpan<float> Floats(OrtValue value) => value.GetTensorDataAsSpan<float>();

    /// <summary>The fit that judges like best, or null where they like the old one.</summary>
    RefittedUp? Solve(Fit fit)
    {
        var layer = fit.Plan.Layer;
        int rank = fit.Plan.Rank, rows = layer.OutPerGroup;
        var decomposition = decompositions[layer];
        double[] scales = decomposition.Scales(rank, Emission.WantsBalance(fit.Plan)); // h is measured as it is written
        float[] oldUp = decomposition.CutUp(rank, scales);
        Matrix[] old = [.. Enumerable.Range(0, layer.Groups).Select(g => new Matrix(rows, rank, Array.ConvertAll(oldUp.AsSpan(g * rows * rank, rows * rank).ToArray(), value => (double)value)))];
        double least = Error(fit, old, [.. layer.Uses.Select((_, i) => CorrectedBias.Full(decomposition, rank, i))]);
        RefittedUp? best = null;
        foreach (double damping in s_dampings)
        {
            Matrix[] ups = [.. old.Select((up, g) => Solve(fit.Fitting, g, up, damping))];
            double[][] biases = [.. fit.Fitting.Select(use => ups.SelectMany((up, g) => BiasFor(use, g, up)).ToArray())];
            double error = Error(fit, ups, biases);
            if (error < least)
            {
                (least, best) = (error, new(model.Spill.Keep([.. ups.SelectMany((up, g) => up.Data.Select((value, i) => (float)(value * scales[g * rank + i % rank])))]), biases));
            }
        }
        return best;
    }

    /// <summary>What judges see of it, all uses and groups together.</summary>
    double Error(Fit fit, Matrix[] ups, double[][] biases)
    {
        double error = 0;
        for (int i = 0; i < biases.Length; i++)
        {
            for (int g = 0; g < ups.Length; g++)
            {
                error += Error(fit.Judging[i], g, ups[g], biases[i].AsSpan(g * ups[g].Rows, ups[g].Rows));
            }
        }
        return error;
    }

    Matrix Solve(CrossMoments[] uses, int group, Matrix old, double relativeDamping)
    {
        int rank = old.Cols;
        var hh = new Matrix(rank, rank);
        var yh = new Matrix(old.Rows, rank);
        double total = uses.Sum(use => use.Count);
        foreach (var use in uses)
        {
            TensorPrimitives.MultiplyAdd(use.CovarianceH(group).Data, use.Count / total, hh.Data, hh.Data);
            TensorPrimitives.MultiplyAdd(use.CovarianceYH(group).Data, use.Count / total, yh.Data, yh.Data);
        }
        double damping = Math.Max(relativeDamping * hh.Trace() / rank, 1e-30);
        hh.AddToDiagonal(damping);
        TensorPrimitives.MultiplyAdd(old.Data, damping, yh.Data, yh.Data);
        return algebra.Solve(hh, yh.Transposed()).Transposed();
    }

    /// <summary>The bias that keeps the output's mean.</summary>
    static double[] BiasFor(CrossMoments moments, int group, Matrix up)
    {
        double[] bias = moments.MeanY(group), mean = moments.MeanH(group);
        for (int o = 0; o < bias.Length; o++)
        {
            bias[o] -= TensorPrimitives.Dot<double>(up.Row(o), mean);
        }
        return bias;
    }

    /// <summary>E‖y − Up·h − b‖², summed over vectors, less the part that does not depend on Up and b.</summary>
    double Error(CrossMoments moments, int group, Matrix up, ReadOnlySpan<double> bias)
    {
        var image = algebra.Multiply(up, moments.CovarianceH(group));
        double error = TensorPrimitives.Dot<double>(image.Data, up.Data) - 2 * TensorPrimitives.Dot<double>(moments.CovarianceYH(group).Data, up.Data);
        double[] ideal = BiasFor(moments, group, up);
        for (int o = 0; o < ideal.Length; o++)
        {
            error += (ideal[o] - bias[o]) * (ideal[o] - bias[o]);
        }
        return error * moments.Count;
    }
}
