using System.Security.Cryptography;
using System.Text;
using OnnxLowRank.Planning;
using OnnxLowRank.Rewriting;
using OnnxLowRank.Runtime;
using OnnxLowRank.Timing;

namespace OnnxLowRank;

/// <summary>
/// Compares plans by the time of the whole models they make. Times of layers alone leave out what lies between them, conversions and
/// caches above all.
/// </summary>
/// <param name="times">Where ratios are remembered, so that a second run decides the same.</param>
/// <param name="sourceHash">Of the original.</param>
sealed class WholeModels(Rewriter rewriter, Workspace workspace, CompressionOptions options, TimingCache times, string sourceHash)
{
    /// <summary>Samples of a run of many.</summary>
    const int Many = 32;

    /// <summary>Difference between two ratios, relative, that decides nothing.</summary>
    const double Noise = 0.1;

    /// <summary>How often both models are measured at most.</summary>
    const int MostTimes = 3;

    /// <summary>Of one measurement of both, at one number of samples.</summary>
    static readonly TimeSpan s_budget = TimeSpan.FromSeconds(0.15);

    /// <summary>
    /// Time of the model of one plan in units of another's, runs of one sample and of many weighing the same; 1 for models that are too large.
    /// </summary>
    /// <exception cref="ModelException">ONNX Runtime cannot run one of them.</exception>
    public double Ratio(Allotment plan, Allotment other)
    {
        if (!workspace.MayLoadWhole || plan.SameAs(other))
        {
            return 1;
        }
        string key = $"models {Hash($"{sourceHash} {options.Dialect} {options.WeightBits} {Text(plan)} {Text(other)}")}";
        var ratio = times.Find(key);
        if (ratio == null)
        {
            times.Add(key, ratio = Measure(plan, other));
            times.Save();
        }
        return (ratio.One + ratio.Each) / 2;
    }

    LayerTime Measure(Allotment plan, Allotment other)
    {
        // As they are deployed, with weights of their own.
        using var first = ModelSession.Open(rewriter.Apply(plan.Plans).Model.ToBytes(), workspace.Device, options.Threads);
        using var second = ModelSession.Open(rewriter.Apply(other.Plans).Model.ToBytes(), workspace.Device, options.Threads);
        double[] Of(int samples)
        {
            double[] milliseconds = [];
            workspace.Sampling.First(samples, run => milliseconds = Latency.Milliseconds([first, second], run, s_budget));
            return milliseconds;
        }
        LayerTime[] Both() => [.. Of(1).Zip(Of(Math.Min(Many, workspace.Sampling.RunSize)), (one, many) => new LayerTime(one, many, []))];
        static LayerTime Quotient(LayerTime[] times) => new(times[0].One / times[1].One, times[0].Each / times[1].Each, []);
        // Some time apart, until two agree: a machine that other programs slow down for a moment would decide otherwise.
        var times = Both();
        for (int i = 1; i < MostTimes; i++)
        {
            var again = Both();
            bool agree = Quotient(times).IsLike(Quotient(again), Noise);
            times = [.. times.Zip(again, LayerTime.Shorter)];
            if (agree)
            {
                break;
            }
        }
        return Quotient(times);
    }

    static string Text(Allotment allotment) => string.Join(' ', allotment.Plans.Select(plan => plan with { Layer = null! }));

    static string Hash(string text) => Convert.ToHexStringLower(SHA256.HashData(Encoding.UTF8.GetBytes(text)));
}
