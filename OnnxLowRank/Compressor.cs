using Microsoft.ML.OnnxRuntime;
using OnnxLowRank.Layers;
using OnnxLowRank.Numerics;
using OnnxLowRank.Onnx;
using OnnxLowRank.Planning;
using OnnxLowRank.Refitting;
using OnnxLowRank.Rewriting;
using OnnxLowRank.Runtime;
using OnnxLowRank.Samples;
using OnnxLowRank.Storage;
using OnnxLowRank.Timing;

namespace OnnxLowRank;

/// <summary>The main job, in order: load, find layers, calibrate, decompose, search, verify, save.</summary>
public static class Compressor
{
    /// <summary>Numbers that share a scale, in 4 bits, where an output channel's are too many.</summary>
    internal const int Block = 32;

    /// <summary>
    /// A plan that is this much slower than the original is not worth its size when the format is chosen automatically. Far from 1,
    /// so that the noise of a clock does not choose formats: where integers do not pay, on a GPU say, they cost much more.
    /// </summary>
    const double ClearlySlower = 1.25;

    /// <summary>Of the damage of a plan that is too much, so that others are compared at less.</summary>
    const double JustBelow = 0.999;

    /// <summary>Pairs with which the whole model takes this much longer than without them are put back, however many bytes they save: closer than that is noise, which is no reason for a file half as large again.</summary>
    const double Slower = 1.1;

    /// <summary>Writes a smaller and faster model that is within tolerance on samples that no decision has seen, or nothing.</summary>
    /// <returns>What was done; <see cref="CompressionReport.Outcome"/> says whether there is an output.</returns>
    /// <exception cref="OptionException">An option is out of range.</exception>
    /// <exception cref="ModelException">The model cannot be read, is not valid or cannot be run.</exception>
    /// <exception cref="DataException">Samples or labels cannot be read or do not fit the model.</exception>
    /// <exception cref="DeviceException">The device or ONNX Runtime cannot be had.</exception>
    /// <exception cref="IOException">The output cannot be written.</exception>
    /// <exception cref="OperationCanceledException">The user wants to stop; nothing is left behind.</exception>
    public static CompressionReport Run(
        CompressionOptions options, IProgress<StageProgress>? progress = null, CancellationToken cancellation = default) => Run(options, progress, _ => { }, cancellation);

    /// <param name="reporting">Told the report before the output is there: what fails in it keeps the output from being written.</param>
    /// <inheritdoc cref="Run(CompressionOptions, IProgress{StageProgress}?, CancellationToken)"/>
    internal static CompressionReport Run(
        CompressionOptions options, IProgress<StageProgress>? progress, Action<CompressionReport> reporting, CancellationToken cancellation)
    {
        options.Validate();
        options = options.Effective;
        var clock = new StageClock(progress);
        clock.Enter("load");
        using var workspace = Workspace.Open(options, cancellation);
        using var output = new StagedOutput(options.Output, WeightsFile.NamesOf, cancellation);
        var found = LayerFinder.Find(workspace.Model, options.Layers);
        var algebra = LinearAlgebra.Create(options.Threads, workspace.Notes.Add);
        var report = new ReportBuilder(options, workspace, found, algebra);
        CompressionReport Told(CompressionReport told)
        {
            reporting(told);
            return told;
        }
        if (found.Layers.Count == 0)
        {
            return Told(report.NothingFound(WhyNone(found), clock));
        }

        workspace.Sampling.OnSamplesRun = () => clock.ReportCalibration(workspace.Sampling.Passes);
        var analysis = Analysis.Of(workspace, found, options, algebra, clock);
        report.Analysis = analysis;
        AddNotes(workspace, analysis, options);
        var rewriter = new Rewriter(workspace.Model, analysis.Decompositions, analysis.InFewBits, analysis.Ranges, options.Dialect, report.Provenance, options.WeightBits);
        var damage = Sensitivity.Of(workspace, analysis, rewriter, options, clock);
        double macs = analysis.Macs(found.Layers.Select(layer => new LayerPlan.Keep(layer)));
        var refitter = new Refitter(workspace.Model, rewriter, analysis.Decompositions, analysis.InFewBits, analysis.Ranges.Inside, analysis.Shapes, algebra, workspace.Device, options.Threads, macs, workspace.Memory);
        var search = new PlanSearch(workspace, options, rewriter, refitter, output, clock);
        var timer = Timer(workspace, analysis, options, output, cancellation);
        var times = Times(workspace, options);
        var cost = timer == null ? null : new MeasuredCostModel(timer, times, found.Layers, analysis.Decompositions);
        var models = timer == null ? null : new WholeModels(rewriter, workspace, options, times, report.SourceHash);
        var best = Best(search, analysis, damage, cost, workspace, options, models, clock);
        report.Probes = search.Probes;
        if (best == null || !(best.Passed || (options.BestEffort && best.IsSmaller)))
        {
            return Told(report.NothingFound(Why(best, options), clock, best));
        }

        clock.Enter("time");
        (best, report.Proof) = Proven(best, search, timer, times, models, workspace, options);
        report.Probes = search.Probes;
        clock.Enter("verify");
        search.Stage(best);
        report.Analysis = analysis.Summary;
        report.Inspect(best, output.StagedPath);
        var told = Told(report.Written(best, output.StagedPath, clock));
        cancellation.ThrowIfCancellationRequested();
        output.Commit();
        return told;
    }

    static void AddNotes(Workspace workspace, Analysis analysis, CompressionOptions options)
    {
        string[] uneven = [.. analysis.Found.Layers.Where(analysis.IsUneven).Select(layer => layer.Name)];
        if (uneven.Length > 0)
        {
            workspace.Notes.Add($"no 8 bits with one scale per run where a few rows of the input are far larger than the others: {string.Join(", ", uneven)}");
        }
        if (options.Timing && options.Cpu != Processor.Native)
        {
            workspace.Notes.Add($"times are those of this machine, not of --target-cpu {options.Cpu.ToString().ToLowerInvariant()}");
        }
    }

    /// <summary>The verified plan of the first choice that passes and is not slower than the original.</summary>
    static VerifiedPlan? Best(
        PlanSearch search, Analysis analysis, IReadOnlyDictionary<Layer, DamageCurve> damage, MeasuredCostModel? measured, Workspace workspace,
        CompressionOptions options, WholeModels? models, StageClock clock)
    {
        clock.Enter("time");
        List<List<Candidate>> Tables(ICostModel cost, Func<Layer, Allowed> allowed) => analysis.Tables(damage, cost, allowed, options.Dialect, workspace.Model.Opset);
        var (ways, fallback) = Mixtures.Of(options, analysis.Found.Layers, runsHalves: workspace.Device.CudaId != null);
        List<List<List<Candidate>>> All(ICostModel cost) => [.. ways.Append(fallback).OfType<Func<Layer, Allowed>>().Select(allowed => Tables(cost, allowed))];
        var timed = measured == null ? null : Timed(() => All(measured), measured, workspace);
        var choices = timed ?? All(new ShapeCostModel(analysis.Positions));
        double timeShare = options.TargetTime != null ? 1 : options.TimeShare;
        models = timed == null ? null : models;
        var cheapest = choices.Take(ways.Count).Aggregate((one, other) => Mixtures.Cheaper(one, other, Mixtures.TypicalDamage, timeShare, models) == 0 ? one : other);
        VerifiedPlan? best = null;
        double bestSlowdown = double.PositiveInfinity;
        foreach (var tables in choices.Skip(ways.Count).Prepend(cheapest))
        {
            var plan = search.Run(tables);
            // The clock decides only where layers cannot be timed: it may say something else in the next run.
            double slowdown = plan is not { Passed: true } ? double.PositiveInfinity
                : timed == null && options.Timing ? search.Slowdown(plan)
                : plan.Allotment.Chosen.Sum(candidate => candidate.Time) / tables.Sum(table => table[0].Time);
            if (plan != null && (best == null || IsBetter(plan, slowdown, best, bestSlowdown)))
            {
                (best, bestSlowdown) = (plan, slowdown);
            }
            if (best is { Passed: true } && bestSlowdown <= ClearlySlower)
            {
                break;
            }
        }
        return best is { Passed: true } && options.HasTolerance && models != null
            ? CheaperMixture(best, search, cheapest, [.. choices.Take(ways.Count).Where(other => other != cheapest)], timeShare, models) ?? best
            : best;
    }

    /// <summary>
    /// A mixture was chosen for plans of typical damage. Where another one promises more at the damage that a verified plan does, or at a larger one that no
    /// plan of its mixture does before it does far more, it is searched, too: its plan, if that is verified and the cheaper one.
    /// </summary>
    static VerifiedPlan? CheaperMixture(
        VerifiedPlan best, PlanSearch search, List<List<Candidate>> chosen, IReadOnlyList<List<List<Candidate>>> others, double timeShare, WholeModels models)
    {
        double damage = Math.Max(best.Allotment.Damage, JustBelow * best.Allocation.NextTo(best.Allotment).Damage);
        var other = others.FirstOrDefault(other => Mixtures.Cheaper(chosen, other, damage, timeShare, models) == 1);
        return other != null && search.Run(other, best.Allotment.Cost) is { Passed: true } plan
            && best.Allocation.CostOf(plan.Allotment, best.Allotment, models.Ratio(plan.Allotment, best.Allotment)) < best.Allotment.Cost ? plan : null;
    }

    static HashSet<Layer> Pairs(Allotment allotment) => allotment.Plans.OfType<LayerPlan.Factorize>().Select(pair => pair.Layer).ToHashSet();

    /// <summary>Plans that pass are compared by time, those that do not by loss.</summary>
    static bool IsBetter(VerifiedPlan plan, double slowdown, VerifiedPlan other, double otherSlowdown) => plan.Passed
        ? !other.Passed || slowdown < otherSlowdown
        : !other.Passed && plan.IsSmaller && (!other.IsSmaller || plan.Loss.Estimate < other.Loss.Estimate);

    /// <summary>Kernels on a GPU run on after they were called, so that a profile says nothing about them.</summary>
    static LayerTimer? Timer(Workspace workspace, Analysis analysis, CompressionOptions options, StagedOutput output, CancellationToken cancellation)
    {
        if (options.Timing && workspace.Device.CudaId != null)
        {
            workspace.Notes.Add($"layers are not timed on {workspace.Device.Name}: plans go by their shapes");
        }
        return options.Timing && workspace.Device.CudaId == null
            ? new(workspace.Model, analysis.Decompositions, analysis.InFewBits, analysis.Ranges, analysis.RunShapes, analysis.Positions, options.Dialect, workspace.Device, options.Threads,
                output.CreateScratchFolder, cancellation)
            : null;
    }

    static TimingCache Times(Workspace workspace, CompressionOptions options)
    {
        var conditions = new TimingConditions(
            ReportBuilder.Tool.Version, OrtEnv.Instance().GetVersionString(), workspace.Device.Name, Processor.Name, options.Threads);
        return new(TimingCache.UserFolder(), conditions, workspace.Notes.Add);
    }

    /// <summary>
    /// The plan with every layer that got slower put back, then those pairs that by their times are slower than one piece, or all of them, where
    /// that makes the whole model faster or cheaper; if speed was asked for and the plan still passes. And its layers' times.
    /// </summary>
    static (VerifiedPlan Plan, Proof? Proof) Proven(
        VerifiedPlan plan, PlanSearch search, LayerTimer? timer, TimingCache times, WholeModels? models, Workspace workspace, CompressionOptions options)
    {
        if (timer == null || models == null)
        {
            return (plan, null);
        }
        try
        {
            Proof Of(VerifiedPlan proven) => Proof.Of(timer, times, proven.Allotment.Plans, proven.Allocation.SlowerKept(proven.Allotment));
            var proof = Of(plan);
            bool wantsSpeed = options.HasTolerance && options.Objective != Objective.Size;
            if (!wantsSpeed || !plan.Passed)
            {
                return (plan, proof);
            }
            var faster = proof.Slower.Count > 0 && search.PutBack(plan, proof.Slower) is { } without ? without : plan;
            IReadOnlySet<Layer>[] choices = [faster.Allocation.SlowerPairs(faster.Allotment), Pairs(faster.Allotment)];
            foreach (var pairs in choices.Where(pairs => pairs.Count > 0).DistinctBy(pairs => pairs.Count)) // the first are among the second
            {
                var whole = faster.Allocation.Without(faster.Allotment, pairs);
                double ratio = models.Ratio(whole, faster.Allotment);
                if ((ratio * Slower < 1 || faster.Allocation.CostOf(whole, faster.Allotment, ratio) < faster.Allotment.Cost) && search.PutBack(faster, pairs) is { } undone)
                {
                    faster = undone;
                    break;
                }
            }
            return faster == plan ? (plan, proof) : (faster, Of(faster));
        }
        catch (Exception e) when (LayerTimer.IsFailure(e))
        {
            workspace.Notes.Add($"rewritten layers could not be timed: {e.Message}");
            return (plan, null);
        }
    }

    /// <summary>Tables with measured times, or null with a note when there is something that cannot be timed.</summary>
    static T? Timed<T>(Func<T> tables, MeasuredCostModel measured, Workspace workspace) where T : class
    {
        try
        {
            T all;
            do
            {
                all = tables();
            }
            while (measured.MeasureWaiting());
            return all;
        }
        catch (Exception e) when (LayerTimer.IsFailure(e))
        {
            workspace.Notes.Add($"plans go by shapes, as layers could not be timed: {e.Message}");
            return null;
        }
        finally
        {
            measured.Save();
        }
    }

    internal static string WhyNone(FoundLayers found) => found.LeftAlone.Count == 0
        ? "no layer can be rewritten: the model has no MatMul, Gemm, Conv or embedding table"
        : $"no layer can be rewritten: {found.LeftAlone[0].Op} '{found.LeftAlone[0].Name}': {found.LeftAlone[0].Reason}"
            + (found.LeftAlone.Count == 1 ? "" : $"; {found.LeftAlone.Count - 1} more");

    static string Why(VerifiedPlan? best, CompressionOptions options) => best switch
    {
        null when !options.HasTolerance => $"no layer can be made {(options.TargetTime != null ? "faster" : "smaller")} than it is",
        null => "no plan that saves anything was within tolerance on the search samples",
        _ when options.TargetSize is { } size => $"the target {size.Text("bytes")} cannot be met: the smallest plan has {best.Bytes:n0} bytes",
        _ when options.TargetTime is { } time => $"the target {time.Text("ms")} cannot be met: the fastest plan takes {best.OfTarget:g3} times as long",
        { IsSmaller: false } => "nothing within tolerance is smaller than the original",
        _ when options.Confident => $"the best plan's loss may be up to {best.Loss.High:g3}, above the tolerance {options.Tolerance:g3}",
        _ when best.Loss.Estimate <= options.Tolerance =>
            $"the best plan loses {best.Loss.Estimate:g3} as counted, but more than the tolerance {options.Tolerance:g3} by the softened count, which has less noise",
        _ => $"the best plan loses {best.Loss.Estimate:g3}, above the tolerance {options.Tolerance:g3}",
    };
}
