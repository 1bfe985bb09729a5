using OnnxLowRank.Layers;
using OnnxLowRank.Planning;
using OnnxLowRank.Tests.Rewriting;

namespace OnnxLowRank.Tests.Planning;

public class CandidatesTests
{
    static readonly DamageCurve s_asError = new(Scale: 1, Exponent: 1);

    static List<Candidate> Table(Bench bench, bool canQuantize, bool factorizes, params WeightFormat[] formats) =>
        Candidates.Of(bench.Layer, bench.Decompose(bench.Layer), bench.InFewBits(bench.Layer), Cost(bench), s_asError, format => canQuantize || format == WeightFormat.Float32, new(formats, [], factorizes, [0, 32]));

    static ShapeCostModel Cost(Bench bench) => new(new Dictionary<Layer, Positions> { [bench.Layer] = new(10, 10) });

    static Bench Open(string name)
    {
        var (model, samples) = LayerCases.Make(name);
        return new(model, samples);
    }

    /// <summary>One of 3×3 with as many outputs as inputs.</summary>
    static Bench Convolution(int channels)
    {
        var tiny = new TinyModel();
        tiny.Input("x", null, channels, 4, 4);
        tiny.Node("Conv", ["x", tiny.Weight("w", channels, channels, 3, 3)], "y");
        tiny.Outputs("y");
        return new(tiny.Build(), new([Feed.Random("x", 4, channels, 4, 4)]));
    }

    [Fact]
    public void Keeping_is_always_first_and_does_no_damage()
    {
        var bench = Open("MatMul");

        var table = Table(bench, canQuantize: true, factorizes: true, WeightFormat.Float32, WeightFormat.Int8);

        Assert.IsType<LayerPlan.Keep>(table[0].Plan);
        Assert.Equal((bench.Layer.Bytes, 0, 0), (table[0].Bytes, table[0].Error, table[0].Damage));
    }

    [Fact]
    public void Only_what_is_allowed_is_offered()
    {
        var bench = Open("Conv with bias and pads");
        static string Kinds(IEnumerable<Candidate> table) => string.Join(' ', table.Select(candidate => candidate.Plan switch
        {
            LayerPlan.Keep => "keep",
            LayerPlan.Quantize => "quantize",
            LayerPlan.Factorize factorize => factorize.Format.ToString(),
            _ => "?",
        }).Distinct());

        Assert.Equal("keep Float32", Kinds(Table(bench, true, true, WeightFormat.Float32)));
        Assert.Equal("keep quantize Int8", Kinds(Table(bench, true, true, WeightFormat.Int8)));
        Assert.Equal("keep quantize", Kinds(Table(bench, true, false, WeightFormat.Int8)));
        Assert.Equal("keep Float32", Kinds(Table(bench, false, true, WeightFormat.Float32, WeightFormat.Int8)));
        Assert.Equal("keep quantize", Kinds(Candidates.Of(bench.Layer, null, null, Cost(bench), s_asError, _ => true, new([WeightFormat.Float32, WeightFormat.Int8], [], true, []))));
    }

    [Fact]
    public void Without_scales_per_run_there_are_weights_alone_and_blocks()
    {
        var bench = Open("MatMul");
        List<Candidate> Of(params WeightFormat[] formats) => Candidates.Of(
            bench.Layer, bench.Decompose(bench.Layer), bench.InFewBits(bench.Layer), Cost(bench), s_asError, _ => true, new Allowed(formats, [], true, [0, 32]).WithoutScalesPerRun());
        static bool IsFloat(Candidate candidate) => candidate.Plan.AsRun is LayerPlan.Keep or LayerPlan.Factorize { Format: WeightFormat.Float32 };
        static bool IsInBlocks(Candidate candidate) => candidate.Plan is LayerPlan.Quantize { Block: 32 } or LayerPlan.Factorize { Block: 32 };

        var (int8, both) = (Of(WeightFormat.Int8), Of(WeightFormat.Int8, WeightFormat.Int4));

        Assert.True(int8.Count > 1 && int8.TrueForAll(IsFloat));
        Assert.Contains(both, IsInBlocks);
        Assert.All(both, candidate => Assert.True(IsFloat(candidate) || IsInBlocks(candidate)));
    }

    [Fact]
    public void Where_speed_keeps_no_layer_keeping_it_is_slower_than_integers()
    {
        var bench = Open("Conv with bias and pads");
        Candidate[] Of(bool keepsForSpeed, params WeightFormat[] formats) => [.. Candidates.Of(
            bench.Layer, null, bench.InFewBits(bench.Layer), Cost(bench), s_asError, _ => true, new(formats, [], false, [0], KeepsForSpeed: keepsForSpeed))];

        var floats = Of(false);
        foreach (var format in new[] { WeightFormat.Int8, WeightFormat.Int4 })
        {
            var (free, bound) = (Of(true, format), Of(false, format));

            Assert.True(bound[0].Time > bound[1].Time, $"{format}");
            Assert.Equal(free[1..], bound[1..]);
            Assert.Equal(free[0], floats[0]);
            Assert.Equal(free[0] with { Time = bound[0].Time }, bound[0]);
        }
    }

    /// <summary>A rank of 33 takes as long as one of 48.</summary>
    [Fact]
    public void Pairs_of_ranks_have_sizes_that_kernels_like()
    {
        var bench = Convolution(160);

        var pairs = Table(bench, true, true, WeightFormat.Int8).Select(candidate => candidate.Plan).OfType<LayerPlan.Factorize>().Where(plan => plan.InputRank != null).ToList();

        Assert.Contains(pairs, plan => plan.InputRank >= 96 && !plan.HasUp);
        Assert.Contains(pairs, plan => plan.InputRank >= 64 && plan.Rank >= 64 && plan.HasUp);
        static bool IsLiked(int rank) => rank % (rank switch { < 4 => 1, <= 32 => 4, <= 64 => 8, _ => 16 }) == 0;
        Assert.All(pairs, plan => Assert.True(IsLiked(plan.InputRank!.Value) && IsLiked(plan.Rank), $"{plan}"));
    }

    /// <summary>A rank of 13 takes as long as one of 16; in floats it is worth its bytes.</summary>
    [Fact]
    public void Convolutions_of_integers_are_cut_at_multiples_of_four()
    {
        var bench = Convolution(24);
        int[] Ranks(WeightFormat format, bool isSpatial) => [.. Table(bench, true, true, format)
            .Select(candidate => candidate.Plan).OfType<LayerPlan.Factorize>().Where(plan => plan.InputRank == null && plan.IsSpatial == isSpatial && plan.Block == 0).Select(plan => plan.Rank).Distinct().Order()];
        static bool IsSuited(int rank) => rank < 4 || rank % 4 == 0;

        Assert.Equal([1, 2, 3, 4, 8, 12, 16, 20, 24], Ranks(WeightFormat.Int8, isSpatial: false));
        Assert.Equal([1, 2, 3, 4, 8, 12, 16, 20, 24], Ranks(WeightFormat.Int4, isSpatial: false));
        Assert.Contains(Ranks(WeightFormat.Int8, isSpatial: true), rank => rank >= 24);
        Assert.All(Ranks(WeightFormat.Int8, isSpatial: true), rank => Assert.True(IsSuited(rank), $"{rank}"));
        Assert.Contains(Ranks(WeightFormat.Float32, isSpatial: false), rank => !IsSuited(rank));
    }

    [Fact]
    public void Weights_of_7_bits_are_noisier_and_of_the_same_size()
    {
        var bench = Open("MatMul");
        List<Candidate> Of(int bits) => Candidates.Of(
            bench.Layer, bench.Decompose(bench.Layer), null, Cost(bench), s_asError, _ => true, new([WeightFormat.Int8], [], true, [], bits));

        Assert.All(Of(8).Skip(1).Zip(Of(7).Skip(1)), pair => Assert.True(pair.Second.Error > pair.First.Error && pair.Second.Bytes == pair.First.Bytes));
    }

    [Theory]
    [InlineData("MatMul then Add")]
    [InlineData("Gather")]
    [InlineData("Gemm transB")]
    [InlineData("Conv with groups")]
    [InlineData("Conv with bias then BatchNormalization")]
    public void Planned_bytes_are_about_those_that_the_file_gains(string name)
    {
        var bench = Open(name);
        int absorbed = name.Contains("BatchNormalization", StringComparison.Ordinal) ? 4 * sizeof(float) * bench.Layer.Out : 0;
        int rest = bench.Model.ToBytes().Length - (int)bench.Layer.Bytes - absorbed;
        var table = Candidates.Of(
            bench.Layer, bench.Decompose(bench.Layer), bench.InFewBits(bench.Layer), Cost(bench), s_asError, _ => true,
            new([WeightFormat.Float32, WeightFormat.Int8, WeightFormat.Int4, WeightFormat.Int3], [WeightFormat.Int8, WeightFormat.Int4, WeightFormat.Int5], true, [0, 32]));
        foreach (var candidate in table.Skip(1))
        {
            var rewritten = bench.Rewrite(OnnxLowRank.Rewriting.Dialect.Ort, _ => candidate.Plan).Model;

            // Names, shapes and nodes are estimated; activations' grids and places to shift by are no layer's own.
            Assert.InRange(rewritten.ToBytes().Length - rest - candidate.Bytes, -500, 700);
        }
    }

    [Fact]
    public void Bytes_and_time_grow_with_the_rank_and_damage_falls()
    {
        foreach (var format in Enum.GetValues<WeightFormat>())
        {
            var factors = Table(Open("Conv with bias and pads"), true, true, format).Where(candidate => candidate.Plan is LayerPlan.Factorize { Block: 0, InputRank: null, IsSpatial: false }).ToList();

            Assert.True(factors.Count > 3);
            for (int i = 1; i < factors.Count; i++)
            {
                Assert.True(factors[i].Bytes > factors[i - 1].Bytes && factors[i].Time > factors[i - 1].Time && factors[i].Damage < factors[i - 1].Damage);
            }
        }
    }

    [Fact]
    public void A_damage_curve_goes_through_its_points()
    {
        var line = DamageCurve.Through([(0.1, 0.02)]);
        var square = DamageCurve.Through([(0.1, 0.02), (0.2, 0.08)]);
        var falling = DamageCurve.Through([(0.1, 0.02), (0.2, 0.01)]);

        Assert.Equal((0.02, 0.04, 0), (Math.Round(line.At(0.1), 12), Math.Round(line.At(0.2), 12), line.At(0)));
        Assert.Equal((0.02, 0.08, 0.005), (Math.Round(square.At(0.1), 12), Math.Round(square.At(0.2), 12), Math.Round(square.At(0.05), 12)));
        Assert.True(falling.At(0.2) > falling.At(0.1)); // more error never does less damage, whatever noise says
    }
}
