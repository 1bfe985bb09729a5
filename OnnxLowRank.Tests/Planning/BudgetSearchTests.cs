using OnnxLowRank.Planning;

namespace OnnxLowRank.Tests.Planning;

public class BudgetSearchTests
{
    const double Smallest = 0.01;

    static (double Found, List<double> Tried) Search(Func<double, bool?> isGood)
    {
        var tried = new List<double>();
        double found = BudgetSearch.Smallest(Smallest, 1, cost =>
        {
            tried.Add(cost);
            return isGood(cost);
        });
        return (found, tried);
    }

    [Theory]
    [InlineData(0.02)]
    [InlineData(0.1)]
    [InlineData(0.37)]
    [InlineData(0.98)]
    public void The_threshold_of_a_monotone_goodness_is_found(double threshold)
    {
        var (found, tried) = Search(cost => cost >= threshold);

        Assert.InRange(found, threshold, threshold * 1.02);
        Assert.Contains(found, tried);
        Assert.True(tried.Count <= 12 && tried.TrueForAll(cost => cost is >= Smallest and < 1));
    }

    [Fact]
    public void What_is_found_was_good_even_where_goodness_is_not_monotone()
    {
        static bool IsGood(double cost) => cost > 0.3 || cost is > 0.05 and < 0.11;

        var (found, _) = Search(cost => IsGood(cost));

        Assert.True(IsGood(found) && found < 1);
    }

    [Fact]
    public void The_original_is_the_answer_when_nothing_is_good()
    {
        var (found, tried) = Search(_ => false);

        Assert.Equal(1, found);
        Assert.True(tried.Count <= 12 && tried[^1] > 0.95);
    }

    [Fact]
    public void One_probe_is_enough_when_everything_is_good()
    {
        var (found, tried) = Search(_ => true);

        Assert.Equal(Smallest, found);
        Assert.Equal([Smallest], tried);
    }

    [Fact]
    public void Where_probing_ends_the_best_known_is_the_answer()
    {
        var (found, tried) = Search(cost => cost == Smallest ? false : cost < 0.2 ? null : true);

        Assert.InRange(found, 0.1, 1);
        Assert.True(tried.Count < 12);
    }

    [Fact]
    public void The_search_ends_when_costs_are_the_same()
    {
        Assert.InRange(Search(cost => cost > 0.5).Tried.Count, 5, 12);
        Assert.InRange(Search(_ => false).Tried.Count, 5, 12);
    }

    [Theory]
    [InlineData(0.02)]
    [InlineData(0.37)]
    [InlineData(0.98)]
    public void The_largest_cost_within_a_limit_is_found(double limit)
    {
        double found = BudgetSearch.Largest(Smallest, cost => cost <= limit, probes: 12);

        Assert.InRange(found, limit / 1.02, limit);
    }

    [Fact]
    public void The_smallest_cost_is_what_is_left_where_nothing_is_within() => Assert.Equal(Smallest, BudgetSearch.Largest(Smallest, _ => false, probes: 12));

    [Fact]
    public void A_cost_known_to_be_good_bounds_the_search()
    {
        var tried = new List<double>();

        double found = BudgetSearch.Smallest(Smallest, 0.5, cost =>
        {
            tried.Add(cost);
            return cost > 0.3;
        });

        Assert.InRange(found, 0.3, 0.31);
        Assert.All(tried, cost => Assert.True(cost < 0.5));
        Assert.Equal(0.5, BudgetSearch.Smallest(Smallest, 0.5, _ => false));
    }
}
