using OnnxLowRank.Layers;
using OnnxLowRank.Planning;

namespace OnnxLowRank.Timing;

/// <summary>A rewritten layer against what it was, timed in turns.</summary>
sealed record LayerProof(LayerTime Before, LayerTime After);

/// <summary>Times of the layers of a finished plan at their very ranks, old against new, taken in turns: nothing is interpolated.</summary>
sealed class Proof
{
    /// <summary>Layers this much slower than they were, and by more than this many microseconds, are slower; closer than that is the clock's noise.</summary>
    const double Noise = 1.05, Resolution = 1;

    readonly IReadOnlySet<Layer> _excused;

    /// <param name="excused">Layers of which it is known that their times alone mislead: they are not slower.</param>
    public Proof(IReadOnlyDictionary<Layer, LayerProof> layers, IReadOnlySet<Layer>? excused = null) => (Layers, _excused) = (layers, excused ?? new HashSet<Layer>());

    /// <summary>The layers that are not kept.</summary>
    public IReadOnlyDictionary<Layer, LayerProof> Layers { get; }

    /// <summary>
    /// Layers that take longer than before, runs of one sample and of many weighing the same. On the same kernels as before, as dense
    /// weight-only layers are, a layer takes as long as before, whatever the clock says.
    /// </summary>
    public IReadOnlySet<Layer> Slower
    {
        get
        {
            double one = Layers.Values.Sum(proof => proof.Before.One), each = Layers.Values.Sum(proof => proof.Before.Each);
            double scale = each > 0 ? one / each : 1;
            double Mean(LayerTime time) => (time.One + time.Each * scale) / 2;
            return Layers.Where(item => !_excused.Contains(item.Key) && !item.Value.Before.Kernels.SequenceEqual(item.Value.After.Kernels) && Mean(item.Value.After) > Resolution + Noise * Mean(item.Value.Before))
                .Select(item => item.Key).ToHashSet();
        }
    }

    /// <summary>Layers of one shape are timed together. What was found is remembered, so that a second run decides the same.</summary>
    /// <exception cref="ModelException">ONNX Runtime cannot run a layer alone.</exception>
    /// <exception cref="IOException">There is no room for profiles.</exception>
    /// <exception cref="OperationCanceledException">The user wants to stop.</exception>
    public static Proof Of(LayerTimer timer, TimingCache cache, IEnumerable<LayerPlan> plans, IReadOnlySet<Layer>? excused = null)
    {
        var uses = plans.Where(plan => plan is not LayerPlan.Keep && plan.Layer.Kind != LayerKind.Constant)
            .SelectMany(plan => plan.Layer.Uses.Select((_, use) => (Plan: plan, Use: use, Key: timer.Key(plan, use)))).ToList();
        var layers = new Dictionary<Layer, LayerProof>();
        foreach (var alike in uses.GroupBy(item => timer.Key(new LayerPlan.Keep(item.Plan.Layer), item.Use)))
        {
            string Before(string key) => $"{alike.Key}, before {key}";
            string After(string key) => $"{key}, after {alike.Key}";
            var (first, use, _) = alike.First();
            var unknown = alike.DistinctBy(item => item.Key).Where(way => cache.Find(Before(way.Key)) == null || cache.Find(After(way.Key)) == null).ToList();
            if (unknown.Count > 0)
            {
                LayerPlan[] ways = [new LayerPlan.Keep(first.Layer), .. unknown.Select(way => way.Plan with { Layer = first.Layer })];
                LayerTime[] times = [.. timer.Measure(ways, use).Zip(timer.Measure(ways, use), LayerTime.Shorter)];
                for (int i = 0; i < unknown.Count; i++)
                {
                    cache.Add(Before(unknown[i].Key), times[0]);
                    cache.Add(After(unknown[i].Key), times[i + 1]);
                }
            }
            foreach (var (plan, _, key) in alike)
            {
                var (before, after) = (cache.Find(Before(key))!, cache.Find(After(key))!);
                layers[plan.Layer] = layers.GetValueOrDefault(plan.Layer) is { } known ? new(known.Before + before, known.After + after) : new(before, after);
            }
        }
        cache.Save();
        return new(layers, excused);
    }
}
