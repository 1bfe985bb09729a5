using System.Security.Cryptography;
using System.Text;
using OnnxLowRank.Layers;
using OnnxLowRank.Planning;
using OnnxLowRank.Rewriting;
using OnnxLowRank.Runtime;
using OnnxLowRank.Timing;

namespace OnnxLowRank;

/// <summary>What runs on integers and what in floats, where the format is free.</summary>
static class Mixtures
{
    /// <summary>Predicted damage at which mixtures are compared before any plan is tried: that of one which loses little.</summary>
    const double TypicalDamage = 0.01;

    /// <summary>Convolutions with a smaller share of the layers' time decide nothing.</summary>
    const double SmallShare = 0.05;

    /// <summary>Larger models are not built in memory only to be timed.</summary>
    const long LargestTimed = 1 << 30;

    /// <summary>Samples of a run of many.</summary>
    const int Many = 32;

    static readonly TimeSpan s_budget = TimeSpan.FromSeconds(0.5);

    /// <summary>
    /// What may be done to each layer, the ways to mix in order: first two of which one is chosen before the search, then what is left
    /// where that loses too much or is slower than the original.
    /// </summary>
    public static IReadOnlyList<Func<Layer, Allowed>> Of(CompressionOptions options)
    {
        Allowed Ways(WeightFormat[] formats, WeightFormat[] weightOnly) =>
            new(formats, weightOnly, options.Method != Method.None, options.Dialect == Dialect.Ort ? [0, Compressor.Block] : [0], options.WeightBits);
        if (options.Format != FormatChoice.Auto)
        {
            var format = options.Format switch { FormatChoice.Int8 => WeightFormat.Int8, FormatChoice.Int4 => WeightFormat.Int4, _ => WeightFormat.Float32 };
            return [_ => Ways([format], [])];
        }
        WeightFormat[] few = [WeightFormat.Int8, WeightFormat.Int4];
        return
        [
            // All convolutions alike: between integer and float ones layouts are converted.
            layer => Ways(few, layer.Kind == LayerKind.Conv ? [] : few),
            layer => Ways(layer.Kind == LayerKind.Conv ? [] : few, few),
            layer => Ways(layer.IsTable ? few : [], few),
        ];
    }

    /// <summary>
    /// Which of two tables promises the cheaper model. Times of layers alone leave out what lies between them, conversions above all, so
    /// where it matters whole models are built, of plans that do the same predicted damage, and timed in turns.
    /// </summary>
    /// <param name="times">Where the ratio of times is remembered, so that a second run decides the same; null where nothing is to be timed.</param>
    /// <param name="sourceHash">Of the model.</param>
    /// <exception cref="ModelException">ONNX Runtime cannot run one of them.</exception>
    public static int Cheaper(
        IReadOnlyList<List<Candidate>> first, IReadOnlyList<List<Candidate>> second, Rewriter rewriter, Workspace workspace, CompressionOptions options,
        TimingCache? times, string sourceHash)
    {
        double timeShare = options.TargetTime != null ? 1 : options.TimeShare;
        Allotment Typical(IReadOnlyList<List<Candidate>> tables) => new Allocation(tables, timeShare).AtDamage(TypicalDamage);
        var (one, other) = (Typical(first), Typical(second));
        double convs = first.Where(table => table[0].Plan.Layer.Kind == LayerKind.Conv).Sum(table => table[0].Time), all = first.Sum(table => table[0].Time);
        if (times == null || timeShare == 0 || convs < SmallShare * all || one.SameAs(other) || workspace.SourceBytes > LargestTimed)
        {
            return one.Cost <= other.Cost ? 0 : 1;
        }
        string key = $"models {Hash($"{sourceHash} {options.Dialect} {options.WeightBits} {Text(one)} {Text(other)}")}";
        var ratio = times.Find(key);
        if (ratio == null)
        {
            times.Add(key, ratio = Ratio(one, other, rewriter, workspace, options.Threads));
            times.Save();
        }
        // Of the original's cost, bytes are known; time is the ratio's, in units of the first one's share.
        double bytes = first.Sum(table => table[0].Bytes), before = first.Sum(table => table[0].Time);
        double time = one.Chosen.Sum(candidate => candidate.Time) / before;
        double Cost(Allotment allotment, double factor) => (1 - timeShare) * allotment.Bytes / bytes + timeShare * time * factor;
        return Cost(one, 1) <= Cost(other, (ratio.One + ratio.Each) / 2) ? 0 : 1;
    }

    /// <summary>Time of the other model in units of the first one's, in runs of one sample and of many.</summary>
    static LayerTime Ratio(Allotment one, Allotment other, Rewriter rewriter, Workspace workspace, int threads)
    {
        // As they are deployed, with weights of their own.
        using var first = ModelSession.Open(rewriter.Apply(one.Plans).Model.ToBytes(), workspace.Device, threads);
        using var second = ModelSession.Open(rewriter.Apply(other.Plans).Model.ToBytes(), workspace.Device, threads);
        double Of(int samples)
        {
            double[] milliseconds = [];
            workspace.Sampling.First(samples, run => milliseconds = Latency.Milliseconds([first, second], run, s_budget));
            return milliseconds[1] / milliseconds[0];
        }
        return new(Of(1), Of(Math.Min(Many, workspace.Sampling.RunSize)), []);
    }

    static string Text(Allotment allotment) => string.Join(' ', allotment.Plans.Select(plan => plan with { Layer = null! }));

    static string Hash(string text) => Convert.ToHexStringLower(SHA256.HashData(Encoding.UTF8.GetBytes(text)));
}
