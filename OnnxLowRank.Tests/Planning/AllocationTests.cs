using OnnxLowRank.Layers;
using OnnxLowRank.Planning;
using OnnxLowRank.Tests.Rewriting;

namespace OnnxLowRank.Tests.Planning;

public class AllocationTests
{
    /// <summary>Layers with random tables of up to six candidates; the first keeps the layer. Candidates are told apart by their rank.</summary>
    static List<List<Candidate>> Tables(int layers, int seed)
    {
        var random = new Random(seed);
        var tables = new List<List<Candidate>>();
        for (int i = 0; i < layers; i++)
        {
            double bytes = random.Next(100, 2000), time = random.Next(100, 2000);
            var table = new List<Candidate> { Of(new LayerPlan.Keep(null!), bytes, time, 0) };
            for (int rank = 1; rank < random.Next(2, 7); rank++)
            {
                table.Add(Of(new LayerPlan.Factorize(null!, 10 * i + rank, WeightFormat.Float32), bytes * random.NextDouble(), time * random.NextDouble(), random.NextDouble()));
            }
            tables.Add(table);
        }
        return tables;
    }

    static Candidate Of(LayerPlan plan, double bytes, double time, double damage) => new(plan, bytes, time, Error: damage, damage);

    /// <summary>Every plan there is, with its damage and its cost as the shares of all bytes and all time, half each.</summary>
    static IEnumerable<(double Damage, double Cost)> All(List<List<Candidate>> tables)
    {
        double bytes = tables.Sum(table => table[0].Bytes), time = tables.Sum(table => table[0].Time);
        IEnumerable<(double Damage, double Cost)> plans = [(0, 0)];
        foreach (var table in tables)
        {
            plans = from plan in plans
                    from candidate in table
                    select (plan.Damage + candidate.Damage, plan.Cost + 0.5 * candidate.Bytes / bytes + 0.5 * candidate.Time / time);
        }
        return plans;
    }

    public static TheoryData<int> Seeds => [.. Enumerable.Range(0, 12)];

    [Theory, MemberData(nameof(Seeds))]
    public void At_a_multiplier_no_plan_is_better(int seed)
    {
        var tables = Tables(layers: 4, seed);
        var allocation = new Allocation(tables, timeShare: 0.5);
        var all = All(tables).ToList();

        foreach (double multiplier in new[] { 0, 0.01, 0.3, 1, 3, 100 })
        {
            var allotment = allocation.At(multiplier);

            Assert.Equal(all.Min(plan => plan.Damage + multiplier * plan.Cost), allotment.Damage + multiplier * allotment.Cost, 1e-9);
            Assert.Equal(allotment.Chosen.Sum(candidate => candidate.Damage), allotment.Damage, 1e-12);
            Assert.Equal(allotment.Chosen.Sum(candidate => candidate.Bytes), allotment.Bytes, 1e-9);
        }
    }

    [Theory, MemberData(nameof(Seeds))]
    public void A_plan_made_cheaper_changes_one_layer_to_the_best_bargain_within_its_limit(int seed)
    {
        const double Share = 0.05;
        var tables = Tables(layers: 5, seed);
        var allocation = new Allocation(tables, timeShare: 0.5);
        double bytes = tables.Sum(table => table[0].Bytes), time = tables.Sum(table => table[0].Time);
        double Cost(Candidate candidate) => 0.5 * candidate.Bytes / bytes + 0.5 * candidate.Time / time;
        var plan = allocation.AtCost(0.7);
        double middle = tables[0].Select(candidate => candidate.Damage).Order().ElementAt(tables[0].Count / 2);
        foreach (var limits in new Dictionary<int, double>[] { [], new() { [0] = middle, [2] = 0 }, Enumerable.Range(0, tables.Count).ToDictionary(i => i, _ => -1.0) })
        {
            var bargains = from i in Enumerable.Range(0, tables.Count)
                           from candidate in tables[i]
                           let saved = Cost(plan.Chosen[i]) - Cost(candidate)
                           where saved >= Share * plan.Cost && candidate.Damage <= limits.GetValueOrDefault(i, 1e9)
                           select (candidate.Damage - plan.Chosen[i].Damage) / saved;

            var cheaper = allocation.Cheapened(plan, limits, Share);

            Assert.Equal(bargains.Any(), cheaper != null);
            if (cheaper is var (moved, layer))
            {
                Assert.True(moved.Chosen[layer].Damage <= limits.GetValueOrDefault(layer, 1e9));
                Assert.All(Enumerable.Range(0, tables.Count).Where(i => i != layer), i => Assert.Equal(plan.Chosen[i], moved.Chosen[i]));
                Assert.Equal(bargains.Min(), (moved.Damage - plan.Damage) / (plan.Cost - moved.Cost), 1e-9);
            }
        }
    }

    [Theory, MemberData(nameof(Seeds))]
    public void Next_to_a_plan_is_the_one_that_the_next_larger_multiplier_makes(int seed)
    {
        var allocation = new Allocation(Tables(layers: 5, seed), timeShare: 0.5);
        var plan = allocation.Unchanged;
        Assert.True(plan.ChangesNothing);
        Assert.True(plan.SameAs(allocation.At(0)));

        var walked = new List<double> { plan.Cost };
        for (var next = allocation.NextTo(plan); !next.SameAs(plan); next = allocation.NextTo(plan = next))
        {
            walked.Add(next.Cost);
        }

        var made = Enumerable.Range(-400, 800).Select(i => allocation.At(Math.Exp(i / 40.0)).Cost).Distinct().OrderDescending();
        Assert.Equal(allocation.SmallestCost, plan.Cost, 1e-9);
        Assert.Subset(walked.Select(cost => Math.Round(cost, 9)).ToHashSet(), made.Select(cost => Math.Round(cost, 9)).ToHashSet());
    }

    [Theory, MemberData(nameof(Seeds))]
    public void At_a_cost_the_plan_is_affordable_and_the_best_for_what_it_costs(int seed)
    {
        var tables = Tables(layers: 5, seed);
        var allocation = new Allocation(tables, timeShare: 0.5);
        var all = All(tables).ToList();
        double damage = double.PositiveInfinity;

        for (double cost = allocation.SmallestCost * 1.0001; cost <= 1.01; cost += 0.02)
        {
            var allotment = allocation.AtCost(cost);

            Assert.True(allotment.Cost <= cost);
            Assert.Equal(all.Where(plan => plan.Cost <= allotment.Cost + 1e-9).Min(plan => plan.Damage), allotment.Damage, 1e-9);
            Assert.True(allotment.Damage <= damage, "more cost may not do more damage");
            damage = allotment.Damage;
        }
        Assert.Equal(all.Min(plan => plan.Cost), allocation.SmallestCost, 1e-9);
    }

    [Theory, MemberData(nameof(Seeds))]
    public void The_next_plan_on_the_lower_hull_would_cost_too_much(int seed)
    {
        var tables = Tables(layers: 3, seed);
        var allocation = new Allocation(tables, timeShare: 0.5);
        var hull = Enumerable.Range(-400, 800).Select(i => allocation.At(Math.Exp(i / 20.0)).Cost).Distinct().ToList();

        foreach (double cost in new[] { 0.3, 0.5, 0.7, 0.9 }.Where(cost => cost >= allocation.SmallestCost))
        {
            Assert.True(hull.Where(other => other <= cost).Max() <= allocation.AtCost(cost).Cost + 1e-9);
        }
    }

    [Fact]
    public void The_whole_cost_keeps_every_layer()
    {
        var allotment = new Allocation(Tables(layers: 5, seed: 1), timeShare: 0.5).AtCost(1);

        Assert.Equal(1, allotment.Cost, 1e-12);
        Assert.True(allotment.ChangesNothing);
    }

    [Fact]
    public void Less_than_the_cheapest_plan_is_the_cheapest_plan()
    {
        var allocation = new Allocation(Tables(layers: 5, seed: 1), timeShare: 0.5);

        Assert.Equal(allocation.SmallestCost, allocation.AtCost(1e-6).Cost, 1e-12);
    }

    [Fact]
    public void The_time_share_says_what_counts()
    {
        // One way is small and slow, the other large and fast.
        List<List<Candidate>> tables =
        [
            [
                Of(new LayerPlan.Keep(null!), 1000, 1000, 0),
                Of(new LayerPlan.Factorize(null!, 1, WeightFormat.Float32), 100, 900, 0.1),
                Of(new LayerPlan.Factorize(null!, 2, WeightFormat.Float32), 900, 100, 0.1),
            ],
        ];

        int Rank(double timeShare) => ((LayerPlan.Factorize)new Allocation(tables, timeShare).At(1).Chosen[0].Plan).Rank;

        Assert.Equal((1, 2), (Rank(0), Rank(1)));
    }

    [Fact]
    public void Plans_are_the_same_when_they_do_the_same()
    {
        var allocation = new Allocation(Tables(layers: 5, seed: 1), timeShare: 0.5);

        Assert.True(allocation.At(1).SameAs(allocation.At(1 + 1e-12)));
        Assert.False(allocation.At(1e-9).SameAs(allocation.At(1e9)));
    }

    [Fact]
    public void A_layer_undone_is_in_one_piece_again_as_cheap_as_possible_and_does_no_more_damage()
    {
        var (model, samples) = LayerCases.Make("MatMul");
        var bench = new Bench(model, samples);
        var (first, second) = (bench.Layer, bench.Layer with { Name = "other" });
        List<Candidate> Table(Layer layer) =>
        [
            Of(new LayerPlan.Keep(layer), 100, 5.9, 0), // faster by a clock's noise
            Of(new LayerPlan.Quantize(layer, WeightFormat.Int8), 30, 6, 0.01),
            Of(new LayerPlan.Quantize(layer, WeightFormat.Int4), 15, 5, 0.5), // does more damage than the plan
            Of(new LayerPlan.Factorize(layer, 2, WeightFormat.Int8), 10, 12, 0.02),
        ];
        var allocation = new Allocation([Table(first), Table(second)], timeShare: 0);
        var cheapest = allocation.At(1);
        Assert.All(cheapest.Plans, plan => Assert.IsType<LayerPlan.Factorize>(plan));

        var undone = allocation.Without(cheapest, new HashSet<Layer> { second });

        Assert.Equal([cheapest.Chosen[0].Plan, new LayerPlan.Quantize(second, WeightFormat.Int8)], undone.Plans);
        Assert.Equal((40, 0.2, 0.03), (undone.Bytes, undone.Cost, Math.Round(undone.Damage, 9)));
        Assert.Equal(new LayerPlan.Keep(second), allocation.Without(undone, new HashSet<Layer> { second }).Plans.Last());
    }

    [Fact]
    public void Pairs_slower_than_one_piece_of_no_more_damage_are_told()
    {
        var (model, samples) = LayerCases.Make("MatMul");
        var bench = new Bench(model, samples);
        var (first, second, third) = (bench.Layer, bench.Layer with { Name = "second" }, bench.Layer with { Name = "third" });
        List<Candidate> Table(Layer layer, double pair) =>
        [
            Of(new LayerPlan.Keep(layer), 100, 10, 0),
            Of(new LayerPlan.Quantize(layer, WeightFormat.Int8), 30, 6, 0.01),
            Of(new LayerPlan.Quantize(layer, WeightFormat.Int4), 15, 1, 0.5), // fast, but does more damage than a pair
            Of(new LayerPlan.Factorize(layer, 2, WeightFormat.Int8), 10, pair, 0.02),
        ];
        var allocation = new Allocation([Table(first, pair: 7), Table(second, pair: 5), Table(third, pair: 7)], timeShare: 0);
        var pairs = allocation.At(1);

        Assert.Equal([first, third], allocation.SlowerPairs(pairs));
        Assert.Equal([third], allocation.SlowerPairs(allocation.Without(pairs, new HashSet<Layer> { first })));
    }

    [Fact]
    public void Dense_convolutions_on_integers_are_slower_kept_where_the_tables_say_so()
    {
        var (model, samples) = LayerCases.Make("Conv");
        var conv = new Bench(model, samples).Layer;
        var (slower, faster, floats) = (conv with { Name = "slower kept" }, conv with { Name = "faster kept" }, conv with { Name = "on floats" });
        List<Candidate> Table(Layer layer, double kept, bool weightOnly = false) =>
            [Of(new LayerPlan.Keep(layer), 100, kept, 0), Of(new LayerPlan.Quantize(layer, WeightFormat.Int8, WeightOnly: weightOnly), 30, 6, 0.01)];
        var allocation = new Allocation([Table(slower, 7), Table(faster, 5), Table(floats, 7, weightOnly: true)], timeShare: 0);

        Assert.Equal([slower], allocation.SlowerKept(allocation.At(1e9)));
        Assert.Empty(allocation.SlowerKept(allocation.At(0)));
    }
}
