using OnnxLowRank.Layers;
using OnnxLowRank.Planning;
using OnnxLowRank.Tests.Rewriting;

namespace OnnxLowRank.Tests;

public class MixturesTests
{
    static Layer Of(string name)
    {
        var (model, samples) = LayerCases.Make(name);
        return new Bench(model, samples).Layer;
    }

    static CompressionOptions With(FormatChoice format) => new() { Input = "in.onnx", Output = "out.onnx", Calibration = "data", Format = format };

    [Theory]
    [InlineData(FormatChoice.Float32, "Conv", 1)]
    [InlineData(FormatChoice.Float16, "Conv", 1)]
    [InlineData(FormatChoice.Int8, "Conv", 2)]
    [InlineData(FormatChoice.Int8, "MatMul", 1)]
    [InlineData(FormatChoice.Int4, "Conv", 2)]
    [InlineData(FormatChoice.Auto, "Conv", 3)]
    [InlineData(FormatChoice.Auto, "MatMul", 2)]
    public void Convolutions_on_integers_are_tried_with_and_without_floats_among_them(FormatChoice format, string name, int count)
    {
        var layer = Of(name);

        var (ways, fallback) = Mixtures.Of(With(format), [layer], runsHalves: false);

        Assert.Equal(count, ways.Count);
        Assert.Equal(format == FormatChoice.Auto, fallback != null);
        Assert.Equal(layer.Kind == LayerKind.Conv && With(format).WantsIntegers ? 1 : 0, ways.Count(way => !way(layer).KeepsForSpeed));
        Assert.All(ways, way => Assert.True(way(Of("Gemm")).KeepsForSpeed));
    }

    [Theory]
    [InlineData("Conv", false, false)]
    [InlineData("Conv", true, true)]
    [InlineData("Gather", false, true)]
    [InlineData("Gemm, addend", true, false)]
    public void Layers_run_in_16_bits_where_the_device_has_kernels_for_them(string name, bool runsHalves, bool runs)
    {
        var layer = Of(LayerCases.Names.First(known => known.StartsWith(name, StringComparison.Ordinal)));

        var allowed = Assert.Single(Mixtures.Of(With(FormatChoice.Float16), [layer], runsHalves).Ways)(layer);

        Assert.Equal(runs ? [WeightFormat.Float16] : [], allowed.Formats);
        Assert.Equal(runs ? [] : [WeightFormat.Float16], allowed.WeightOnly);
    }
}
