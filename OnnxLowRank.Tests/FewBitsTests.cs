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

/// <summary>What moments of patches are good for: rounding a convolution's weights with regard to how pixels beside each other are alike.</summary>
public class FewBitsTests
{
    const int Channels = 4, Outputs = 16;

    [Fact]
    public void With_moments_of_patches_four_bits_lose_far_less_and_what_they_lose_is_known()
    {
        var tiny = new TinyModel();
        tiny.Input("x", null, Channels, SmoothImages.Size, SmoothImages.Size);
        tiny.Node("Conv", ["x", tiny.Weight("w", Outputs, Channels, 3, 3)], "y", ("pads", new long[] { 1, 1, 1, 1 }));
        tiny.Outputs("y");
        var model = tiny.Build();
        var samples = new MemorySamples([SmoothImages.Of("x", 128, Channels)]);
        var layer = Assert.Single(LayerFinder.Find(model, new()).Layers);
        var sampling = new Sampling(samples, batch: null, CancellationToken.None);
        var calibrator = new Calibrator(model, [layer], Device.Cpu, threads: 1);
        var shapes = calibrator.Shapes(sampling);
        var measured = calibrator.Collect(sampling, samples.All, shapes, withRanges: false, patchesOf: [layer]);
        var algebra = LinearAlgebra.Create(1);
        var original = ModelRuns.Run(model, samples, "y")[0];
        (double Lost, double Predicted) Rounded(PatchMoment? patches)
        {
            var int4 = FewBits.Of(algebra, layer, null, measured, patches, shapes, Method.Output, metric: null, new ConditionalWeakTable<Moments, InputMoment?>(), Spill.None);
            var rewriter = new Rewriter(model, new Dictionary<Layer, Decomposition>(), new Dictionary<Layer, NBitWeights> { [layer] = int4 }, ActivationRanges.None, Dialect.Ort, new Dictionary<string, string>());
            var rewritten = rewriter.Apply([new LayerPlan.Quantize(layer, WeightFormat.Int4, WeightOnly: true)]).Model;
            return (ModelRuns.Run(rewritten, samples, "y")[0].Loss(original), int4.DenseError(new NBitGrid(4)));
        }

        var without = Rounded(null);
        var with = Rounded(PatchMoments.Of(layer, measured.Patches[layer]));

        Assert.True(with.Lost < 0.4 * without.Lost, $"{without.Lost} {with.Lost}");
        Assert.InRange(with.Predicted / with.Lost, 0.9, 1.15); // a hundredth of damping, and a little taken off what is believed
    }
}
