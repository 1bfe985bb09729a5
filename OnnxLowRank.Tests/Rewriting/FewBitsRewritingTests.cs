using OnnxLowRank.Numerics;
using OnnxLowRank.Onnx.Proto;
using OnnxLowRank.Planning;
using OnnxLowRank.Quantization;
using OnnxLowRank.Rewriting;

namespace OnnxLowRank.Tests.Rewriting;

/// <summary>Layers in few bits: what ONNX Runtime computes is what was rounded, and its fast kernels compute it.</summary>
public class FewBitsRewritingTests
{
    /// <summary>What quantizing activations to 8 bits does; a value in the wrong place, or a wrong scale, errs by 10 % and more.</summary>
    const double Noise = 0.03;

    static readonly WeightFormat[] s_widths = [WeightFormat.Int3, WeightFormat.Int4, WeightFormat.Int5, WeightFormat.Int6];

    public static TheoryData<string, Dialect, int> Cases => [.. (
        from name in LayerCases.NamesWith("MatMul").Concat(LayerCases.NamesWith("Gemm")).Intersect(LayerCases.WithoutAddend)
        from dialect in new[] { Dialect.Ort, Dialect.Onnx }
        from block in dialect == Dialect.Ort ? new[] { 0, 16, 32, 128 } : [0]
        select (name, dialect, block))];

    static Bench Open(string name, int opset = 17)
    {
        var (model, samples) = LayerCases.Make(name, opset);
        return new(model, samples);
    }

    /// <summary>y of the rewritten model is x·Qᵀ + b with the Q that was stored, so nothing is packed in the wrong order.</summary>
    static void AssertComputes(Bench bench, Dialect dialect, LayerPlan plan, Matrix stored, double[]? gains)
    {
        var use = bench.Layer.Uses[0];
        var input = bench.Run(bench.Model, use.Input)[0];
        var vectors = input.Vectors(use.TransA ? 0 : input.Shape.Length - 1);
        float[] expected = [.. vectors.SelectMany(x => Enumerable.Range(0, stored.Rows).Select(o =>
            (float)((use.Bias?[o] ?? 0) + gains![o] + Enumerable.Range(0, stored.Cols).Sum(i => stored[o, i] * x[i]))))];

        var actual = bench.Run(bench.Rewrite(dialect, _ => plan).Model, use.Output)[0];

        ModelRuns.AssertNear(actual with { Values = expected }, actual, Noise);
    }

    [Theory, MemberData(nameof(Cases))]
    public void A_dense_weight_computes_what_was_stored(string name, Dialect dialect, int block)
    {
        var bench = Open(name);
        var dense = bench.InFewBits(bench.Layer).Dense(new NBitGrid(4, block));

        AssertComputes(bench, dialect, new LayerPlan.Quantize(bench.Layer, WeightFormat.Int4, block), dense.Weight.Dequantize(), dense.Gains[0]);
    }

    [Theory, MemberData(nameof(Cases))]
    public void A_pair_computes_what_was_stored(string name, Dialect dialect, int block)
    {
        var bench = Open(name);
        int rank = Bench.LowRank(bench.Layer);
        var pair = bench.InFewBits(bench.Layer).Pair(rank, new NBitGrid(4, block));
        var product = new Matrix(bench.Layer.Out, bench.Layer.In);
        var (down, up) = (pair.Down.Dequantize(), pair.Up.Dequantize());
        for (int i = 0; i < product.Data.Length; i++)
        {
            product.Data[i] = Enumerable.Range(0, rank).Sum(k => up[i / product.Cols, k] * down[k, i % product.Cols]);
        }

        AssertComputes(bench, dialect, new LayerPlan.Factorize(bench.Layer, rank, WeightFormat.Int4, Block: block), product, pair.Gains[0]);
    }

    /// <summary>Odd numbers of inputs, a last block that is not full, few outputs, with and without a bias.</summary>
    [Theory]
    [InlineData(3, 50, false)]
    [InlineData(7, 31, true)]
    [InlineData(129, 1, true)]
    [InlineData(40, 5, false)]
    [InlineData(101, 17, true)]
    public void Any_shape_is_packed_right(int inputs, int outputs, bool hasBias)
    {
        var tiny = new TinyModel();
        tiny.Input("x", null, inputs);
        tiny.Node("MatMul", ["x", tiny.Weight("w", inputs, outputs)], "y");
        if (hasBias)
        {
            tiny.Node("Add", ["y", tiny.Weight("b", outputs)], "z");
        }
        tiny.Node("Tanh", [hasBias ? "z" : "y"], "out");
        tiny.Outputs("out");
        var bench = new Bench(tiny.Build(), new([Feed.Random("x", 64, inputs)]));

        foreach (var plan in s_widths.Select(format => new LayerPlan.Quantize(bench.Layer, format)).Concat([new(bench.Layer, WeightFormat.Int4, 16), new(bench.Layer, WeightFormat.Int4, 32)]))
        {
            var dense = bench.InFewBits(bench.Layer).Dense(plan.Grid);
            AssertComputes(bench, Dialect.Ort, plan, dense.Weight.Dequantize(), dense.Gains[0]);
        }
    }

    public static TheoryData<string, Dialect> Convs => [.. (
        from name in LayerCases.NamesWith("Conv") from dialect in Enum.GetValues<Dialect>() select (name, dialect))];

    /// <summary>The output is near that of the weight that was stored, which is run as floats.</summary>
    [Theory, MemberData(nameof(Convs))]
    public void A_Conv_computes_what_was_stored(string name, Dialect dialect)
    {
        var bench = Open(name);
        int rank = Bench.LowRank(bench.Layer);
        string output = bench.Layer.Uses[0].Output;
        var int4 = bench.InFewBits(bench.Layer);
        foreach (var plan in s_widths.SelectMany(format => new LayerPlan[] { new LayerPlan.Quantize(bench.Layer, format), new LayerPlan.Factorize(bench.Layer, rank, format) }))
        {
            var rewritten = bench.Rewrite(dialect, _ => plan).Model;
            var expected = bench.Run(plan is LayerPlan.Quantize ? bench.Model : bench.Factorize(Bench.LowRank).Model, output)[0];
            double error = plan is LayerPlan.Quantize dense ? int4.ErrorOfDense(dense.Grid) : int4.ErrorOfPair(rank, ((LayerPlan.Factorize)plan).Grid) - bench.Decompose(bench.Layer).Error(rank);

            var actual = bench.Run(rewritten, output)[0];

            // Inputs have a mean, so the rounded weights' errors do not average out as the estimate has it.
            Assert.InRange(ModelRuns.Distance(expected.Values, actual.Values), 0, 2.5 * Math.Sqrt(error) + Noise);
            Assert.Equal(plan is LayerPlan.Quantize ? 1 : 2, ModelRuns.Optimized(rewritten).GetValueOrDefault("QLinearConv"));
        }
    }

    [Theory]
    [InlineData("MatMul then Add", 11)]
    [InlineData("MatMul of rank 3", 17)]
    [InlineData("Gemm transB with alpha and beta", 13)]
    [InlineData("Gemm", 21)]
    public void Onnx_Runtime_runs_them_on_integer_kernels_and_unpacks_when_it_loads(string name, int opset)
    {
        var bench = Open(name, opset);
        int rank = Bench.LowRank(bench.Layer);
        string[] slow = ["MatMul", "Gemm", "MatMulInteger", "BitShift", "Slice", "Cast"];
        foreach (var (dialect, block, kernel) in new[] { (Dialect.Ort, 0, "DynamicQuantizeMatMul"), (Dialect.Onnx, 0, "DynamicQuantizeMatMul"), (Dialect.Ort, 32, "MatMulNBits") })
        {
            var dense = ModelRuns.Optimized(bench.Rewrite(dialect, layer => new LayerPlan.Quantize(layer, WeightFormat.Int4, block)).Model);
            var pair = ModelRuns.Optimized(bench.Rewrite(dialect, layer => new LayerPlan.Factorize(layer, rank, WeightFormat.Int4, Block: block)).Model);

            Assert.Equal((1, 2), (dense.GetValueOrDefault(kernel), pair.GetValueOrDefault(kernel)));
            Assert.Empty(dense.Keys.Concat(pair.Keys).Intersect(slow));
        }
        foreach (var format in s_widths)
        {
            var dense = ModelRuns.Optimized(bench.Rewrite(Dialect.Onnx, layer => new LayerPlan.Quantize(layer, format)).Model);

            Assert.Equal(1, dense.GetValueOrDefault("DynamicQuantizeMatMul"));
            Assert.Empty(dense.Keys.Intersect(slow));
        }
    }

    [Fact]
    public void The_accuracy_level_is_always_set()
    {
        var bench = Open("MatMul");

        var nodes = bench.Rewrite(Dialect.Ort, layer => new LayerPlan.Factorize(layer, 4, WeightFormat.Int4, Block: 16)).Model.Graph.Node.Where(node => node.OpType == "MatMulNBits").ToList();

        Assert.Equal(2, nodes.Count);
        Assert.All(nodes, node => Assert.Equal(4, node.Attribute.Single(attribute => attribute.Name == "accuracy_level").I));
    }

    [Theory]
    [InlineData(3, 1000, 384)]
    [InlineData(4, 1000, 500)]
    [InlineData(5, 1000, 672)]
    [InlineData(6, 1000, 800)]
    public void Numbers_take_the_bits_that_they_are_said_to(int bits, int numbers, int bytes)
    {
        var tiny = new TinyModel();
        tiny.Input("x", null, 40);
        tiny.Node("MatMul", ["x", tiny.Weight("w", 40, numbers / 40)], "y");
        tiny.Node("Tanh", ["y"], "out");
        tiny.Outputs("out");
        var bench = new Bench(tiny.Build(), new([Feed.Random("x", 64, 40)]));
        var plan = new LayerPlan.Quantize(bench.Layer, s_widths.Single(format => format.Bits() == bits));

        var packed = bench.Rewrite(Dialect.Ort, _ => plan).Model.Graph.Initializer.MaxBy(tensor => tensor.RawData.Length)!;

        Assert.Equal(bytes, packed.RawData.Length);
    }

    [Theory]
    [InlineData("Conv", 10, "opset 10 cannot unpack 4 bits (from 11 on)")]
    [InlineData("Conv", 17, "")]
    [InlineData("LeftMatMul", 17, "the weight is MatMul's left operand, which no 8-bit kernel takes")]
    [InlineData("Gemm transA, addend (N, m)", 17, "Gemm's C is not a bias per channel")]
    [InlineData("MatMul", 10, "opset 10 cannot unpack 4 bits (from 11 on)")]
    [InlineData("MatMul", 11, "")]
    public void What_cannot_be_run_in_4_bits_has_a_reason(string name, int opset, string reason)
    {
        var (model, samples) = LayerCases.Make(name, opset);

        Assert.Equal(reason, Analysis.Obstacle(new Bench(model, samples).Layer, WeightFormat.Int4, Dialect.Ort, opset));
    }

    [Fact]
    public void Uses_of_one_weight_share_its_constants()
    {
        var tiny = new TinyModel();
        tiny.Input("x", null, 24);
        string weight = tiny.Weight("w", 24, 24);
        tiny.Node("MatMul", [tiny.Node("Tanh", [tiny.Node("MatMul", ["x", weight], "y")], "t"), weight], "z");
        tiny.Node("Tanh", ["z"], "out");
        tiny.Outputs("out");
        var bench = new Bench(tiny.Build(), new([Feed.Random("x", 64, 24)]));

        var rewritten = bench.Rewrite(Dialect.Ort, layer => new LayerPlan.Quantize(layer, WeightFormat.Int4)).Model;

        Assert.Equal(2, bench.Layer.Uses.Count);
        Assert.Single(rewritten.Graph.Initializer, tensor => tensor.DataType == (int)TensorProto.Types.DataType.Uint8 && tensor.RawData.Length == 24 * 24 / 2);
        Assert.InRange(ModelRuns.Distance(bench.Run(bench.Model, "z")[0].Values, bench.Run(rewritten, "z")[0].Values), 1e-4, 0.3);
    }
}
