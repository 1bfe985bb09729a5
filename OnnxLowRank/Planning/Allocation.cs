using OnnxLowRank.Layers;

namespace OnnxLowRank.Planning;

/// <summary>
/// One budget over all layers: per layer the candidate with the smallest damage + λ·cost, cost being the layer's share of the
/// model's bytes and time. The sum is then the smallest damage for what it costs, whatever λ is: one number to search.
/// </summary>
sealed class Allocation
{
    readonly IReadOnlyList<IReadOnlyList<Candidate>> _tables;
    readonly double _perByte;
    readonly double _perTime;

    /// <param name="tables">Per layer, in graph order.</param>
    /// <param name="timeShare">How much of the cost is time, 0…1; the rest is bytes.</param>
    public Allocation(IReadOnlyList<IReadOnlyList<Candidate>> tables, double timeShare)
    {
        _tables = tables;
        double bytes = tables.Sum(table => table[0].Bytes), time = tables.Sum(table => table[0].Time);
        _perByte = bytes > 0 ? (1 - timeShare) / bytes : 0;
        _perTime = time > 0 ? timeShare / time : 0;
    }

    double Cost(Candidate candidate) => candidate.Bytes * _perByte + candidate.Time * _perTime;

    /// <summary>Cost of a plan whose time is known as a multiple of another's, by the measure of that one.</summary>
    public double CostOf(Allotment plan, Allotment known, double ratio) => plan.Bytes * _perByte + known.Chosen.Sum(candidate => candidate.Time) * ratio * _perTime;

    /// <summary>The best plan at a multiplier.</summary>
    /// <param name="multiplier">λ ≥ 0: damage that one whole model's cost is worth.</param>
    public Allotment At(double multiplier)
    {
        var chosen = new Candidate[_tables.Count];
        for (int i = 0; i < chosen.Length; i++)
        {
            double best = double.PositiveInfinity;
            foreach (var candidate in _tables[i])
            {
                double value = candidate.Damage + multiplier * Cost(candidate);
                if (value < best)
                {
                    (best, chosen[i]) = (value, candidate);
                }
            }
        }
        return Of(chosen);
    }

    Allotment Of(Candidate[] chosen) => new(chosen, chosen.Sum(Cost), chosen.Sum(candidate => candidate.Bytes), chosen.Sum(candidate => candidate.Damage));

    /// <summary>The plan with some layers undone: each as cheap as it can be in one piece, at no more damage than it did.</summary>
    public Allotment Without(Allotment allotment, IReadOnlySet<Layer> layers) =>
        Of([.. allotment.Chosen.Select((chosen, i) => layers.Contains(chosen.Plan.Layer) ? Undone(chosen, i) : chosen)]);

    /// <summary>Pairs that take longer than their layer in one piece would, at no more damage: they are there for their bytes.</summary>
    public IReadOnlySet<Layer> SlowerPairs(Allotment allotment) => allotment.Chosen
        .Where((chosen, i) => chosen.Plan is LayerPlan.Factorize && Undone(chosen, i).Time < chosen.Time)
        .Select(chosen => chosen.Plan.Layer).ToHashSet();

    /// <summary>
    /// The cheapest way to do a layer in one piece at no more damage than what was chosen. Not the fastest: by a clock's noise that could be floats.
    /// </summary>
    Candidate Undone(Candidate chosen, int layer) => _tables[layer]
        .Where(candidate => candidate.Plan is not LayerPlan.Factorize && candidate.Plan != chosen.Plan && candidate.Damage <= chosen.Damage)
        .MinBy(Cost);

    /// <summary>
    /// Dense convolutions on integers that by the tables would take longer as they were. Between integers a float one costs conversions, which
    /// the times of the two alone leave out.
    /// </summary>
    public IReadOnlySet<Layer> SlowerKept(Allotment allotment) => allotment.Chosen
        .Where((chosen, i) => chosen.Plan is LayerPlan.Quantize { RunsOnIntegers: true, Layer.Kind: LayerKind.Conv } && _tables[i][0].Time > chosen.Time)
        .Select(chosen => chosen.Plan.Layer).ToHashSet();

    /// <summary>
    /// The plan with one more layer made cheaper, by at least a share of what the plan costs: that with the least further damage per cost saved.
    /// </summary>
    /// <param name="limits">Damage that a layer may do at most, by its place; others may do any.</param>
    /// <returns>The plan and the place of the layer that changed, or null where none can be.</returns>
    public (Allotment Plan, int Layer)? Cheapened(Allotment plan, IReadOnlyDictionary<int, double> limits, double share)
    {
        (double Price, int Index, Candidate Candidate) best = (double.PositiveInfinity, -1, default);
        for (int i = 0; i < _tables.Count; i++)
        {
            var chosen = plan.Chosen[i];
            double limit = limits.GetValueOrDefault(i, double.PositiveInfinity);
            foreach (var candidate in _tables[i])
            {
                double saved = Cost(chosen) - Cost(candidate), price = (candidate.Damage - chosen.Damage) / saved;
                if (saved >= share * plan.Cost && candidate.Damage <= limit && price < best.Price)
                {
                    best = (price, i, candidate);
                }
            }
        }
        if (best.Index < 0)
        {
            return null;
        }
        Candidate[] moved = [.. plan.Chosen];
        moved[best.Index] = best.Candidate;
        return (Of(moved), best.Index);
    }

    /// <summary>The plan that keeps every layer.</summary>
    public Allotment Unchanged => Of([.. _tables.Select(table => table[0])]);

    /// <summary>The next cheaper plan that some multiplier makes; the cheapest one is next to itself.</summary>
    public Allotment NextTo(Allotment plan) => AtCost(plan.Cost * (1 - Resolution));

    /// <summary>Costs closer than this, relative, are the same.</summary>
    const double Resolution = 1e-6;

    /// <summary>Cost when every layer takes its cheapest candidate.</summary>
    public double SmallestCost => _tables.Sum(table => table.Min(Cost));

    /// <summary>The cheapest plan among those of at most this damage that some multiplier makes.</summary>
    public Allotment AtDamage(double damage) => Bisect(allotment => allotment.Damage > damage).Within;

    /// <summary>The plan with the least damage among those of at most this cost that some multiplier makes.</summary>
    public Allotment AtCost(double cost) => Bisect(allotment => allotment.Cost <= cost).Beyond;

    /// <summary>Two neighbouring plans, the second the first one for which something holds that holds from some multiplier on.</summary>
    (Allotment Within, Allotment Beyond) Bisect(Predicate<Allotment> holds)
    {
        // Cost falls and damage grows with the multiplier; its logarithm is bisected down to neighbouring doubles' worth of plans.
        double low = -40, high = 40;
        for (int i = 0; i < 60; i++)
        {
            double middle = (low + high) / 2;
            if (holds(At(Math.Exp(middle))))
            {
                high = middle;
            }
            else
            {
                low = middle;
            }
        }
        return (At(Math.Exp(low)), At(Math.Exp(high)));
    }
}

/// <summary>One candidate per layer, and what they add up to.</summary>
/// <param name="Cost">Share of the original's bytes and time, weighted.</param>
sealed record Allotment(IReadOnlyList<Candidate> Chosen, double Cost, double Bytes, double Damage)
{
    public IEnumerable<LayerPlan> Plans => Chosen.Select(candidate => candidate.Plan);

    /// <summary>Whether every layer is kept.</summary>
    public bool ChangesNothing => Plans.All(plan => plan is LayerPlan.Keep);

    public bool SameAs(Allotment other) => Plans.SequenceEqual(other.Plans);
}
