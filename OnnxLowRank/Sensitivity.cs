using OnnxLowRank.Factorization;
using OnnxLowRank.Layers;
using OnnxLowRank.Planning;
using OnnxLowRank.Rewriting;
using OnnxLowRank.Runtime;
using OnnxLowRank.Utilization;

namespace OnnxLowRank;

/// <summary>
/// What an error in one layer does to the model's output. Measured, because nothing about a weight tells it: one layer is
/// factorized at a time, to two ranks, or rounded to few bits, and the outputs are compared.
/// </summary>
static class Sensitivity
{
    /// <summary>Errors at which a layer is tried: well above rounding, and where damage starts to be large.</summary>
    static readonly double[] s_triedErrors = [0.03, 0.2];

    /// <summary>Gains outside of this are noise.</summary>
    const double SmallestGain = 0.1, LargestGain = 30;

    /// <summary>No rounding is taken to do less, so that of two ways that do nothing the finer one is the better.</summary>
    const double LeastDamage = 1e-12;

    /// <summary>Samples per measurement at most and at least; the divergence is smooth, so few suffice.</summary>
    const int MostSamples = 256, FewestSamples = 8;

    /// <summary>Work in units of a pass over all of the user's samples: with more layers, each is measured on fewer samples.</summary>
    const int Passes = 8;

    /// <summary>A curve per layer: error → ‖Δy‖²/‖y‖² of the model's output. Layers that no rank makes smaller get the median one.</summary>
    public static IReadOnlyDictionary<Layer, DamageCurve> Of(
        Workspace workspace, Analysis analysis, Rewriter rewriter, CompressionOptions options, StageClock clock)
    {
        clock.Enter("search");
        // These samples shape the plan, so they are taken from those that shape it anyway.
        var moments = workspace.Shares.Moments;
        var samples = moments[..Math.Min(SamplesEach(workspace.Shares.Count, analysis.Found.Layers.Sum(Measurements)), moments.Length)];
        workspace.ReleaseOriginal(samples);
        var measured = new Dictionary<Layer, DamageCurve>();
        int Measurements(Layer layer) => (analysis.InFewBits.ContainsKey(layer) ? 1 : 0)
            + (analysis.Decompositions.TryGetValue(layer, out var one) ? TriedRanks(one).Count() + (one.Tucker == null ? 0 : 1) + (one.Spatial == null ? 0 : 1) : 0);
        // What lies before a layer computes the same whatever is done to it.
        string[] outputs = workspace.Metric.Outputs;
        using var before = new Remembered(rewriter.Model, workspace.Device, options.Threads, workspace.Sampling, samples, workspace.Memory);
        LayerCut? cut = null;
        double Damage(LayerPlan plan)
        {
            var rewritten = rewriter.Apply([plan]).Model;
            using var session = ModelSession.Open(cut?.SuffixOf(rewritten, before.Types) ?? rewritten, workspace.Device, options.Threads);
            var rows = workspace.Divergence.Rows((run, indices) => session.Run(run, outputs, before.Of(indices)), samples);
            return Math.Pow(workspace.Divergence.Sum(rows, alpha: 0.05).Estimate, 2);
        }
        double Gain(DamageCurve curve, Func<int, double> errorAt, int maxRank, Func<int, LayerPlan.Factorize> plan)
        {
            int rank = RankNear(errorAt, maxRank, s_triedErrors[0]);
            double predicted = errorAt(rank), real = curve.ErrorOf(Damage(plan(rank)));
            return predicted > 0 ? Math.Clamp(real / predicted, SmallestGain, LargestGain) : 1;
        }
        double? PerRounding(Layer layer, NBitWeights rounded)
        {
            var coarse = layer.IsTable ? new LayerPlan.Quantize(layer, WeightFormat.Int4) : new LayerPlan.Quantize(layer, WeightFormat.Int3, WeightOnly: true);
            return rounded.DenseError(coarse.Grid) is > 0 and var lost ? Math.Max(Damage(coarse), LeastDamage) / lost : null;
        }
        var cost = analysis.Cost;
        double passed = 0;
        foreach (var (layer, decomposition) in analysis.Decompositions)
        {
            cut = new(rewriter.Model, layer, outputs);
            double prefix = cost.Share(cut.Prefix);
            workspace.Sampling.Share = Math.Max(0, prefix - passed);
            cut = before.MoveTo(cut) ? cut : null;
            (workspace.Sampling.Share, passed) = cut == null ? (1, 0) : (cost.Share(cut.Suffix), prefix);
            var points = new List<(double Error, double Damage)>();
            foreach (int rank in TriedRanks(decomposition))
            {
                points.Add((decomposition.Error(rank), Damage(new LayerPlan.Factorize(layer, rank, WeightFormat.Float32))));
            }
            var curve = DamageCurve.Through(points);
            measured[layer] = curve with
            {
                PerRounding = analysis.InFewBits.TryGetValue(layer, out var rounded) ? PerRounding(layer, rounded) : null,
                InputGain = decomposition.Tucker is { } tucker
                    ? Gain(curve, decomposition.InputError, tucker.MaxInputRank, rank => new(layer, layer.Out, WeightFormat.Float32, rank)) : curve.InputGain,
                SpatialGain = decomposition.Spatial is { } spatial
                    ? Gain(curve, decomposition.SpatialError, spatial.MaxRank, rank => new(layer, rank, WeightFormat.Float32, IsSpatial: true)) : curve.SpatialGain,
            };
            clock.Report(0.3 * measured.Count / analysis.Decompositions.Count);
        }
        workspace.Sampling.Share = 1;
        var median = measured.Count > 0 ? measured.Values.OrderBy(curve => curve.At(s_triedErrors[0])).ElementAt(measured.Count / 2) : new(1, 1);
        return analysis.Found.Layers.ToDictionary(layer => layer, layer => measured.GetValueOrDefault(layer, median));
    }

    /// <summary>Samples per measurement, so that all measurements together keep within the work allowed.</summary>
    internal static int SamplesEach(int allSamples, int measurements) =>
        (int)Math.Clamp((long)Passes * allSamples / Math.Max(1, measurements), FewestSamples, MostSamples);

    static IEnumerable<int> TriedRanks(Decomposition decomposition) =>
        s_triedErrors.Select(error => RankNear(decomposition.Error, decomposition.MaxRank, error)).Distinct();

    static int RankNear(Func<int, double> errorAt, int maxRank, double error) =>
        Enumerable.Range(1, maxRank).MinBy(rank => Math.Abs(Math.Log((errorAt(rank) + 1e-12) / error)));
}
