using OnnxLowRank.Planning;
using OnnxLowRank.Rewriting;

namespace OnnxLowRank.Tests.Rewriting;

/// <summary>What is particular to ConvTranspose; <see cref="RewriterTests"/> and <see cref="WeightOnlyTests"/> run its cases like any other's.</summary>
public class ConvTransposeTests
{
    static Bench Open(string name)
    {
        var (model, samples) = LayerCases.Make(name);
        return new(model, samples);
    }

    [Fact]
    public void A_pair_is_a_narrow_ConvTranspose_and_a_pointwise_Conv_of_exactly_those_bytes()
    {
        var bench = Open("Deconv with bias, strides and output_padding");
        int rank = Bench.LowRank(bench.Layer);

        var graph = bench.Factorize(_ => rank).Model.Graph;

        Assert.Equal(["ConvTranspose", "Conv", "Tanh"], graph.Node.Select(node => node.OpType));
        Assert.Equal([12, rank, 3, 3], graph.Initializer.Single(tensor => tensor.Name == graph.Node[0].Input[1]).Dims);
        Assert.Equal([10, rank, 1, 1], graph.Initializer.Single(tensor => tensor.Name == graph.Node[1].Input[1]).Dims);
        Assert.Equal(4 * (rank * (12 * 9 + 10) + 10), graph.Initializer.Sum(tensor => tensor.RawData.Length));
        Assert.Equal(bench.Model.Graph.Node[0].Attribute, graph.Node[0].Attribute);
    }

    /// <summary>Every pixel of the input meets the whole kernel; every one of the output the pointwise weight.</summary>
    [Fact]
    public void Multiply_adds_are_counted_at_the_input()
    {
        var bench = Open("Deconv plain");
        var positions = Analysis.PositionsOf(bench.Layer, bench.Shapes);
        Assert.Equal(new Positions(4 * 5, 6 * 7), positions);

        Assert.Equal(4 * 5 * 12 * 10 * 9, Product.Of(new LayerPlan.Keep(bench.Layer), positions).Sum(product => product.Macs));
        Assert.Equal(4 * 5 * 12 * 3 * 9 + 6 * 7 * 3 * 10, Product.Of(new LayerPlan.Factorize(bench.Layer, 3, WeightFormat.Float32), positions).Sum(product => product.Macs));
    }

    [Fact]
    public void There_is_no_form_on_integers()
    {
        var layer = Open("Deconv plain").Layer;

        Assert.Equal("no 8-bit kernel runs a ConvTranspose", Analysis.Obstacle(layer, WeightFormat.Int8, Dialect.Ort, 17));
        Assert.Equal("no 8-bit kernel runs a ConvTranspose", Analysis.Obstacle(layer, WeightFormat.Int4, Dialect.Ort, 17));
    }
}
