using OnnxLowRank.Layers;
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
    [InlineData(FormatChoice.Int8, "Conv", 2)]
    [InlineData(FormatChoice.Int8, "MatMul", 1)]
    [InlineData(FormatChoice.Int4, "Conv", 2)]
    [InlineData(FormatChoice.Auto, "Conv", 3)]
    [InlineData(FormatChoice.Auto, "MatMul", 2)]
    public void Convolutions_on_integers_are_tried_with_and_without_floats_among_them(FormatChoice format, string name, int count)
    {
        var layer = Of(name);

        var (ways, fallback) = Mixtures.Of(With(format), [layer]);

        Assert.Equal(count, ways.Count);
        Assert.Equal(format == FormatChoice.Auto, fallback != null);
        Assert.Equal(layer.Kind == LayerKind.Conv && format != FormatChoice.Float32 ? 1 : 0, ways.Count(way => !way(layer).KeepsForSpeed));
        Assert.All(ways, way => Assert.True(way(Of("Gemm")).KeepsForSpeed));
    }
}
