using OnnxLowRank.Planning;
using OnnxLowRank.Tests.Rewriting;

namespace OnnxLowRank.Tests;

public class FastKernelsTests
{
    static LayerPlan[] Plans(params Func<OnnxLowRank.Layers.Layer, LayerPlan>[] plans)
    {
        var (model, samples) = LayerCases.Make("MatMul");
        var layer = new Bench(model, samples).Layer;
        return [.. plans.Select(plan => plan(layer))];
    }

    [Fact]
    public void Every_product_in_blocks_of_4_bits_must_be_a_MatMulNBits()
    {
        var plans = Plans(layer => new LayerPlan.Quantize(layer, WeightFormat.Int4, 32), layer => new LayerPlan.Factorize(layer, 3, WeightFormat.Int4, Block: 32));

        Assert.Empty(FastKernels.Missing(plans, new Dictionary<string, int> { ["MatMulNBits"] = 3 }));
        Assert.Equal(
            ["ONNX Runtime runs only 2 of 3 4-bit matrix products in blocks on integers"],
            FastKernels.Missing(plans, new Dictionary<string, int> { ["MatMulNBits"] = 2, ["DynamicQuantizeMatMul"] = 5, ["MatMul"] = 1 }));
    }

    [Fact]
    public void Unpacked_4_bits_and_8_bits_must_run_on_8_bit_kernels()
    {
        var plans = Plans(
            layer => new LayerPlan.Quantize(layer, WeightFormat.Int4), layer => new LayerPlan.Factorize(layer, 3, WeightFormat.Int8),
            layer => new LayerPlan.Factorize(layer, 3, WeightFormat.Float32), layer => new LayerPlan.Keep(layer));

        Assert.Empty(FastKernels.Missing(plans, new Dictionary<string, int> { ["DynamicQuantizeMatMul"] = 2, ["MatMulIntegerToFloat"] = 1 }));
        Assert.Equal(
            ["ONNX Runtime runs only 0 of 3 8-bit matrix products on integers"], FastKernels.Missing(plans, new Dictionary<string, int> { ["MatMulNBits"] = 3, ["QLinearConv"] = 3 }));
    }

    [Fact]
    public void Convolutions_must_be_QLinearConvs()
    {
        var (model, samples) = LayerCases.Make("Conv with bias and pads");
        var layer = new Bench(model, samples).Layer;
        LayerPlan[] plans = [new LayerPlan.Quantize(layer, WeightFormat.Int8), new LayerPlan.Factorize(layer, 3, WeightFormat.Int8, InputRank: 2)];

        Assert.Empty(FastKernels.Missing(plans, new Dictionary<string, int> { ["QLinearConv"] = 4 }));
        Assert.Equal(["ONNX Runtime runs only 3 of 4 8-bit convolutions on integers"], FastKernels.Missing(plans, new Dictionary<string, int> { ["QLinearConv"] = 3 }));
    }
}
