using OnnxLowRank.Calibration;
using OnnxLowRank.Layers;
using OnnxLowRank.Runtime;

namespace OnnxLowRank.Tests.Calibration;

/// <summary>Which patches of convolutions are measured.</summary>
public class PatchChoiceTests
{
    const long Plenty = long.MaxValue;

    static TinyModel Convolution(int channels, int size, long[] kernel, long[]? strides = null, int groups = 1)
    {
        var tiny = new TinyModel();
        tiny.Input("x", [null, channels, .. kernel.Select(_ => (long?)size)]);
        tiny.Node("Conv", ["x", tiny.Weight("w", [channels, channels / groups, .. kernel])], "y", ("strides", strides ?? [.. kernel.Select(_ => 1L)]), ("group", groups));
        tiny.Outputs("y");
        return tiny;
    }

    static (Layer Layer, Calibrator Calibrator, Sampling Sampling, MemorySamples Samples, IReadOnlyDictionary<string, long[]> Shapes) Open(TinyModel tiny, Feed feed)
    {
        var model = tiny.Build();
        var samples = new MemorySamples([feed]);
        var layer = Assert.Single(LayerFinder.Find(model, new()).Layers);
        var calibrator = new Calibrator(model, [layer], Device.Cpu, threads: 1);
        var sampling = new Sampling(samples, batch: 8, CancellationToken.None);
        return (layer, calibrator, sampling, samples, calibrator.Shapes(sampling));
    }

    static void AssertSame(Moments expected, Moments actual)
    {
        Assert.Equal((expected.Count, expected.Size), (actual.Count, actual.Size));
        double scale = expected.Second(0, centred: false).Trace() / expected.Size;
        foreach (bool isCentred in new[] { false, true })
        {
            Assert.All(expected.Second(0, isCentred).Data.Zip(actual.Second(0, isCentred).Data), pair => Assert.Equal(pair.First, pair.Second, 1e-5 * scale));
        }
    }

    [Theory]
    [InlineData(new long[] { 3, 3 })]
    [InlineData(new long[] { 5 })]
    [InlineData(new long[] { 2, 1, 3 })]
    public void Few_patches_are_all_measured(long[] kernel)
    {
        var (layer, calibrator, sampling, samples, shapes) = Open(Convolution(8, 6, kernel), Feed.Random("x", 20, [8, .. kernel.Select(_ => 6L)]));

        var measured = calibrator.Collect(sampling, samples.All, shapes, withRanges: false, Plenty, [layer]).Patches[layer];

        AssertSame(Assert.Single(calibrator.CollectInputs(layer, sampling, samples.All, shapes)), Assert.Single(measured));
    }

    /// <summary>What is left out are samples, three in four, and places: the same as with a larger stride.</summary>
    [Theory]
    [InlineData(1, 3)]
    [InlineData(2, 1)]
    public void Of_many_patches_every_so_many_th_is_measured(int stride, int step)
    {
        var feed = Feed.Random("x", 256, 8, 28, 28);
        var (layer, calibrator, sampling, samples, shapes) = Open(Convolution(8, 28, [3, 3], [stride, stride]), feed);
        var few = new Feed("x", [.. Enumerable.Range(0, 64).SelectMany(i => feed.Values.AsSpan(4 * i * feed.Size, feed.Size).ToArray())], feed.Shape);
        var (same, expected, _, fewSamples, strided) = Open(Convolution(8, 28, [3, 3], [stride * step, stride * step]), few);

        var measured = calibrator.Collect(sampling, samples.All, shapes, withRanges: false, Plenty, [layer]).Patches[layer];

        Assert.Equal(step, PatchChoice.Step(layer, shapes, samples: 64, runSize: 8));
        AssertSame(Assert.Single(expected.CollectInputs(same, new Sampling(fewSamples, batch: 8, CancellationToken.None), fewSamples.All, strided)), Assert.Single(measured));
    }

    /// <summary>A patch has 72 numbers, of which 8 times as many patches are enough.</summary>
    [Theory]
    [InlineData(5, 64 * 9)]
    [InlineData(4, 256 * 4)]
    [InlineData(3, 256)]
    public void Samples_are_taken_until_they_have_enough_patches(int size, int expected)
    {
        var (layer, calibrator, sampling, samples, shapes) = Open(Convolution(8, size, [3, 3]), Feed.Random("x", 256, 8, size, size));

        var measured = calibrator.Collect(sampling, samples.All, shapes, withRanges: false, Plenty, [layer]).Patches[layer];

        Assert.Equal(expected, Assert.Single(measured).Count);
        if (expected == 256 * (size - 2) * (size - 2)) // none twice, none left out
        {
            AssertSame(Assert.Single(calibrator.CollectInputs(layer, sampling, samples.All, shapes)), measured[0]);
        }
    }

    [Fact]
    public void A_run_with_too_many_patches_leaves_out_more()
    {
        var (layer, _, _, _, shapes) = Open(Convolution(8, 28, [3, 3]), Feed.Random("x", 4, 8, 28, 28));
        const double MostBytes = 256 << 20;
        foreach (int runSize in new[] { 100, 1000, 10_000 })
        {
            int step = PatchChoice.Step(layer, shapes, samples: 1, runSize);

            double places = Math.Ceiling(26.0 / step) * Math.Ceiling(26.0 / step);
            Assert.True(runSize * places * layer.In * 12 <= 1.3 * MostBytes, $"{runSize}: {step}"); // rounded up on both axes
            Assert.Equal(runSize > 400, step > 1);
        }
    }

    [Theory]
    [InlineData(8, new long[] { 3, 3 }, 1, true)]
    [InlineData(16, new long[] { 1, 1 }, 1, false)] // a patch is a position
    [InlineData(16, new long[] { 3, 3 }, 2, false)]
    [InlineData(256, new long[] { 3, 3 }, 1, true)]
    [InlineData(260, new long[] { 3, 3 }, 1, false)] // too wide
    public void Patches_are_measured_where_that_tells_something_and_takes_little(int channels, long[] kernel, int groups, bool isWanted)
    {
        var (layer, calibrator, sampling, samples, shapes) = Open(Convolution(channels, 5, kernel, groups: groups), Feed.Random("x", 4, channels, 5, 5));

        Assert.Equal(isWanted, PatchChoice.IsWanted(layer, Plenty));
        Assert.False(PatchChoice.IsWanted(layer, 12L * layer.In * layer.In - 1));
        Assert.Equal(isWanted, calibrator.Collect(sampling, samples.All, shapes, withRanges: false, Plenty, [layer]).Patches.ContainsKey(layer));
    }
}
