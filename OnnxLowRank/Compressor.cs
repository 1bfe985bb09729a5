using OnnxLowRank.Layers;
using OnnxLowRank.Numerics;
using OnnxLowRank.Onnx;
using OnnxLowRank.Planning;
using OnnxLowRank.Rewriting;
using OnnxLowRank.Runtime;
using OnnxLowRank.Samples;

namespace OnnxLowRank;

/// <summary>The main job, in order: load, find layers, calibrate, decompose, search, verify, save.</summary>
public static class Compressor
{
    /// <summary>Numbers that share a scale, in 4 bits, where an output channel's are too many.</summary>
    const int Block = 32;

    /// <summary>
    /// A plan that is this much slower than the original is not worth its size when the format is chosen automatically. Far from 1,
    /// so that the noise of a clock does not choose formats: where integers do not pay, on a GPU say, they cost much more.
    /// </summary>
    const double ClearlySlower = 1.25;

    /// <summary>Writes a smaller and faster model that is within tolerance on samples that no decision has seen, or nothing.</summary>
    /// <returns>What was done; <see cref="CompressionReport.Outcome"/> says whether there is an output.</returns>
    /// <exception cref="OptionException">An option is out of range.</exception>
    /// <exception cref="ModelException">The model cannot be read, is not valid or cannot be run.</exception>
    /// <exception cref="DataException">Samples or labels cannot be read or do not fit the model.</exception>
    /// <exception cref="DeviceException">The device or ONNX Runtime cannot be had.</exception>
    /// <exception cref="IOException">The output cannot be written.</exception>
    /// <exception cref="OperationCanceledException">The user wants to stop; nothing is left behind.</exception>
    public static CompressionReport Run(
        CompressionOptions options, IProgress<CompressionProgress>? progress = null, CancellationToken cancellation = default)
    {
        options.Validate();
        var clock = new StageClock(progress);
        clock.Enter("load");
        using var workspace = Workspace.Open(options, cancellation);
        using var output = new StagedOutput(options.Output, cancellation);
        var found = LayerFinder.Find(workspace.Model, new(options.Only, options.Skip, options.ConstantInputs));
        var algebra = LinearAlgebra.Create(options.Threads, workspace.Notes.Add);
        var report = new ReportBuilder(options, workspace, found, algebra);
        if (found.Layers.Count == 0)
        {
            return report.NothingFound(WhyNone(found), clock);
        }

        workspace.Sampling.OnSamplesRun = _ => clock.ReportCalibration(workspace.Sampling.Passes);
        var analysis = Analysis.Of(workspace, found, options, algebra, clock);
        report.Analysis = analysis;
        var rewriter = new Rewriter(workspace.Model, analysis.Decompositions, analysis.Int4, analysis.Ranges, options.Dialect, report.Provenance);
        var damage = Sensitivity.Of(workspace, analysis, rewriter, options, clock);
        var search = new PlanSearch(workspace, options, rewriter, output, clock);
        var best = Best(search, analysis, damage, workspace, options);
        report.Probes = search.Probes;
        if (best == null || (!best.Passed && !options.BestEffort))
        {
            return report.NothingFound(Why(best, options), clock, best);
        }

        clock.Enter("verify");
        search.Stage(best);
        report.Inspect(best, output.ModelPath);
        cancellation.ThrowIfCancellationRequested();
        output.Commit();
        return report.Written(best, clock);
    }

    /// <summary>The verified plan of the first format that is allowed, passes and is not slower than the original.</summary>
    static VerifiedPlan? Best(
        PlanSearch search, Analysis analysis, IReadOnlyDictionary<Layer, DamageCurve> damage, Workspace workspace, CompressionOptions options)
    {
        WeightFormat[][] choices = options.Format switch
        {
            FormatChoice.Float32 => [[WeightFormat.Float32]],
            FormatChoice.Int8 => [[WeightFormat.Int8]],
            FormatChoice.Int4 => [[WeightFormat.Int4]],
            _ when options.Method == Method.None => [[WeightFormat.Int8, WeightFormat.Int4]],
            // Not mixed with floats: between integer and float convolutions layouts are converted.
            _ => [[WeightFormat.Int8, WeightFormat.Int4], [WeightFormat.Float32]],
        };
        var cost = new ShapeCostModel(analysis.Positions);
        VerifiedPlan? best = null;
        foreach (var formats in choices)
        {
            var allowed = new Allowed(formats, options.Method != Method.None, options.Dialect == Dialect.Ort ? [0, Block] : [0]);
            var plan = search.Run(analysis.Tables(damage, cost, allowed, options.Dialect, workspace.Model.Opset));
            bool isBetter = plan != null && (best == null || (plan.Passed && (!best.Passed || plan.Slowdown < best.Slowdown)));
            best = isBetter ? plan : best;
            if (best is { Passed: true } && best.Slowdown <= ClearlySlower)
            {
                break;
            }
        }
        return best;
    }

    static string WhyNone(FoundLayers found) => found.LeftAlone.Count == 0
        ? "no layer can be rewritten: the model has no MatMul, Gemm or Conv"
        : $"no layer can be rewritten: {found.LeftAlone[0].Op} '{found.LeftAlone[0].Name}': {found.LeftAlone[0].Reason}"
            + (found.LeftAlone.Count == 1 ? "" : $"; {found.LeftAlone.Count - 1} more");

    static string Why(VerifiedPlan? best, CompressionOptions options) => best switch
    {
        null => "no plan that saves anything was within tolerance on the search samples",
        { IsSmaller: false } => "nothing within tolerance is smaller than the original",
        _ when options.Confident => $"the best plan's loss may be up to {best.Loss.High:g3}, above the tolerance {options.Tolerance:g3}",
        _ => $"the best plan loses {best.Loss.Estimate:g3}, above the tolerance {options.Tolerance:g3}",
    };
}
