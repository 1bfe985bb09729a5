using OnnxLowRank.Layers;
using OnnxLowRank.Planning;

namespace OnnxLowRank.Timing;

/// <summary>A rewritten layer against what it was, timed in turns.</summary>
sealed record LayerProof(LayerTime Before, LayerTime After);

/// <summary>Times the layers of a finished plan at their very ranks, old against new: nothing is interpolated or remembered.</summary>
sealed class Proof
{
    /// <summary>Layers this much slower than they were are slower; closer than that is the clock's noise.</summary>
    const double Noise = 1.05;

    public Proof(IReadOnlyDictionary<Layer, LayerProof> layers) => Layers = layers;

    /// <summary>The layers that are not kept.</summary>
    public IReadOnlyDictionary<Layer, LayerProof> Layers { get; }

    /// <summary>
    /// Layers that take longer than before, runs of one sample and of many weighing the same: the search may put them back.
    /// </summary>
    public IReadOnlySet<Layer> Slower
    {
        get
        {
            double one = Layers.Values.Sum(proof => proof.Before.One), each = Layers.Values.Sum(proof => proof.Before.Each);
            double scale = each > 0 ? one / each : 1;
            double Mean(LayerTime time) => time.One + time.Each * scale;
            return Layers.Where(item => Mean(item.Value.After) > Noise * Mean(item.Value.Before)).Select(item => item.Key).ToHashSet();
        }
    }

    /// <summary>Layers of one shape are timed together.</summary>
    /// <exception cref="ModelException">ONNX Runtime cannot run a layer alone.</exception>
    /// <exception cref="IOException">There is no room for profiles.</exception>
    /// <exception cref="OperationCanceledException">The user wants to stop.</exception>
    public static Proof Of(LayerTimer timer, IEnumerable<LayerPlan> plans)
    {
        var uses = plans.Where(plan => plan is not LayerPlan.Keep && plan.Layer.Kind != LayerKind.Constant)
            .SelectMany(plan => plan.Layer.Uses.Select((_, use) => (Plan: plan, Use: use, Key: timer.Key(plan, use)))).ToList();
        var layers = new Dictionary<Layer, LayerProof>();
        foreach (var alike in uses.GroupBy(item => timer.Key(new LayerPlan.Keep(item.Plan.Layer), item.Use)))
        {
            var (first, use, _) = alike.First();
            var ways = alike.DistinctBy(item => item.Key).ToList();
            var times = timer.Measure([new LayerPlan.Keep(first.Layer), .. ways.Select(way => way.Plan with { Layer = first.Layer })], use);
            var after = ways.Zip(times.Skip(1)).ToDictionary(item => item.First.Key, item => item.Second);
            foreach (var (plan, _, key) in alike)
            {
                var known = layers.GetValueOrDefault(plan.Layer);
                layers[plan.Layer] = new(
                    known == null ? times[0] : known.Before + times[0], known == null ? after[key] : known.After + after[key]);
            }
        }
        return new(layers);
    }
}
