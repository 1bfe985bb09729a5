using OnnxLowRank.Layers;
using OnnxLowRank.Tests.Rewriting;

namespace OnnxLowRank.Tests.Layers;

public class PatchesTests
{
    public static TheoryData<string> Convs => [.. LayerCases.NamesWith("Conv").Where(name => !name.Contains("group", StringComparison.Ordinal))];

    /// <summary>On ones, a kernel that is one at a single tap and zero elsewhere has ones where it reads a pixel and zeros where it reads padding.</summary>
    [Theory, MemberData(nameof(Convs))]
    public void A_tap_reads_pixels_as_often_as_ONNX_Runtime_says(string name)
    {
        var (model, samples) = LayerCases.Make(name);
        var bench = new Bench(model, samples);
        var (layer, use) = (bench.Layer, bench.Layer.Uses[0]);
        int taps = layer.KernelSize;
        long[] input = bench.Shapes[use.Input];
        var probe = new TinyModel();
        probe.Input("x", [.. input.Select(dim => (long?)dim)]);
        var kernels = new float[taps * layer.In];
        for (int tap = 0; tap < taps; tap++)
        {
            kernels[tap * layer.In + tap] = 1; // of the first channel
        }
        var conv = TinyModel.Call("Conv", ["x", probe.Floats("w", kernels, [taps, .. layer.Weight.Dims[1..]])], ["y"]);
        conv.Attribute.AddRange(use.Node.Attribute);
        probe.Node(conv);
        probe.Outputs("y");
        float[] ones = new float[input.Aggregate(1L, (product, dim) => product * dim)];
        Array.Fill(ones, 1);

        double[] shares = Patches.Shares(layer, use, bench.Shapes);

        float[] seen = ModelRuns.Run(probe.Build(), new([new("x", ones, [.. input.Skip(1)])]), "y")[0].Values;
        int positions = seen.Length / taps;
        Assert.Equal(taps, shares.Length);
        for (int tap = 0; tap < taps; tap++)
        {
            Assert.Equal(seen.Skip(tap * positions).Take(positions).Average(), shares[tap], 6);
        }
    }

    [Fact]
    public void A_patch_repeats_its_channels_within_which_taps_lie() =>
        Assert.Equal([1, 0.5, 4, 2], Patches.Repeat([1, 4], [1, 0.5]));
}
