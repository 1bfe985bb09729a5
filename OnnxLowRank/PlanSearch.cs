using OnnxLowRank.Layers;
using OnnxLowRank.Planning;
using OnnxLowRank.Refitting;
using OnnxLowRank.Rewriting;
using OnnxLowRank.Runtime;
using OnnxLowRank.Storage;
using OnnxLowRank.Validation;

namespace OnnxLowRank;

/// <summary>A plan that was built, written to the staging folder, loaded from there and measured.</summary>
/// <param name="Allocation">Where it was chosen.</param>
/// <param name="IsRefitted">Whether its factors were fitted to each other.</param>
/// <param name="Passed">Whether it is smaller than the original and within the tolerance or target.</param>
/// <param name="Looks">Plans tried on the verification samples so far, this one included.</param>
/// <param name="Bytes">Of the written files.</param>
/// <param name="OfTarget">Size or time in units of the target; 0 where there is none.</param>
sealed record VerifiedPlan(
    Allotment Allotment, Allocation Allocation, bool IsRefitted, Rewritten Rewritten, Loss Loss, bool Passed, bool IsSmaller, int Looks, long Bytes,
    double OfTarget);

/// <summary>
/// Looks for the cheapest plan within tolerance on the search share, or for the best one within a target, then verifies it on samples
/// no decision has seen.
/// </summary>
sealed class PlanSearch(
    Workspace workspace, CompressionOptions options, Rewriter rewriter, Refitter refitter, StagedOutput output, StageClock clock)
{
    /// <summary>Plans built and run on the search share, at most.</summary>
    const int MostProbes = 12;

    /// <summary>Layers made cheaper one by one when the bisection is done, at most; each try is a probe.</summary>
    const int MostMoves = 6;

    /// <summary>Of the plan's cost, per move: less is not worth a probe.</summary>
    const double LeastSaving = 0.02;

    /// <summary>What a layer may do, by prediction, in units of what it did when that was too much.</summary>
    const double Gentler = 0.5;

    /// <summary>
    /// Where the next cheaper plan of the bisection costs less than this part of one, it changes much at once, and single layers are tried even if fits
    /// have spent something already.
    /// </summary>
    const double CoarseStep = 0.9;

    /// <summary>Plans tried on the verification share towards a target, at most: each look widens the interval.</summary>
    const int MostLooks = 5;

    /// <summary>
    /// Costs of the next plans when verification fails, in units of the one that failed: the first without what was spent on single layers, the last
    /// one far enough to be safe.
    /// </summary>
    static readonly double[] s_stepsBack = [1, 1.05, 1.15, 1.3, 1.6, 2.2, 3.5];

    /// <summary>
    /// How much cheaper the next plan is at least when one misses the target: by what its fitted biases take, or as the clock says something else now
    /// than it did in the search.
    /// </summary>
    const double StepDown = 1.02;

    /// <summary>Confidence of the reported interval is 1 − this.</summary>
    const double Alpha = 0.05;

    /// <summary>α of an interval that reaches one standard error to either side.</summary>
    const double OneStandardError = 0.3173;

    /// <summary>Standard errors of the smooth estimate that are kept in hand: the cheapest good plan is good partly by luck.</summary>
    const double Margin = 0.5;

    static readonly TimeSpan s_timingBudget = TimeSpan.FromSeconds(0.5);

    readonly List<Probe> _probes = [];
    readonly List<(Allotment Allotment, bool IsRefitted, bool IsGood, double Loss)> _judged = [];
    readonly List<Allotment> _failed = [];
    readonly List<(Allotment Allotment, IReadOnlyDictionary<Layer, RefittedLayer> Refits)> _refits = [];
    VerifiedPlan? _staged;
    Allocation? _allocation;
    int _looks;
    bool _isRefitted;
    (Allotment Allotment, double Loss)? _leastLoss;

    /// <summary>Every plan tried, in order.</summary>
    public IReadOnlyList<Probe> Probes => _probes;

    /// <summary>
    /// The verified plan, or the best one that failed, or null when not even a near copy of the model was within tolerance: with best
    /// effort, the smaller one that lost least then.
    /// </summary>
    /// <param name="most">Cost from which on a plan is of no use, and not worth a look at the verification share.</param>
    public VerifiedPlan? Run(IReadOnlyList<IReadOnlyList<Candidate>> tables, double most = double.PositiveInfinity)
    {
        clock.Enter("search");
        return options.TargetSize != null || options.TargetTime != null ? RunToTarget(tables) : RunToTolerance(tables, most);
    }

    VerifiedPlan? RunToTolerance(IReadOnlyList<IReadOnlyList<Candidate>> tables, double most)
    {
        var allocation = _allocation = new(tables, options.TimeShare);
        double best = Cheapest(allocation);
        var stepsBack = s_stepsBack.Select(step => best * step).Where(cost => cost < 1).Select(allocation.AtCost);
        var start = best < 1 ? allocation.AtCost(best) : allocation.Unchanged;
        bool isFine = allocation.NextTo(start).Cost > CoarseStep * start.Cost;
        var spent = _isRefitted && isFine ? [start] : Spent(allocation, start);
        Allotment[] plans = best < 1 ? [spent[0], .. stepsBack] : spent;
        clock.Enter("verify");
        VerifiedPlan? last = null;
        foreach (var plan in plans)
        {
            if (plan.ChangesNothing || plan.Cost >= most || _failed.Exists(plan.SameAs))
            {
                continue;
            }
            last = Verify(plan);
            if (last.Passed)
            {
                break;
            }
            _failed.Add(plan);
        }
        return last == null && options.BestEffort && _leastLoss is { } least ? Verify(least.Allotment) : last;
    }

    /// <summary>
    /// The plan with what the bisection left unspent, and the plans on the way there, the cheapest first: the bisection moves all layers together, by
    /// predicted damage, and some stand more than that.
    /// </summary>
    Allotment[] Spent(Allocation allocation, Allotment plan)
    {
        var limits = new Dictionary<int, double>();
        var plans = new Stack<Allotment>([plan]);
        int most = _isRefitted ? refitter.Affordable([.. plan.Plans], workspace.Shares.Moments.Length) : MostMoves;
        for (int i = 0; i < most && allocation.Cheapened(plans.Peek(), limits, LeastSaving) is var (moved, layer); i++)
        {
            if (IsGood(moved))
            {
                plans.Push(moved);
            }
            else
            {
                limits[layer] = Gentler * moved.Chosen[layer].Damage;
            }
        }
        return [.. plans];
    }

    /// <summary>The smallest cost found good on the search share, 1 where none was.</summary>
    double Cheapest(Allocation allocation)
    {
        int probes = 0, most = MostProbes;
        bool? Try(double cost)
        {
            var allotment = allocation.AtCost(cost);
            if (allotment.ChangesNothing)
            {
                return true;
            }
            return Known(allotment) == null && ++probes > most ? null : IsGood(allotment);
        }

        _leastLoss = null;
        _isRefitted = false;
        double best = BudgetSearch.Smallest(allocation.SmallestCost, 1, Try);
        if (!options.Refits)
        {
            return best;
        }
        probes = 0;
        _isRefitted = true;
        most = refitter.Affordable([.. allocation.AtCost(best).Plans], workspace.Shares.Moments.Length);
        if (best < 1 && Try(best) != true)
        {
            _isRefitted = false; // the fits did not carry over to samples they have not seen
            return best;
        }
        double refitted = BudgetSearch.Below(best, allocation.SmallestCost, Try);
        _isRefitted = refitted < 1;
        return refitted;
    }

    /// <summary>The plan with the least damage that keeps within the target.</summary>
    VerifiedPlan? RunToTarget(IReadOnlyList<IReadOnlyList<Candidate>> tables)
    {
        var allocation = _allocation = new(tables, options.TargetTime != null ? 1 : 0);
        double cost = BudgetSearch.Largest(allocation.SmallestCost, cost =>
        {
            clock.Report(0.3 + 0.7 * _probes.Count / (_probes.Count + 4));
            return Write(rewriter.Apply(allocation.AtCost(cost).Plans)).OfTarget <= 1;
        }, MostProbes);
        clock.Enter("verify");
        _isRefitted = options.Refits;
        VerifiedPlan? last = null;
        for (int looks = 0; looks < MostLooks; cost = Math.Max(cost / Math.Max(StepDown, last?.OfTarget ?? 1), allocation.SmallestCost))
        {
            var allotment = allocation.AtCost(cost);
            if (!allotment.ChangesNothing && last?.Allotment.SameAs(allotment) != true)
            {
                looks++;
                last = Verify(allotment);
            }
            if (last is { Passed: true } || cost <= allocation.SmallestCost)
            {
                break;
            }
        }
        return last;
    }

    /// <summary>The plan with these layers undone, or null where that does not pass.</summary>
    public VerifiedPlan? PutBack(VerifiedPlan plan, IReadOnlySet<Layer> layers)
    {
        (_allocation, _isRefitted) = (plan.Allocation, plan.IsRefitted);
        var allotment = _allocation.Without(plan.Allotment, layers);
        if (allotment.ChangesNothing)
        {
            return null;
        }
        var verified = Verify(allotment);
        return verified.Passed ? verified : null;
    }

    /// <summary>A plan as a model, its factors fitted to each other when that is on.</summary>
    Rewritten Build(Allotment allotment)
    {
        if (!_isRefitted)
        {
            return rewriter.Apply(allotment.Plans);
        }
        var known = _refits.Find(item => item.Allotment.SameAs(allotment));
        if (known.Refits == null)
        {
            known = (allotment, refitter.Refit(workspace.Sampling, workspace.Shares.Moments, workspace.Shares.Search, [.. allotment.Plans]));
            _refits.Add(known);
        }
        return rewriter.Apply(allotment.Plans, known.Refits);
    }

    /// <summary>Whether a plan is good on the search share; it is only built where that is not known.</summary>
    bool IsGood(Allotment allotment)
    {
        clock.Report(0.3 + 0.7 * _probes.Count / (_probes.Count + 4));
        var (isGood, loss) = Known(allotment) ?? Judge(allotment);
        if (!_isRefitted && allotment.Bytes < _allocation!.Unchanged.Bytes && !(loss >= _leastLoss?.Loss))
        {
            _leastLoss = (allotment, loss);
        }
        return isGood;
    }

    /// <summary>What was found out about a plan before: between two costs there may be plans all the same, and in the tables of two mixtures.</summary>
    (bool IsGood, double Loss)? Known(Allotment allotment) =>
        _judged.Find(item => item.IsRefitted == _isRefitted && item.Allotment.SameAs(allotment)) is { Allotment: not null } known ? (known.IsGood, known.Loss) : null;

    /// <summary>
    /// Where the metric has a smooth estimate, that one decides, as long as the real one is not a standard error beyond the
    /// tolerance. Otherwise the share's cheapest good plan is good partly by luck: a standard error is kept in hand, but a plan that
    /// lost nothing at all is never refused.
    /// </summary>
    (bool IsGood, double Loss) Judge(Allotment allotment)
    {
        using var session = ModelSession.Open(Build(allotment).Model, workspace.Device, options.Threads);
        var (loss, smooth) = workspace.Evaluator.MeasureSmoothly(session, workspace.Shares.Search, OneStandardError);
        double standardError = (loss.High - loss.Low) / 2;
        bool isGood = smooth is { } estimate
            ? estimate.Estimate + Margin * (estimate.High - estimate.Low) / 2 <= options.Tolerance && loss.Estimate <= options.Tolerance + standardError
            : loss.Estimate <= Math.Max(0, options.Tolerance - standardError);
        _probes.Add(new(_isRefitted ? "refit" : "search", allotment.Bytes, loss.Estimate, isGood));
        _judged.Add((allotment, _isRefitted, isGood, loss.Estimate));
        // Fits are as large as the factors; only those of the best plan so far are asked for again.
        _refits.RemoveAll(item => item.Allotment.SameAs(allotment) != isGood);
        return (isGood, loss.Estimate);
    }

    /// <summary>Stages a model; tells its size, and that or its time in units of the target, 0 where there is none.</summary>
    (long Bytes, double OfTarget) Write(Rewritten rewritten)
    {
        output.Clear();
        _staged = null;
        rewritten.Model.Save(output.StagedPath);
        long bytes = output.Bytes;
        if (options.TargetSize is { } size)
        {
            return (bytes, bytes / size.Of(workspace.SourceBytes));
        }
        if (options.TargetTime is { } time)
        {
            using var session = ModelSession.Open(output.StagedPath, workspace.Device, options.Threads);
            var (original, compressed) = Milliseconds(session, 1);
            return (bytes, compressed / time.Of(original));
        }
        return (bytes, 0);
    }

    VerifiedPlan Verify(Allotment allotment)
    {
        _looks++;
        var rewritten = Build(allotment);
        var (bytes, ofTarget) = Write(rewritten);
        bool isWithin = ofTarget <= 1;
        using var session = workspace.OpenWritten(output.StagedPath);
        var (loss, smooth) = workspace.Evaluator.MeasureSmoothly(session, workspace.Shares.Verification, Alpha / _looks);
        if (options.HasTolerance)
        {
            // The smooth estimate must agree: counting a few hundred flips alone lets bad plans pass by luck.
            isWithin = (options.Confident ? loss.High : loss.Estimate) <= options.Tolerance && !(smooth?.Estimate > options.Tolerance);
        }
        _probes.Add(new("verify", allotment.Bytes, loss.Estimate, isWithin));
        bool isSmaller = bytes < workspace.SourceBytes, passed = isWithin && (isSmaller || !options.HasTolerance) && double.IsFinite(loss.Estimate);
        return _staged = new(allotment, _allocation!, _isRefitted, rewritten, loss, passed, isSmaller, _looks, bytes, ofTarget);
    }

    /// <summary>Time of one run of several samples in units of the original's; 1 for models that are too large.</summary>
    public double Slowdown(VerifiedPlan plan)
    {
        if (!workspace.MayLoadWhole)
        {
            return 1;
        }
        Stage(plan);
        using var session = ModelSession.Open(output.StagedPath, workspace.Device, options.Threads);
        var (original, compressed) = Milliseconds(session, workspace.Sampling.RunSize);
        return compressed / original;
    }

    (double Original, double Compressed) Milliseconds(ModelSession session, int samples)
    {
        double[] times = [];
        using var original = workspace.OpenOriginal();
        workspace.Sampling.First(samples, run => times = Latency.Milliseconds([original, session], run, s_timingBudget));
        return (times[0], times[1]);
    }

    /// <summary>Makes the staging folder hold this plan's model: the same bytes that were verified.</summary>
    public void Stage(VerifiedPlan plan)
    {
        if (!ReferenceEquals(plan, _staged))
        {
            output.Clear();
            plan.Rewritten.Model.Save(output.StagedPath);
            _staged = plan;
        }
    }
}
