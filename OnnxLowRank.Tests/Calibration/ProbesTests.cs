using OnnxLowRank.Calibration;

namespace OnnxLowRank.Tests.Calibration;

public class ProbesTests
{
    /// <summary>What a Conv writes is measured there, and where a product reads it. A stats file holds a value once.</summary>
    [Fact]
    public void A_value_with_many_positions_is_measured_once_whatever_layers_it_is_between()
    {
        var model = new TinyModel();
        model.Input("x", null, 16, 64);
        model.Node("Conv", ["x", model.Weight("kernel", 20, 16, 1)], "h");
        model.Node("MatMul", [model.Weight("w", 24, 20), "h"], "y");
        model.Outputs("y");
        var bench = new Bench(model.Build(), new([Feed.Random("x", 4, 16, 64)]));

        var probes = Probes.Of(bench.Found.Layers, bench.Shapes, withRanges: true);

        Assert.Equal(2, bench.Found.Layers.Count);
        Assert.Equal("h", Assert.Single(probes.Taps).Value);
    }
}
