using OnnxLowRank.Onnx;
using OnnxLowRank.Planning;
using OnnxLowRank.Rewriting;
using OnnxLowRank.Runtime;
using OnnxLowRank.Statistics;
using OnnxLowRank.Validation;

namespace OnnxLowRank;

/// <summary>A plan that was built, written to the staging folder, loaded from there and measured.</summary>
sealed record VerifiedPlan(Allotment Allotment, Rewritten Rewritten, Loss Loss, bool Passed, int Looks);

/// <summary>Looks for the cheapest plan within tolerance on the search share, then verifies it on samples no decision has seen.</summary>
sealed class PlanSearch(Workspace workspace, CompressionOptions options, Rewriter rewriter, StagedOutput output, List<Probe> probes)
{
    /// <summary>Plans built and run on the search share, at most.</summary>
    const int MostProbes = 12;

    /// <summary>Plans tried on the verification share, at most: each look widens the interval.</summary>
    const int MostLooks = 4;

    /// <summary>How much larger the next plan is when verification fails.</summary>
    const double StepBack = 1.25;

    const double Alpha = 0.05;

    /// <summary>α of an interval that reaches one standard error to either side.</summary>
    const double OneStandardError = 0.3173;

    /// <summary>The verified plan, or the best one that failed, or null when not even a near copy of the model was within tolerance.</summary>
    /// <param name="timeShare">How much of the cost is time, the rest is bytes.</param>
    public VerifiedPlan? Run(IReadOnlyList<IReadOnlyList<Candidate>> tables, double timeShare)
    {
        var allocation = new Allocation(tables, timeShare);
        var tried = new List<(Allotment Allotment, bool Good)>();
        bool? IsGood(double cost)
        {
            var allotment = allocation.AtCost(cost);
            if (tried.Exists(known => known.Allotment.SameAs(allotment)) || allotment.ChangesNothing)
            {
                return null;
            }
            bool good = IsWithinSearchTolerance(Measure(allotment, workspace.Shares.Search, OneStandardError), allotment);
            tried.Add((allotment, good));
            return good;
        }

        double best = BudgetSearch.Smallest(allocation.SmallestCost, IsGood, MostProbes);
        VerifiedPlan? last = null;
        for (int look = 1; look <= MostLooks && best < 1; look++, best *= StepBack)
        {
            var allotment = allocation.AtCost(best);
            if (allotment.ChangesNothing || (last != null && allotment.SameAs(last.Allotment)))
            {
                continue;
            }
            last = Verify(allotment, look);
            if (last.Passed)
            {
                return last;
            }
        }
        return last;
    }

    /// <summary>
    /// The search share is small, so its cheapest good plan is good partly by luck: a standard error is kept in hand, but a plan
    /// that lost nothing at all is never refused.
    /// </summary>
    bool IsWithinSearchTolerance(Loss loss, Allotment allotment)
    {
        double error = (loss.High - loss.Low) / 2;
        double allowed = Math.Max(0, options.Tolerance - error);
        bool isGood = loss.Estimate <= allowed;
        probes.Add(new("search", allotment.Bytes, loss.Estimate, isGood));
        return isGood;
    }

    Loss Measure(Allotment allotment, ReadOnlyMemory<int> samples, double alpha)
    {
        var rewritten = rewriter.Apply(allotment.Plans);
        using var session = ModelSession.Open(rewritten.Model.ToBytes(), workspace.Device, options.Threads);
        return workspace.Evaluator.Measure(session, samples, alpha);
    }

    VerifiedPlan Verify(Allotment allotment, int look)
    {
        output.Clear();
        var rewritten = rewriter.Apply(allotment.Plans);
        rewritten.Model.Save(output.ModelPath);
        using var session = ModelSession.Open(output.ModelPath, workspace.Device, options.Threads);
        var loss = workspace.Evaluator.Measure(session, workspace.Shares.Verification, Alpha / look);
        bool passed = (options.Confident ? loss.High : loss.Estimate) <= options.Tolerance;
        probes.Add(new("verify", allotment.Bytes, loss.Estimate, passed));
        return new(allotment, rewritten, loss, passed, look);
    }
}
