using OnnxLowRank.Onnx;
using OnnxLowRank.Planning;
using OnnxLowRank.Rewriting;
using OnnxLowRank.Runtime;
using OnnxLowRank.Validation;

namespace OnnxLowRank;

/// <summary>A plan that was built, written to the staging folder, loaded from there and measured.</summary>
/// <param name="Passed">Whether it is smaller than the original and within tolerance.</param>
/// <param name="Looks">Plans tried on the verification samples so far, this one included.</param>
/// <param name="Bytes">Of the written files.</param>
/// <param name="Slowdown">Time of one run of several samples in units of the original's.</param>
sealed record VerifiedPlan(Allotment Allotment, Rewritten Rewritten, Loss Loss, bool Passed, bool IsSmaller, int Looks, long Bytes, double Slowdown);

/// <summary>Looks for the cheapest plan within tolerance on the search share, then verifies it on samples no decision has seen.</summary>
sealed class PlanSearch(Workspace workspace, CompressionOptions options, Rewriter rewriter, StagedOutput output, StageClock clock)
{
    /// <summary>Plans built and run on the search share, at most.</summary>
    const int MostProbes = 12;

    /// <summary>Plans tried on the verification share per search, at most: each look widens the interval.</summary>
    const int MostLooks = 4;

    /// <summary>How much larger the next plan is when verification fails.</summary>
    const double StepBack = 1.12;

    /// <summary>How much of the cost is time; the rest is bytes. Time is a rough model here, bytes are exact.</summary>
    const double TimeShare = 0.4;

    /// <summary>Confidence of the reported interval is 1 − this.</summary>
    const double Alpha = 0.05;

    /// <summary>α of an interval that reaches one standard error to either side.</summary>
    const double OneStandardError = 0.3173;

    static readonly TimeSpan s_timingBudget = TimeSpan.FromSeconds(0.5);

    readonly List<Probe> _probes = [];
    VerifiedPlan? _staged;
    int _looks;

    /// <summary>Every plan tried, in order.</summary>
    public IReadOnlyList<Probe> Probes => _probes;

    /// <summary>
    /// The verified plan, or the best one that failed, or null when not even a near copy of the model was within tolerance: with best
    /// effort, the smaller one that lost least then.
    /// </summary>
    public VerifiedPlan? Run(IReadOnlyList<IReadOnlyList<Candidate>> tables)
    {
        clock.Enter("search");
        var allocation = new Allocation(tables, TimeShare);
        var tried = new List<Allotment>();
        int earlier = _probes.Count;
        bool? Try(double cost)
        {
            var allotment = allocation.AtCost(cost);
            if (allotment.ChangesNothing || tried.Exists(allotment.SameAs))
            {
                return null;
            }
            tried.Add(allotment);
            clock.Report(0.3 + 0.7 * tried.Count / (MostProbes + 1));
            return IsGood(allotment);
        }

        double best = BudgetSearch.Smallest(allocation.SmallestCost, Try, MostProbes);
        clock.Enter("verify");
        VerifiedPlan? last = null;
        for (int look = 0; look < MostLooks && best < 1; look++, best *= StepBack)
        {
            var allotment = allocation.AtCost(best);
            if (allotment.ChangesNothing || (last != null && allotment.SameAs(last.Allotment)))
            {
                continue;
            }
            last = Verify(allotment);
            if (last.Passed)
            {
                break;
            }
        }
        if (last == null && options.BestEffort)
        {
            double all = tables.Sum(table => table[0].Bytes);
            var least = tried.Zip(_probes.Skip(earlier), (plan, probe) => (Plan: plan, probe.Loss)).Where(pair => pair.Plan.Bytes < all).OrderBy(pair => pair.Loss).ToList();
            last = least.Count > 0 ? Verify(least[0].Plan) : null;
        }
        return last;
    }

    /// <summary>
    /// Where the metric has a smooth estimate, that one decides, as long as the real one is not a standard error beyond the
    /// tolerance. Otherwise the share's cheapest good plan is good partly by luck: a standard error is kept in hand, but a plan that
    /// lost nothing at all is never refused.
    /// </summary>
    bool IsGood(Allotment allotment)
    {
        var rewritten = rewriter.Apply(allotment.Plans);
        using var session = ModelSession.Open(rewritten.Model.ToBytes(), workspace.Device, options.Threads);
        var (loss, smooth) = workspace.Evaluator.MeasureSmoothly(session, workspace.Shares.Search, OneStandardError);
        double standardError = (loss.High - loss.Low) / 2;
        bool isGood = smooth is { } estimate
            ? estimate.Estimate <= options.Tolerance && loss.Estimate <= options.Tolerance + standardError
            : loss.Estimate <= Math.Max(0, options.Tolerance - standardError);
        _probes.Add(new("search", allotment.Bytes, loss.Estimate, isGood));
        return isGood;
    }

    VerifiedPlan Verify(Allotment allotment)
    {
        _looks++;
        var rewritten = rewriter.Apply(allotment.Plans);
        output.Clear();
        rewritten.Model.Save(output.ModelPath);
        long bytes = output.Bytes;
        using var session = ModelSession.Open(output.ModelPath, workspace.Device, options.Threads);
        var (loss, smooth) = workspace.Evaluator.MeasureSmoothly(session, workspace.Shares.Verification, Alpha / _looks);
        // The smooth estimate must agree: counting a few hundred flips alone lets bad plans pass by luck.
        bool isWithin = (options.Confident ? loss.High : loss.Estimate) <= options.Tolerance && !(smooth?.Estimate > options.Tolerance);
        _probes.Add(new("verify", allotment.Bytes, loss.Estimate, isWithin));
        bool isSmaller = bytes < workspace.SourceBytes;
        double slowdown = isWithin && isSmaller ? Slowdown(session) : double.PositiveInfinity;
        return _staged = new(allotment, rewritten, loss, isWithin && isSmaller, isSmaller, _looks, bytes, slowdown);
    }

    double Slowdown(ModelSession session)
    {
        double slowdown = 0;
        workspace.Sampling.First(workspace.Sampling.RunSize, run =>
        {
            double[] times = Latency.Milliseconds([workspace.Original, session], run, s_timingBudget);
            slowdown = times[1] / times[0];
        });
        return slowdown;
    }

    /// <summary>Makes the staging folder hold this plan's model: the same bytes that were verified.</summary>
    public void Stage(VerifiedPlan plan)
    {
        if (!ReferenceEquals(plan, _staged))
        {
            output.Clear();
            plan.Rewritten.Model.Save(output.ModelPath);
            _staged = plan;
        }
    }
}
