using OnnxLowRank.Calibration;
using OnnxLowRank.Factorization;
using OnnxLowRank.Layers;
using OnnxLowRank.Planning;
using OnnxLowRank.Rewriting;

namespace OnnxLowRank;

/// <summary>One layer at a list of ranks, by several methods, everything else as it was.</summary>
static class RankSweep
{
    public static void Run(SweepOptions options, string input, SweepSink sink, CancellationToken cancellation)
    {
        using var bench = new SweepBench(options, input, cancellation);
        var layer = Only(bench.Find(), input, options);
        int most = Math.Min(layer.OutPerGroup, layer.In);
        int[] ranks = [.. options.Settings.Select(rank => (int)Math.Min(rank, most)).Distinct().Order()];
        var sampling = bench.Workspace.Sampling;
        var calibrator = new Calibrator(bench.Workspace.Model, [layer], bench.Workspace.Device, options.Threads);
        var shapes = calibrator.Shapes(sampling);
        sampling.FitTo(Calibrator.BytesPerSample(shapes));
        var measured = calibrator.Collect(sampling, bench.Workspace.Shares.Moments, shapes, withRanges: false);
        bench.Start(sink, layer, most, EffectiveRank(bench, layer, most));

        Decomposition Decompose(Method method, int repeat, int rank) =>
            Decomposing.Decompose(bench.Algebra, layer, measured, method, options.Seed + repeat * layer.Groups, rank, input: null);
        (Method Method, int Repeat)[] series =
            [.. options.Methods.SelectMany(method => Enumerable.Range(0, method == Method.Randomized ? options.Repeats : 1).Select(repeat => (method, repeat)))];
        int done = 0;
        foreach (var (method, repeat) in series)
        {
            // What a random method finds depends on how much it looks for: it starts anew for every rank.
            var all = method == Method.Randomized ? null : Decompose(method, repeat, most);
            foreach (int rank in ranks)
            {
                var decomposition = all ?? Decompose(method, repeat, rank);
                var rewriter = new Rewriter(
                    bench.Workspace.Model, new Dictionary<Layer, Decomposition> { [layer] = decomposition }, new Dictionary<Layer, NBitWeights>(),
                    ActivationRanges.None, Dialect.Ort, new Dictionary<string, string>());
                sink.Add(bench.Measure(rewriter, [new LayerPlan.Factorize(layer, rank, WeightFormat.Float32)], method.ToString().ToLowerInvariant(), rank, repeat));
                sink.Progress((double)++done / (series.Length * ranks.Length));
            }
        }
    }

    static Layer Only(FoundLayers found, string input, SweepOptions options)
    {
        Layer[] layers = [.. found.Layers.Where(layer => !layer.IsTable)];
        return layers.Length == 1 ? layers[0] : throw new OptionException(layers.Length == 0
            ? $"--layer '{options.Layer}' matches no MatMul, Gemm or Conv of {input} that can be factorized (inspect lists them)"
            : $"--layer '{options.Layer}' matches {layers.Length} layers of {input}, the first two '{layers[0].Name}' and '{layers[1].Name}'; one is wanted");
    }

    static double EffectiveRank(SweepBench bench, Layer layer, int most)
    {
        var weight = layer.ReadWeight();
        return RankFigures.Of([.. Enumerable.Range(0, layer.Groups).Select(g => SvdMethod.Of(bench.Algebra, layer.GroupOf(weight, g), most))]).Effective;
    }

    /// <summary>Per series the smallest rank from which on all lose no more than the tolerance.</summary>
    internal static IEnumerable<GoodRank> GoodEnough(IEnumerable<SweepPoint> points, double tolerance)
    {
        foreach (var series in points.GroupBy(point => (point.Model, point.Series, point.Repeat)))
        {
            int? good = null;
            foreach (var point in series.OrderByDescending(point => point.Setting).TakeWhile(point => point.Loss <= tolerance))
            {
                good = (int)point.Setting;
            }
            yield return new(series.Key.Model, series.Key.Series, series.Key.Repeat, good);
        }
    }
}
