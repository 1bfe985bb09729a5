using OnnxLowRank.Layers;
using OnnxLowRank.Planning;
using OnnxLowRank.Rewriting;
using static OnnxLowRank.Onnx.Proto.TensorProto.Types;

namespace OnnxLowRank.Tests.Rewriting;

/// <summary>Layers of float32 that are stored in 16-bit floats, and such that run in them too.</summary>
public class HalfTests
{
    /// <summary>Of weights alone: 11 bits, so up to 2⁻¹² of each. 8 bits err by ten times as much, a wrong factor by more than a tenth.</summary>
    const double Stored = 5e-4;

    /// <summary>Where values between the layers are rounded too.</summary>
    const double Run = 5e-3;

    public static TheoryData<string> Cases => [.. LayerCases.Names];

    public static TheoryData<string> CasesWithoutAddend => [.. LayerCases.WithoutAddend];

    public static TheoryData<string, int> Opsets => [.. from name in new[] { "MatMul then Add", "Gemm", "Conv with bias and pads" } from opset in new[] { 7, 11, 13, 21 } select (name, opset)];

    static Bench Open(string name, int opset = 17)
    {
        var (model, samples) = LayerCases.Make(name, opset);
        return new(model, samples);
    }

    static void AssertHalves(Bench bench, Func<Layer, LayerPlan> half, Func<Layer, LayerPlan> real, double most)
    {
        string output = bench.Layer.Uses[0].Output;
        var rewritten = bench.Rewrite(Dialect.Onnx, half).Model;

        var (expected, actual) = (bench.Run(bench.Rewrite(Dialect.Onnx, real).Model, output)[0], bench.Run(rewritten, output)[0]);

        ModelRuns.AssertNear(expected, actual, most);
        Assert.NotEqual(expected.Values, actual.Values); // something was rounded
        Assert.All(rewritten.Graph.Initializer.Where(tensor => tensor.DataType == (int)DataType.Float), tensor =>
            Assert.True(tensor.Dims.Aggregate(1L, (product, dim) => product * dim) <= bench.Layer.Elements / 2, $"'{tensor.Name}' is in 32 bits"));
    }

    [Theory, MemberData(nameof(Cases))]
    public void Weights_stored_in_16_bits_give_the_output_of_those_in_32(string name)
    {
        var bench = Open(name);
        int rank = Bench.LowRank(bench.Layer);

        AssertHalves(bench, layer => new LayerPlan.Quantize(layer, WeightFormat.Float16, WeightOnly: true), layer => new LayerPlan.Keep(layer), Stored);
        AssertHalves(
            bench, layer => new LayerPlan.Factorize(layer, rank, WeightFormat.Float16, WeightOnly: true), layer => new LayerPlan.Factorize(layer, rank, WeightFormat.Float32), 2 * Stored);
    }

    [Theory, MemberData(nameof(CasesWithoutAddend))]
    public void Layers_run_in_16_bits_give_the_output_of_those_in_32(string name)
    {
        var bench = Open(name);
        int rank = Bench.LowRank(bench.Layer);

        AssertHalves(bench, layer => new LayerPlan.Quantize(layer, WeightFormat.Float16), layer => new LayerPlan.Keep(layer), Run);
        AssertHalves(bench, layer => new LayerPlan.Factorize(layer, rank, WeightFormat.Float16), layer => new LayerPlan.Factorize(layer, rank, WeightFormat.Float32), 2 * Run);
    }

    [Fact]
    public void A_Conv_may_be_cut_in_every_way()
    {
        var bench = Open("Conv with bias and pads");
        foreach (bool weightOnly in new[] { true, false })
        {
            LayerPlan[] Plans(WeightFormat format, bool stored) =>
            [
                new LayerPlan.Factorize(bench.Layer, bench.Layer.Out, format, InputRank: 2, WeightOnly: stored),
                new LayerPlan.Factorize(bench.Layer, bench.Layer.Out / 2, format, InputRank: 2, WeightOnly: stored),
                new LayerPlan.Factorize(bench.Layer, 3, format, WeightOnly: stored, IsSpatial: true),
            ];
            foreach (var (half, real) in Plans(WeightFormat.Float16, weightOnly).Zip(Plans(WeightFormat.Float32, false)))
            {
                AssertHalves(bench, _ => half, _ => real, 3 * (weightOnly ? Stored : Run));
            }
        }
    }

    /// <summary>A layer that runs in halves has one Cast in front of it and one behind, and none within.</summary>
    [Theory]
    [InlineData("MatMul then Add", "Add Cast Cast MatMul MatMul Tanh")]
    [InlineData("Gemm", "Cast Cast Gemm Gemm Tanh")]
    [InlineData("Conv with bias and pads", "Cast Cast Conv Conv Tanh")]
    public void Casts_stand_at_the_border(string name, string operators)
    {
        var bench = Open(name);

        var graph = bench.Rewrite(Dialect.Onnx, layer => new LayerPlan.Factorize(layer, Bench.LowRank(layer), WeightFormat.Float16)).Model.Graph;

        Assert.Equal(operators, string.Join(' ', graph.Node.Select(node => node.OpType).Order()));
        Assert.All(graph.Initializer, tensor => Assert.Equal((int)DataType.Float16, tensor.DataType));
    }

    /// <summary>What runs is what would run of the same plan in 32 bits.</summary>
    [Theory, MemberData(nameof(Opsets))]
    public void Floats_are_made_of_weights_when_the_model_is_loaded(string name, int opset)
    {
        var bench = Open(name, opset);
        int rank = Bench.LowRank(bench.Layer);
        Dictionary<string, int> Kernels(LayerPlan plan) => ModelRuns.Optimized(bench.Rewrite(Dialect.Onnx, _ => plan).Model).ToDictionary();

        Assert.Equal(Kernels(new LayerPlan.Keep(bench.Layer)), Kernels(new LayerPlan.Quantize(bench.Layer, WeightFormat.Float16, WeightOnly: true)));
        Assert.Equal(
            Kernels(new LayerPlan.Factorize(bench.Layer, rank, WeightFormat.Float32)), Kernels(new LayerPlan.Factorize(bench.Layer, rank, WeightFormat.Float16, WeightOnly: true)));
    }

    [Theory]
    [InlineData(1f, "")]
    [InlineData(65504f, "")]
    [InlineData(70000f, "a number of the weight is beyond fp16's range, which ends at 65504")]
    public void Numbers_beyond_the_range_are_an_obstacle(float largest, string obstacle)
    {
        var tiny = new TinyModel();
        float[] weight = TinyModel.Random([16, 32], 1);
        weight[5] = largest;
        tiny.Input("x", null, 16);
        tiny.Node("MatMul", ["x", tiny.Floats("w", weight, 16, 32)], "y");
        tiny.Outputs("y");
        var layer = Assert.Single(LayerFinder.Find(tiny.Build(), new()).Layers);

        Assert.Equal(obstacle, Analysis.Obstacle(layer, WeightFormat.Float16, Dialect.Onnx, 17));
    }
}
