using System.Diagnostics;
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
    /// <summary>Difference between two measurements, relative, that a clock makes by itself.</summary>
    const double Noise = 0.3;

    /// <summary>What measuring a third time may take, of what the second time took; the slowest layers come first.</summary>
    const double ThirdShare = 0.25;

    static readonly LayerTime s_notYet = new(0, 0, []);

    readonly Dictionary<(Layer Layer, int Use, int? InputRank, bool HasUp, string Way), RankCurve> _curves = [];
    readonly OrderedDictionary<string, (LayerPlan Plan, int Use)> _asked = [];
    double? _scale;

    /// <inheritdoc/>
    /// <remarks>What is not known yet takes no time, and waits for <see cref="MeasureWaiting"/>.</remarks>
    public double Time(LayerPlan plan)
    {
        plan = plan.AsRun;
        double time = 0;
        for (int use = 0; use < plan.Layer.Uses.Count && plan.Layer.Kind != LayerKind.Constant; use++)
        {
            time += plan is LayerPlan.Factorize factorize ? Factorized(factorize, use) : Mean(Points([plan], use)[0]);
        }
        return time;
    }

    double Factorized(LayerPlan.Factorize plan, int use)
    {
        if (plan.InputRank is not { } inputRank)
        {
            return Curve(plan, use).At(plan.Rank);
        }
        int[] knots = RankCurve.FewRanks(decompositions[plan.Layer].Tucker!.MaxInputRank);
        return new RankCurve(knots, [.. knots.Select(knot => Curve(plan with { InputRank = knot }, use).At(plan.Rank))]).At(inputRank);
    }

    /// <summary>
    /// Measures what was asked for and is not known, all ways to do a layer in turns, with those that are known: a machine that other programs slow down for
    /// seconds would favour what was measured before or after that. Then once more, and what took another time then once again; the shortest times count.
    /// </summary>
    /// <returns>Whether anything was: then all has to be asked again.</returns>
    /// <exception cref="ModelException">ONNX Runtime cannot run a layer alone.</exception>
    /// <exception cref="IOException">There is no room for profiles.</exception>
    /// <exception cref="OperationCanceledException">The user wants to stop.</exception>
    public bool MeasureWaiting()
    {
        var groups = _asked.GroupBy(item => (item.Value.Plan.Layer, item.Value.Use)).Where(group => group.Any(item => cache.Find(item.Key) == null))
            .Select(group => (Plans: group.Select(item => item.Value.Plan).ToArray(), group.Key.Use)).ToList();
        _asked.Clear();
        if (groups.Count == 0)
        {
            return false;
        }
        foreach (var (plans, use) in groups)
        {
            foreach (var (plan, time) in plans.Zip(timer.Measure(plans, use)))
            {
                cache.Add(timer.Key(plan, use), time);
            }
        }
        long start = Stopwatch.GetTimestamp();
        var unlike = groups.Select(item => (Plans: Unlike(item.Plans, item.Use), item.Use)).Where(item => item.Plans.Length > 0).ToList();
        var budget = Stopwatch.GetElapsedTime(start) * ThirdShare;
        start = Stopwatch.GetTimestamp();
        foreach (var (plans, use) in unlike.OrderByDescending(item => cache.Find(timer.Key(item.Plans[0], item.Use))!.Each).TakeWhile(_ => Stopwatch.GetElapsedTime(start) < budget))
        {
            Unlike(plans, use);
        }
        _curves.Clear();
        _scale = null;
        return true;
    }

    /// <summary>Measures plans once more; tells of which the time is another one than before.</summary>
    LayerPlan[] Unlike(LayerPlan[] plans, int use)
    {
        var unlike = new List<LayerPlan>();
        foreach (var (plan, time) in plans.Zip(timer.Measure(plans, use)))
        {
            string key = timer.Key(plan, use);
            var before = cache.Find(key)!;
            if (!before.IsLike(time, Noise))
            {
                unlike.Add(plan);
            }
            cache.Add(key, LayerTime.Shorter(before, time));
        }
        return [.. unlike];
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
        foreach (var layer in layers.Where(layer => layer.Kind != LayerKind.Constant))
        {
            for (int use = 0; use < layer.Uses.Count; use++)
            {
                var time = Points([new LayerPlan.Keep(layer)], use)[0];
                (one, each) = (one + time.One, each + time.Each);
            }
        }
        return each > 0 ? one / each : 1;
    }

    /// <summary>Over all ranks at one input rank; the only rank where outputs are not factorized.</summary>
    RankCurve Curve(LayerPlan.Factorize plan, int use)
    {
        var identity = (plan.Layer, use, plan.InputRank, plan.HasUp, (plan with { Rank = 0, InputRank = null, Layer = null! }).ToString());
        if (!_curves.TryGetValue(identity, out var curve))
        {
            var decomposition = decompositions[plan.Layer];
            int maxRank = plan.IsSpatial ? decomposition.Spatial!.MaxRank : Math.Min(decomposition.MaxRank, plan.InputRank == null ? int.MaxValue : plan.Layer.OutPerGroup - 1);
            int[] ranks = !plan.IsCutAtRank ? [plan.Rank] : plan.InputRank == null ? RankCurve.Ranks(maxRank) : RankCurve.FewRanks(maxRank);
            LayerPlan[] plans = [.. ranks.Select(rank => plan with { Rank = rank })];
            _curves[identity] = curve = new(ranks, [.. Points(plans, use).Select(Mean)]);
        }
        return curve;
    }

    LayerTime[] Points(LayerPlan[] plans, int use) => Array.ConvertAll(plans, plan =>
    {
        string key = timer.Key(plan, use);
        _asked.TryAdd(key, (plan, use));
        return cache.Find(key) ?? s_notYet;
    });
}
