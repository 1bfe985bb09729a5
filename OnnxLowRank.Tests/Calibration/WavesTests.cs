using OnnxLowRank.Calibration;
using OnnxLowRank.Onnx;
using OnnxLowRank.Runtime;

namespace OnnxLowRank.Tests.Calibration;

public class WavesTests
{
    /// <summary>Two layers that read x (64), one that reads their sum (32), one that reads that (16).</summary>
    static OnnxModel Model()
    {
        var model = new TinyModel();
        model.Input("x", null, 64);
        model.Node("MatMul", ["x", model.Weight("w1", 64, 32)], "a");
        model.Node("MatMul", ["x", model.Weight("w2", 64, 32)], "b");
        model.Node("Add", ["a", "b"], "sum");
        model.Node("MatMul", ["sum", model.Weight("w3", 32, 16)], "c");
        model.Node("MatMul", ["c", model.Weight("w4", 16, 16)], "y");
        model.Outputs("y");
        return model.Build();
    }

    /// <summary>A double of every sum and a float of what one run adds.</summary>
    const int PerProduct = 12;

    [Theory]
    [InlineData(64 * 64 + 32 * 32 + 16 * 16, "w1 w2 w3 w4")]
    [InlineData(64 * 64 + 32 * 32 + 16 * 16 - 1, "w1 w2 w3|w4")]
    [InlineData(64 * 64, "w1 w2|w3 w4")]
    [InlineData(32 * 32 + 16 * 16 - 1, "w1|w2|w3|w4")]
    public void A_wave_holds_what_fits_and_at_least_one_layer(int products, string expected)
    {
        var bench = new Bench(Model(), new MemorySamples([Feed.Random("x", 8, 64)]));

        var waves = Calibrator.Waves(bench.Found.Layers, bench.Shapes, (long)products * PerProduct);

        Assert.Equal(expected, string.Join('|', waves.Select(wave => string.Join(' ', wave.Select(layer => layer.Weight.Root)))));
    }

    [Fact]
    public void Layers_that_are_measured_apart_have_the_same_moments()
    {
        var samples = new MemorySamples([Feed.Random("x", 8, 64)]);
        var bench = new Bench(Model(), samples);
        var sampling = new Sampling(samples, batch: null, CancellationToken.None);

        foreach (var wave in Calibrator.Waves(bench.Found.Layers, bench.Shapes, 1))
        {
            var layer = Assert.Single(wave);
            var measured = new Calibrator(bench.Model, wave, Device.Cpu, threads: 1).Collect(sampling, samples.All, bench.Shapes, withRanges: true);
            Assert.Equal(bench.Measured.Moments[layer][0].Second(0, centred: false).Data, measured.Moments[layer][0].Second(0, centred: false).Data);
            Assert.Equal(bench.Measured.Spreads[layer], measured.Spreads[layer]);
        }
    }
}
