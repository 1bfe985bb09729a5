using System.Runtime.InteropServices;
using OnnxLowRank.Calibration;
using OnnxLowRank.Numerics;
using OnnxLowRank.Onnx;
using OnnxLowRank.Runtime;
using OnnxLowRank.Storage;
using OnnxLowRank.Tests.Samples;

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

    [Theory]
    [InlineData(1)]
    [InlineData(5000)]
    [InlineData(1_000_000)]
    public void Runs_that_are_made_several_times_add_up_to_the_same(long memory)
    {
        var samples = new MemorySamples([Feed.Random("x", 8, 64)]);
        var bench = new Bench(Model(), samples);
        var sampling = new Sampling(samples, batch: 3, CancellationToken.None);
        Tally<WideMoments> Filled(long memory)
        {
            var tally = new Tally<WideMoments>(Probes.Of(bench.Found.Layers, bench.Shapes, withRanges: true), tap => new(tap.Groups, tap.Size, Spill.None));
            int seen = 0;
            new Calibrator(bench.Model, bench.Found.Layers, Device.Cpu, threads: 1).Fill(tally, sampling, samples.All, (_, part) => seen += part.Length, memory);
            Assert.Equal(8, seen);
            return tally;
        }

        var (expected, actual) = (Filled(long.MaxValue), Filled(memory));

        Assert.Equal(3, expected.Moments.Length);
        Assert.All(expected.Moments.Zip(actual.Moments), pair =>
        {
            Assert.Equal(8, pair.First.Count);
            Assert.Equal(pair.First.Count, pair.Second.Count);
            Assert.Equal(pair.First.SumsHigh.ToArray(), pair.Second.SumsHigh.ToArray());
            Assert.Equal(pair.First.ProductsHigh.ToArray(), pair.Second.ProductsHigh.ToArray());
            Assert.Equal(pair.First.ProductsLow.ToArray(), pair.Second.ProductsLow.ToArray());
        });
        Assert.Equal(expected.Maxima.Select(maxima => maxima.Counts.ToArray()), actual.Maxima.Select(maxima => maxima.Counts.ToArray()));
    }

    [Fact]
    public void Sums_in_a_file_are_those_in_memory()
    {
        const int size = 600;
        using var folder = new TempFolder();
        float[] mean = Array.ConvertAll(Gaussian.Random(1, size, seed: 1).Data, value => (float)value), products = Array.ConvertAll(Gaussian.Random(size, size, seed: 2).Data, value => (float)value);
        WideMoments Summed(Spill spill)
        {
            var moments = new WideMoments(1, size, spill);
            moments.Add(3, mean, products);
            moments.Add(1, mean, products);
            return moments;
        }

        var (expected, actual) = (Summed(Spill.None), Summed(Spill.Beside(Path.Combine(folder.Path, "in.stats"))));

        Assert.False(MemoryMarshal.TryGetArray<double>(actual.ProductsHigh, out _));
        Assert.Equal(expected.ProductsHigh.ToArray(), actual.ProductsHigh.ToArray());
        Assert.Equal(expected.ProductsLow.ToArray(), actual.ProductsLow.ToArray());
        Assert.Equal(expected.SumsHigh.ToArray(), actual.SumsHigh.ToArray());
        Assert.Empty(Directory.EnumerateFileSystemEntries(folder.Path));
    }
}
