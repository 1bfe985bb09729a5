using OnnxLowRank.Layers;
using OnnxLowRank.Planning;
using OnnxLowRank.Tests.Rewriting;
using OnnxLowRank.Timing;

namespace OnnxLowRank.Tests.Timing;

public class MeasuredCostModelTests
{
    static readonly TimingConditions s_conditions = new("", "", "", "", 1);

    readonly Bench _bench;
    readonly LayerTimer _timer;
    readonly TimingCache _cache = new("", s_conditions, note => Assert.Fail(note));

    public MeasuredCostModelTests()
    {
        var (model, samples) = LayerCases.Make("Conv with bias and pads");
        _bench = new(model, samples);
        _timer = _bench.Timer();
    }

    Layer Layer => _bench.Layer;

    MeasuredCostModel Model() => new(_timer, _cache, [Layer], new Dictionary<Layer, OnnxLowRank.Factorization.Decomposition> { [Layer] = _bench.Decompose(Layer) });

    void Know(LayerPlan plan, double one, double each) => _cache.Add(_timer.Key(plan, use: 0), new(one, each, []));

    LayerPlan.Factorize Pair(int rank) => new(Layer, rank, WeightFormat.Int8);

    [Fact]
    public void Runs_of_one_sample_and_of_many_weigh_the_same()
    {
        Know(new LayerPlan.Keep(Layer), one: 40, each: 10);
        Know(new LayerPlan.Quantize(Layer, WeightFormat.Int8), one: 20, each: 10);

        var model = Model();

        Assert.Equal(40, model.Time(new LayerPlan.Keep(Layer)));
        Assert.Equal(30, model.Time(new LayerPlan.Quantize(Layer, WeightFormat.Int8)));
    }

    [Fact]
    public void Ranks_between_measured_ones_are_interpolated()
    {
        Know(new LayerPlan.Keep(Layer), one: 10, each: 10);
        int largest = _bench.Decompose(Layer).MaxRank;
        int[] ranks = RankCurve.Ranks(largest);
        foreach (int rank in ranks)
        {
            Know(Pair(rank), one: 2 + rank, each: 2 + rank);
        }

        var model = Model();

        Assert.True(ranks.Length < largest, "nothing is interpolated");
        Assert.All(Enumerable.Range(1, largest), rank => Assert.Equal(2 + rank, model.Time(Pair(rank)), 1e-9));
    }

    [Fact]
    public void Pairs_of_ranks_are_interpolated_too()
    {
        Know(new LayerPlan.Keep(Layer), one: 10, each: 10);
        var decomposition = _bench.Decompose(Layer);
        int[] ranks = RankCurve.FewRanks(Layer.Out - 1), inputRanks = RankCurve.FewRanks(decomposition.Tucker!.MaxInputRank);
        foreach (int inputRank in inputRanks)
        {
            foreach (int rank in ranks)
            {
                Know(Pair(rank) with { InputRank = inputRank }, one: rank + 10 * inputRank, each: rank + 10 * inputRank);
            }
            Know(Pair(Layer.Out) with { InputRank = inputRank }, one: 3 * inputRank, each: 3 * inputRank);
        }

        var model = Model();

        static IEnumerable<int> Between(int[] ranks) => Enumerable.Range(ranks[0], ranks[^1] - ranks[0] + 1);
        Assert.True(ranks.Length < Between(ranks).Count() && inputRanks.Length < Between(inputRanks).Count(), "nothing is interpolated");
        foreach (int inputRank in Between(inputRanks))
        {
            Assert.All(Between(ranks), rank => Assert.Equal(rank + 10 * inputRank, model.Time(Pair(rank) with { InputRank = inputRank }), 1e-9));
            Assert.Equal(3 * inputRank, model.Time(Pair(Layer.Out) with { InputRank = inputRank }), 1e-9);
        }
    }

    [Fact]
    public void What_is_not_known_is_measured_once()
    {
        var plans = Enumerable.Range(1, 6).Select(LayerPlan (rank) => Pair(rank)).Append(new LayerPlan.Keep(Layer)).ToList();

        var model = Model();
        Assert.All(plans, plan => Assert.Equal(0, model.Time(plan)));

        Assert.True(model.MeasureWaiting());

        double[] first = [.. plans.Select(model.Time)];
        Assert.All(first, time => Assert.True(time > 0 && double.IsFinite(time)));
        Assert.False(model.MeasureWaiting());
        Assert.Equal(first, plans.Select(Model().Time));
        Assert.NotNull(_cache.Find(_timer.Key(Pair(RankCurve.Ranks(_bench.Decompose(Layer).MaxRank)[0]), use: 0)));
    }

    [Fact]
    public void What_is_known_is_only_measured_beside_what_is_not()
    {
        const double Endless = 1e12;
        Know(new LayerPlan.Keep(Layer), Endless, Endless);
        var model = Model();
        Assert.Equal(Endless, model.Time(new LayerPlan.Keep(Layer)));
        Assert.False(model.MeasureWaiting());

        model.Time(new LayerPlan.Quantize(Layer, WeightFormat.Int8));
        Assert.True(model.MeasureWaiting());

        Assert.InRange(model.Time(new LayerPlan.Quantize(Layer, WeightFormat.Int8)), double.Epsilon, Endless / 2);
        Assert.Equal(Endless, model.Time(new LayerPlan.Keep(Layer)));
        Assert.False(model.MeasureWaiting());

        model.Time(new LayerPlan.Keep(Layer));
        model.Time(Pair(1));
        Assert.True(model.MeasureWaiting());

        Assert.InRange(model.Time(new LayerPlan.Keep(Layer)), double.Epsilon, Endless / 2);
    }
}
