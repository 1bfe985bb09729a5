using System.Runtime.CompilerServices;
using OnnxLowRank.Calibration;
using OnnxLowRank.Factorization;
using OnnxLowRank.Layers;
using OnnxLowRank.Numerics;
using OnnxLowRank.Planning;
using OnnxLowRank.Quantization;
using OnnxLowRank.Rewriting;
using OnnxLowRank.Runtime;
using OnnxLowRank.Storage;

namespace OnnxLowRank.Tests;

/// <summary>What moments of patches are good for: kernels behind the first of two convolutions that know how pixels beside each other are alike.</summary>
public sealed class PatchMomentsTests : IDisposable
{
    const int Channels = 6, Outputs = 8;

    readonly MemorySamples _samples = new([SmoothImages.Of("x", 128, Channels, mean: 100, shared: 8)]);
    readonly ILinearAlgebra _algebra = LinearAlgebra.Create(1);
    readonly Bench _bench;
    readonly Calibrator _calibrator;
    readonly Sampling _sampling;
    readonly Seen _original;

    public PatchMomentsTests()
    {
        var tiny = new TinyModel();
        tiny.Input("x", null, Channels, SmoothImages.Size, SmoothImages.Size);
        tiny.Node("Conv", ["x", tiny.Weight("w", Outputs, Channels, 3, 3), tiny.Weight("b", Outputs)], "y", ("pads", new long[] { 1, 1, 1, 1 }));
        tiny.Outputs("y");
        var model = tiny.Build();
        _bench = new(model, _samples);
        _sampling = new(_samples, batch: null, CancellationToken.None);
        _calibrator = new(model, [_bench.Layer], Device.Cpu, threads: 1);
        _original = ModelRuns.Run(model, _samples, "y")[0];
    }

    public void Dispose() => _samples.Dispose();

    Layer Layer => _bench.Layer;

    PatchMoment? Patches => PatchMoments.Of(Layer, _calibrator.Collect(_sampling, _samples.All, _bench.Shapes, withRanges: false, patchesOf: [Layer]).Patches[Layer]);

    LayerPlan.Factorize Plan(string scheme, WeightFormat format, bool weightOnly = false) => scheme switch
    {
        "pointwise" => new(Layer, Outputs, format, InputRank: 3, WeightOnly: weightOnly),
        "tucker" => new(Layer, 5, format, InputRank: 3, WeightOnly: weightOnly),
        _ => new(Layer, 5, format, WeightOnly: weightOnly, IsSpatial: true),
    };

    Decomposition Decompose(PatchMoment? patches) => Decomposing.OfMoments(_algebra, Layer, _bench.Measured, Method.Output, seed: 0, Spill.None, metrics: null, patches);

    double Lost(Decomposition decomposition, LayerPlan plan, NBitWeights? int4 = null)
    {
        var inFewBits = new Dictionary<Layer, NBitWeights>();
        if (int4 != null)
        {
            inFewBits.Add(Layer, int4);
        }
        var ranges = new ActivationRanges(_bench.Measured.Grids, _calibrator.InnerRanges(_sampling, _samples.All, _bench.Shapes, [decomposition]));
        var rewriter = new Rewriter(_bench.Model, new Dictionary<Layer, Decomposition> { [Layer] = decomposition }, inFewBits, ranges, Dialect.Ort, new Dictionary<string, string>());
        return ModelRuns.Run(rewriter.Apply([plan]).Model, _samples, "y")[0].Loss(_original);
    }

    [Theory]
    [InlineData("pointwise", 0.7)]
    [InlineData("spatial", 0.4)]
    [InlineData("tucker", 0.9)]
    public void Fitted_to_patches_kernels_lose_far_less_and_what_they_lose_is_known(string scheme, double most)
    {
        var plan = Plan(scheme, WeightFormat.Float32);
        var fitted = Decompose(Patches);

        double without = Lost(Decompose(null), plan), with = Lost(fitted, plan);

        double predicted = plan.IsSpatial ? fitted.SpatialError(plan.Rank) : fitted.InputError(3) + fitted.Error(plan.Rank);
        Assert.True(with < most * without, $"{without} {with}");
        Assert.InRange(predicted / with, 0.9, 1.25);
    }

    [Theory]
    [InlineData("pointwise")]
    [InlineData("spatial")]
    public void In_4_bits_the_second_convolution_makes_good_for_the_first(string scheme)
    {
        var patches = Patches;
        var decomposition = Decompose(patches);
        var int4 = FewBits.Of(
            _algebra, Layer, decomposition, _bench.Measured, patches, _bench.Shapes, Method.Output, metric: null, new ConditionalWeakTable<Moments, InputMoment?>(), Spill.None);
        var plan = Plan(scheme, WeightFormat.Int4);

        double inFloats = Lost(decomposition, plan with { Format = WeightFormat.Float32 });
        double weightOnly = Lost(decomposition, plan with { WeightOnly = true }, int4), onIntegers = Lost(decomposition, plan, int4);

        Assert.True(int4.HasPairs(plan.Slots));
        Assert.InRange(weightOnly / inFloats, 1, 1.5);
        Assert.InRange(onIntegers / weightOnly, 0.95, 1.05);
        Assert.InRange(int4.ErrorOfPair(plan.FirstRank, new NBitGrid(4), plan.Slots) / weightOnly, 1, 1.3); // a hundredth of damping, where what is lost varies least
        double cut = plan.IsSpatial ? decomposition.SpatialError(plan.Rank) : decomposition.InputError(plan.FirstRank);
        Assert.Equal(int4.ErrorOfPair(plan.FirstRank, new NBitGrid(4), plan.Slots), cut + int4.PairRounding(plan.FirstRank, new NBitGrid(4), plan.Slots), 0.1 * weightOnly);
    }

    [Fact]
    public void Without_patches_nothing_but_channels_is_cut_in_4_bits()
    {
        var decomposition = Decompose(null);
        var int4 = FewBits.Of(
            _algebra, Layer, decomposition, _bench.Measured, null, _bench.Shapes, Method.Output, metric: null, new ConditionalWeakTable<Moments, InputMoment?>(), Spill.None);

        Assert.False(int4.HasPairs(3));
        Assert.False(int4.HasPairs(9));
    }
}
