using OnnxLowRank.Factorization;
using OnnxLowRank.Layers;
using OnnxLowRank.Planning;

namespace OnnxLowRank.Timing;

/// <summary>
/// Time of a layer as it was measured on this machine, in microseconds. Half of it is that of a run of one sample, half that of a sample in a run
/// of many, scaled so that the original's layers take the same time either way: so both kinds of runs weigh the same, and what
/// is saved in one of them is not worth more where runs are slower anyway.
/// </summary>
/// <param name="decompositions">Of the layers that may be factorized.</param>
sealed class MeasuredCostModel(
    LayerTimer timer, TimingCache cache, IReadOnlyList<Layer> layers, IReadOnlyDictionary<Layer, Decomposition> decompositions) : ICostModel
{
    readonly Dictionary<string, RankCurve> _curves = new(StringComparer.Ordinal);
    double? _scale;

    /// <inheritdoc/>
    /// <remarks>Measures what is not known yet: a layer's ranks all at once, at the first question about one of them.</remarks>
    /// <exception cref="ModelException">ONNX Runtime cannot run the layer alone.</exception>
    /// <exception cref="IOException">There is no room for profiles.</exception>
    public double Time(LayerPlan plan)
    {
        double time = 0;
        for (int use = 0; use < plan.Layer.Uses.Count; use++)
        {
            time += plan is LayerPlan.Factorize factorize ? Curve(factorize, use).At(factorize.Rank) : Mean(Points([plan], use)[0]);
        }
        return time;
    }

    /// <summary>Keeps what was measured for the next run.</summary>
    public void Save() => cache.Save();

    double Mean(LayerTime time)
    {
        _scale ??= Scale();
        return (time.One + time.Each * _scale.Value) / 2;
    }

    /// <summary>What a run of one sample takes in units of a sample's share of a run of many, in the original's layers.</summary>
    double Scale()
    {
        double one = 0, each = 0;
        foreach (var layer in layers)
        {
            for (int use = 0; use < layer.Uses.Count; use++)
            {
                var time = Points([new LayerPlan.Keep(layer)], use)[0];
                (one, each) = (one + time.One, each + time.Each);
            }
        }
        return each > 0 ? one / each : 1;
    }

    RankCurve Curve(LayerPlan.Factorize plan, int use)
    {
        int[] ranks = RankCurve.Ranks(decompositions[plan.Layer].MaxRank);
        LayerPlan[] plans = [.. ranks.Select(rank => plan with { Rank = rank })];
        string name = timer.Key(plans[^1], use);
        if (!_curves.TryGetValue(name, out var curve))
        {
            _curves[name] = curve = new(ranks, [.. Points(plans, use).Select(Mean)]);
        }
        return curve;
    }

    LayerTime[] Points(LayerPlan[] plans, int use)
    {
        string[] keys = Array.ConvertAll(plans, plan => timer.Key(plan, use));
        LayerPlan[] unknown = [.. plans.Where((_, i) => cache.Find(keys[i]) == null)];
        if (unknown.Length > 0)
        {
            foreach (var (plan, time) in unknown.Zip(timer.Measure(unknown, use)))
            {
                cache.Add(timer.Key(plan, use), time);
            }
        }
        return Array.ConvertAll(keys, key => cache.Find(key)!);
    }
}
