using OnnxLowRank.Onnx.Proto;
using OnnxLowRank.Planning;
using OnnxLowRank.Rewriting;

namespace OnnxLowRank.Tests.Rewriting;

/// <summary>Layers on 8-bit integers: close to the same layer in floats, and run by ONNX Runtime's integer kernels.</summary>
public class Int8Tests
{
    /// <summary>
    /// Noise of Gaussian numbers on 8-bit grids: about 1 % per rounded value, 2.2 % at most in these cases. A wrong scale, zero point, channel order or bias errs by
    /// 10 % and more.
    /// </summary>
    const double Noise = 0.03;

    /// <summary>What ONNX Runtime fuses a quantized Conv to came with this opset; it refuses older models with such a Conv.</summary>
    const int QLinearConvOpset = 10;

    public static TheoryData<string, Dialect> Cases => [.. (
        from name in LayerCases.OnIntegers
        from dialect in new[] { Dialect.Ort, Dialect.Onnx }
        select (name, dialect))];

    [Theory]
    [InlineData(9, "opset 9 has no integer convolution (from 10 on)")]
    [InlineData(10, "")]
    public void A_Conv_of_an_opset_without_integer_convolutions_stays_in_floats(int opset, string reason)
    {
        var (model, samples) = LayerCases.Make("Conv", opset);

        Assert.Equal(reason, Analysis.Obstacle(new Bench(model, samples).Layer, WeightFormat.Int8, Dialect.Ort, opset));
    }

    [Theory, MemberData(nameof(Cases))]
    public void A_dense_weight_in_8_bits_gives_nearly_the_same_output(string name, Dialect dialect)
    {
        var (model, samples) = LayerCases.Make(name);
        var bench = new Bench(model, samples);
        string output = bench.Layer.Uses[0].Output;

        var rewritten = bench.Quantize(dialect).Model;

        ModelRuns.AssertNear(bench.Run(model, output)[0], bench.Run(rewritten, output)[0], Noise);
    }

    [Theory, MemberData(nameof(Cases))]
    public void Factors_in_8_bits_give_nearly_the_output_of_those_in_floats(string name, Dialect dialect)
    {
        var (model, samples) = LayerCases.Make(name);
        var bench = new Bench(model, samples);
        string output = bench.Layer.Uses[0].Output;
        var floats = bench.Factorize(Bench.LowRank).Model;

        var rewritten = bench.Factorize(Bench.LowRank, WeightFormat.Int8, dialect).Model;

        ModelRuns.AssertNear(bench.Run(floats, output)[0], bench.Run(rewritten, output)[0], Noise);
    }

    public static TheoryData<string, Dialect, WeightFormat> NarrowCases => [.. (
        from name in new[] { "MatMul then Add", "Gemm transB with alpha and beta", "Conv with groups", "Conv then residual Add" }
        from dialect in Enum.GetValues<Dialect>()
        from format in new[] { WeightFormat.Int8, WeightFormat.Int4 }
        select (name, dialect, format))];

    /// <summary>Two products of such a weight and an activation fit 16 bits, where processors without dot products add them.</summary>
    [Theory, MemberData(nameof(NarrowCases))]
    public void Weights_of_7_bits_run_on_the_same_kernels(string name, Dialect dialect, WeightFormat format)
    {
        var (model, samples) = LayerCases.Make(name);
        var bench = new Bench(model, samples);
        string output = bench.Layer.Uses[0].Output;
        foreach (LayerPlan plan in new LayerPlan[] { new LayerPlan.Quantize(bench.Layer, format), new LayerPlan.Factorize(bench.Layer, Bench.LowRank(bench.Layer), format) })
        {
            var wide = bench.Rewrite(dialect, _ => plan).Model;

            var narrow = bench.Rewrite(dialect, _ => plan, weightBits: 7).Model;

            var optimized = ModelRuns.OptimizedGraph(narrow);
            Assert.Equal(ModelRuns.Optimized(wide), ModelRuns.Operators(optimized));
            var weights = optimized.Initializer.Where(tensor => tensor.DataType == (int)TensorProto.Types.DataType.Int8 && tensor.Dims.Count > 1).ToList();
            Assert.Equal(plan is LayerPlan.Quantize ? 1 : 2, weights.Count);
            Assert.All(weights, tensor => Assert.InRange(tensor.RawData.Max(value => Math.Abs((int)(sbyte)value)), 56, 64));
            ModelRuns.AssertNear(bench.Run(wide, output)[0], bench.Run(narrow, output)[0], Noise);
        }
    }

    public static TheoryData<string, Dialect, int> FusedCases => [.. (
        from name in new[] { "MatMul", "MatMul of rank 3", "MatMul then Add", "Gemm", "Gemm transB with alpha and beta", "Conv", "Conv with groups", "Conv then Relu and MaxPool", "Conv then residual Add", "Conv that is the graph output", "Conv over one axis" }
        from dialect in new[] { Dialect.Ort, Dialect.Onnx }
        from opset in Enumerable.Range(7, 18)
        let isConv = name.StartsWith("Conv", StringComparison.Ordinal)
        let oldest = dialect == Dialect.Ort ? isConv ? QLinearConvOpset : 7 : isConv ? ActivationGrids.PerAxisOpset : Int8Product.OldestOnnxOpset
        where opset >= oldest
        select (name, dialect, opset))];

    [Theory, MemberData(nameof(FusedCases))]
    public void Onnx_Runtime_runs_them_on_its_integer_kernels(string name, Dialect dialect, int opset)
    {
        var (model, samples) = LayerCases.Make(name, opset);
        var bench = new Bench(model, samples);
        string integers = name.StartsWith("Conv", StringComparison.Ordinal) ? "QLinearConv" : "DynamicQuantizeMatMul";
        string output = bench.Layer.Uses[0].Output;
        string[] floats = ["MatMul", "Gemm", "Conv", "FusedConv", "MatMulInteger", "ConvInteger"];
        var dense = bench.Quantize(dialect).Model;
        var factors = bench.Factorize(Bench.LowRank, WeightFormat.Int8, dialect).Model;

        var denseOps = ModelRuns.Optimized(dense);
        var factorOps = ModelRuns.Optimized(factors);

        Assert.Equal((1, 2), (denseOps.GetValueOrDefault(integers), factorOps.GetValueOrDefault(integers)));
        Assert.Empty(denseOps.Keys.Concat(factorOps.Keys).Intersect(floats));
        ModelRuns.AssertNear(bench.Run(model, output)[0], bench.Run(dense, output)[0], Noise);
    }
}
