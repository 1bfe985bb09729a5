using OnnxLowRank.Calibration;
using OnnxLowRank.Factorization;
using OnnxLowRank.Layers;
using OnnxLowRank.Onnx;
using OnnxLowRank.Onnx.Proto;
using OnnxLowRank.Planning;
using OnnxLowRank.Rewriting;

namespace OnnxLowRank.Tests.Rewriting;

/// <summary>What a rewrite does to the graph: which nodes and tensors come, go and stay.</summary>
public class GraphEditsTests
{
    static string[] Ops(OnnxModel model) => [.. model.Graph.Node.Select(node => node.OpType)];

    static string[] Tensors(OnnxModel model) => [.. model.Graph.Initializer.Select(tensor => tensor.Name)];

    static Bench Open(string name, int opset = 17, int ir = 8)
    {
        var (model, samples) = LayerCases.Make(name, opset, ir);
        return new(model, samples);
    }

    [Theory]
    [InlineData("MatMul that is the graph output", "MatMul MatMul Add")]
    [InlineData("MatMul then Add", "MatMul MatMul Add Tanh")]
    [InlineData("LeftMatMul widening then Add", "MatMul MatMul Add Tanh")]
    [InlineData("LeftMatMul", "MatMul MatMul Tanh")]
    [InlineData("Gemm transA transB with alpha", "Gemm Gemm Tanh")]
    [InlineData("Gemm without C then Add", "Gemm Gemm Tanh")]
    [InlineData("Conv then Add, BatchNormalization and Add", "Conv Conv Tanh")]
    [InlineData("Conv then residual Add", "Conv Conv Add Tanh")]
    public void In_floats_a_layer_becomes_two_products(string name, string expected)
    {
        var rewritten = Open(name).Factorize(_ => 2).Model;

        Assert.Equal(expected, string.Join(' ', Ops(rewritten)));
    }

    [Theory]
    [InlineData("MatMul then Add", Dialect.Ort, "DynamicQuantizeMatMul DynamicQuantizeMatMul Tanh")]
    [InlineData("Gemm transA", Dialect.Ort, "Transpose DynamicQuantizeMatMul DynamicQuantizeMatMul Tanh")]
    [InlineData("Gemm without C then Add", Dialect.Onnx, "DynamicQuantizeLinear MatMulInteger Cast Mul Mul DynamicQuantizeLinear MatMulInteger Cast Mul Mul Add Tanh")]
    [InlineData("Conv then Relu", Dialect.Onnx, "QuantizeLinear DequantizeLinear DequantizeLinear Conv QuantizeLinear DequantizeLinear DequantizeLinear DequantizeLinear Conv Relu QuantizeLinear DequantizeLinear Tanh")]
    public void In_8_bits_each_product_is_surrounded_by_its_quantization(string name, Dialect dialect, string expected)
    {
        var rewritten = Open(name).Factorize(_ => 2, WeightFormat.Int8, dialect).Model;

        Assert.Equal(expected.Split(' ').Order(), Ops(rewritten).Order());
    }

    [Theory]
    [InlineData("MatMul then Add", 2 * 40)]
    [InlineData("Gemm with scalar C", 2 * 40)]
    [InlineData("LeftMatMul widening then Add", 2 * 52)]
    [InlineData("Conv then BatchNormalization", 2 * (6 * 9 + 14))]
    [InlineData("Conv with groups", 2 * (2 * 36 + 20))]
    public void The_factors_replace_the_weight_and_its_bias(string name, int elements)
    {
        var bench = Open(name);

        var rewritten = bench.Factorize(_ => 2).Model;

        var tensors = rewritten.Graph.Initializer;
        Assert.Equal(elements, tensors.Where(tensor => tensor.Name.Contains("down", StringComparison.Ordinal) || tensor.Name.Contains("up", StringComparison.Ordinal)).Sum(tensor => tensor.ElementCount()));
        Assert.Equal(bench.Layer.Out, Assert.Single(tensors, tensor => tensor.Name.Contains("bias", StringComparison.Ordinal)).ElementCount());
        Assert.Equal(3, tensors.Count);
    }

    public static TheoryData<string, WeightFormat> Everything => [.. (
        from name in LayerCases.WithoutAddend
        from format in new[] { WeightFormat.Float32, WeightFormat.Int8 }
        where format == WeightFormat.Float32 || LayerCases.OnIntegers.Contains(name)
        select (name, format))];

    [Theory, MemberData(nameof(Everything))]
    public void The_result_is_valid_keeps_its_interface_and_reads_everything_it_stores(string name, WeightFormat format)
    {
        foreach (int ir in new[] { 3, 8 })
        {
            var bench = Open(name, opset: 13, ir);
            var original = bench.Model.Proto.Clone();

            var rewritten = bench.Factorize(_ => 2, format).Model;

            Assert.Equal(original, bench.Model.Proto);
            GraphOrder.Check(rewritten.Graph);
            Assert.Equal(rewritten.Graph.Node, GraphOrder.Sorted(rewritten.Graph)); // in order already
            Assert.All(rewritten.Graph.Initializer, tensor => tensor.Validate());
            Assert.Equal(original.Graph.Output, rewritten.Graph.Output);
            Assert.Equal("x", Assert.Single(rewritten.Graph.Input, input => !Tensors(rewritten).Contains(input.Name)).Name);
            Assert.Equal(ir < 4, Tensors(rewritten).All(tensor => rewritten.Graph.Input.Any(input => input.Name == tensor)));
            Assert.All(Tensors(rewritten), tensor => Assert.Contains(rewritten.Graph.Node, node => node.Input.Contains(tensor)));
            Assert.Distinct(rewritten.Graph.Node.Select(node => node.Name));
            Assert.Distinct(Tensors(rewritten));
        }
    }

    [Fact]
    public void Old_models_list_their_new_constants_as_inputs_and_run()
    {
        var bench = Open("Conv with bias then BatchNormalization", opset: 8, ir: 3);

        var (rewritten, gone) = bench.Factorize(Bench.FullRank);

        Assert.Equal(["b", "beta", "gamma", "mean", "variance", "w"], gone.Order(StringComparer.Ordinal));
        Assert.Equal(["x", .. Tensors(rewritten)], rewritten.Graph.Input.Select(input => input.Name));
        ModelRuns.AssertNear(bench.Run(bench.Model, "out")[0], bench.Run(rewritten, "out")[0], 2e-5);
    }

    [Fact]
    public void Keeping_every_layer_changes_no_node_and_no_tensor()
    {
        foreach (string name in LayerCases.Names)
        {
            var (model, samples) = LayerCases.Make(name);

            var rewritten = new Bench(model, samples).Rewrite(Dialect.Ort, layer => new LayerPlan.Keep(layer));

            Assert.Equal(model.Proto, rewritten.Model.Proto);
            Assert.Empty(rewritten.InputsGone);
        }
    }

    [Fact]
    public void A_kept_layer_is_untouched_beside_a_factorized_one()
    {
        var model = new TinyModel();
        model.Input("x", null, 24);
        model.Node("MatMul", ["x", model.Weight("w1", 24, 24)], "y1");
        model.Node("Relu", ["y1"], "r");
        model.Node("MatMul", ["r", model.Weight("w2", 24, 24)], "y2");
        model.Outputs("y2");
        var bench = new Bench(model.Build(), new([Feed.Random("x", 64, 24)]));

        var rewritten = bench.Rewrite(Dialect.Ort, layer => layer.Name == "y1_node" ? new LayerPlan.Keep(layer) : new LayerPlan.Factorize(layer, 24, WeightFormat.Float32)).Model;

        Assert.Equal(bench.Model.Graph.Node[0], rewritten.Graph.Node[0]);
        Assert.Equal(bench.Model.Graph.Initializer[0], rewritten.Graph.Initializer[0]);
        Assert.DoesNotContain("w2", Tensors(rewritten));
        ModelRuns.AssertNear(bench.Run(bench.Model, "y2")[0], bench.Run(rewritten, "y2")[0], 2e-5);
    }

    [Fact]
    public void What_made_the_weight_goes_with_it_and_nothing_else_does()
    {
        var model = new TinyModel();
        model.Input("x", null, 24);
        var constant = TinyModel.Call("Constant", [], ["stored"], ("value", TensorData.Floats("", TinyModel.Random([16, 24], 3), 16, 24)));
        model.Node(constant);
        model.Node("Identity", ["stored"], "same");
        model.Node("Transpose", ["same"], "w", ("perm", new long[] { 1, 0 }));
        model.Node("MatMul", ["x", "w"], "y");
        model.Node("Add", ["y", model.Weight("both", 16)], "z");
        model.Node("Mul", ["z", "both"], "out");
        model.Weight("nobody", 7);
        model.Node("Identity", ["nobody"], "dead");
        model.Weight("unread", 5);
        model.Outputs("out");
        var bench = new Bench(model.Build(), new([Feed.Random("x", 64, 24)]));

        var rewritten = bench.Factorize(Bench.FullRank).Model;

        Assert.Equal(["Identity", "MatMul", "MatMul", "Add", "Mul"], Ops(rewritten).OrderBy(op => Array.IndexOf(["Identity", "MatMul", "Add", "Mul"], op)));
        Assert.Subset(Tensors(rewritten).ToHashSet(), new HashSet<string> { "both", "nobody", "unread" });
        ModelRuns.AssertNear(bench.Run(bench.Model, "out")[0], bench.Run(rewritten, "out")[0], 2e-5);
    }

    public static TheoryData<string, string> Formats => new() { { "factors", "Float32" }, { "factors", "Int8" }, { "dense", "Int8" } };

    [Theory, MemberData(nameof(Formats))]
    public void A_shared_weight_is_stored_once_and_every_use_has_its_own_bias(string kind, string format)
    {
        var model = new TinyModel();
        model.Input("x", null, 24);
        model.Input("u", null, 24);
        model.Weight("w", 24, 16);
        model.Node("MatMul", ["x", "w"], "y1");
        model.Node("Add", ["y1", model.Weight("b1", 16)], "z1");
        model.Node("MatMul", ["u", "w"], "y2");
        model.Node("Add", ["y2", model.Weight("b2", 16)], "z2");
        model.Outputs("z1", "z2");
        var bench = new Bench(model.Build(), new([Feed.Random("x", 64, 24), new Feed("u", TinyModel.Random([64, 24], 55), 24)]));
        Assert.Equal(2, bench.Layer.Uses.Count);

        var rewritten = (kind == "dense" ? bench.Quantize() : bench.Factorize(Bench.FullRank, Enum.Parse<WeightFormat>(format))).Model;

        // Of what depends on the weight alone there is one; the biases are two.
        var shapes = rewritten.Graph.Initializer.Where(tensor => tensor.Dims.Count == 2).Select(tensor => string.Join('x', tensor.Dims));
        Assert.Equal(kind == "dense" ? ["24x16"] : ["24x16", "16x16"], shapes);
        var expected = bench.Run(bench.Model, "z1", "z2");
        var actual = bench.Run(rewritten, "z1", "z2");
        ModelRuns.AssertNear(expected[0], actual[0], format == "Int8" ? 0.03 : 2e-5);
        ModelRuns.AssertNear(expected[1], actual[1], format == "Int8" ? 0.03 : 2e-5);
    }

    [Theory, MemberData(nameof(Formats))]
    public void A_shared_convolution_is_stored_once(string kind, string format)
    {
        var model = new TinyModel();
        model.Input("x", null, 8, 6, 6);
        model.Weight("w", 8, 8, 3, 3);
        model.Node("Conv", ["x", "w", model.Weight("b1", 8)], "y1", ("pads", new long[] { 1, 1, 1, 1 }));
        model.Node("Relu", ["y1"], "r");
        model.Node("Conv", ["r", "w"], "y2", ("pads", new long[] { 1, 1, 1, 1 }));
        model.Outputs("y2");
        var bench = new Bench(model.Build(), new([Feed.Random("x", 32, 8, 6, 6)]));
        Assert.Equal(2, bench.Layer.Uses.Count);

        var rewritten = (kind == "dense" ? bench.Quantize() : bench.Factorize(Bench.FullRank, Enum.Parse<WeightFormat>(format))).Model;

        Assert.Equal(kind == "dense" ? 1 : 2, rewritten.Graph.Initializer.Count(tensor => tensor.Dims.Count == 4));
        ModelRuns.AssertNear(bench.Run(bench.Model, "y2")[0], bench.Run(rewritten, "y2")[0], format == "Int8" ? 0.08 : 2e-5);
    }

    [Fact]
    public void A_layer_that_several_nodes_read_and_that_is_an_output_keeps_its_name()
    {
        foreach (var format in Enum.GetValues<WeightFormat>())
        {
            var model = new TinyModel();
            model.Input("x", null, 6, 8, 8);
            model.Node("Conv", ["x", model.Weight("w", 14, 6, 3, 3)], "y");
            model.Node("Relu", ["y"], "r");
            model.Node("Sigmoid", ["y"], "s");
            model.Outputs("y", "r", "s");
            var bench = new Bench(model.Build(), new([Feed.Random("x", 16, 6, 8, 8)]));

            var rewritten = bench.Factorize(Bench.FullRank, format).Model;

            var expected = bench.Run(bench.Model, "y", "r", "s");
            var actual = bench.Run(rewritten, "y", "r", "s");
            Assert.All(Enumerable.Range(0, 3), i => ModelRuns.AssertNear(expected[i], actual[i], format switch { WeightFormat.Int3 => 0.4, WeightFormat.Int4 => 0.2, WeightFormat.Int5 => 0.1, WeightFormat.Int6 => 0.05, WeightFormat.Int8 => 0.03, WeightFormat.Float16 => 2e-3, _ => 2e-5 }));
        }
    }

    [Fact]
    public void A_chain_of_quantized_convolutions_stays_on_integers()
    {
        var model = new TinyModel();
        model.Input("x", null, 6, 16, 16);
        model.Node("Conv", ["x", model.Weight("w1", 8, 6, 3, 3), model.Weight("b1", 8)], "y1", ("pads", new long[] { 1, 1, 1, 1 }));
        model.Node("Relu", ["y1"], "r1");
        model.Node("MaxPool", ["r1"], "p1", ("kernel_shape", new long[] { 2, 2 }), ("strides", new long[] { 2, 2 }));
        model.Node("Conv", ["p1", model.Weight("w2", 8, 8, 3, 3)], "y2", ("pads", new long[] { 1, 1, 1, 1 }));
        model.Node("Add", ["y2", "p1"], "s");
        model.Node("Relu", ["s"], "r2");
        model.Node("Conv", ["r2", model.Weight("w3", 16, 8, 3, 3)], "y3");
        model.Node("Clip", ["y3", model.Floats("low", [0]), model.Floats("high", [1e6f])], "out");
        model.Outputs("out");
        var bench = new Bench(model.Build(), new([Feed.Random("x", 16, 6, 16, 16)]));

        var rewritten = bench.Quantize().Model;

        var operators = ModelRuns.Optimized(rewritten);
        Assert.Equal((3, 1, 1), (operators["QLinearConv"], operators["QLinearAdd"], operators["QuantizeLinear"]));
        Assert.Empty(operators.Keys.Intersect(["Conv", "Add", "MaxPool", "Relu"]));
        ModelRuns.AssertNear(bench.Run(bench.Model, "out")[0], bench.Run(rewritten, "out")[0], 0.05);
    }

    [Fact]
    public void A_pool_of_floats_before_a_quantized_convolution_stays_in_floats()
    {
        var model = new TinyModel();
        model.Input("x", null, 3, 16, 16);
        model.Node("Conv", ["x", model.Weight("w1", 16, 3, 3, 3)], "y1", ("pads", new long[] { 1, 1, 1, 1 }));
        model.Node("Relu", ["y1"], "r1");
        model.Node("MaxPool", ["r1"], "p1", ("kernel_shape", new long[] { 2, 2 }), ("strides", new long[] { 2, 2 }));
        model.Node("Conv", ["p1", model.Weight("w2", 16, 16, 3, 3)], "y2", ("pads", new long[] { 1, 1, 1, 1 }));
        model.Outputs("y2");
        var bench = new Bench(model.Build(), new([Feed.Random("x", 16, 3, 16, 16)]));

        var rewritten = bench.Rewrite(Dialect.Ort, layer => layer.Uses[0].Output == "y2" ? new LayerPlan.Quantize(layer, WeightFormat.Int8) : new LayerPlan.Keep(layer)).Model;

        var graph = ModelRuns.OptimizedGraph(rewritten);
        var pool = graph.Node.Single(node => node.OpType == "MaxPool");
        Assert.DoesNotContain(graph.Node, node => node.OpType == "QuantizeLinear" && node.Output[0] == pool.Input[0]);
        Assert.Equal(1, ModelRuns.Operators(graph)["QLinearConv"]);
        ModelRuns.AssertNear(bench.Run(bench.Model, "y2")[0], bench.Run(rewritten, "y2")[0], 0.03);
    }

    [Fact]
    public void Names_that_the_model_has_already_are_avoided()
    {
        var model = new TinyModel();
        model.Input("x", null, 24);
        model.Node("MatMul", ["x", model.Weight("w", 24, 16)], "y");
        model.Node("Mul", ["y", model.Weight("y_node_down", 16)], "y_node_up");
        model.Node("Mul", ["y_node_up", model.Weight("y_node_bias", 16)], "y_node_product");
        model.Outputs("y_node_product");
        var bench = new Bench(model.Build(), new([Feed.Random("x", 64, 24)]));

        var rewritten = bench.Factorize(Bench.FullRank).Model;

        ModelRuns.AssertNear(bench.Run(bench.Model, "y_node_product")[0], bench.Run(rewritten, "y_node_product")[0], 2e-5);
    }

    [Fact]
    public void A_value_that_a_subgraph_reads_keeps_its_name()
    {
        var model = new TinyModel();
        model.Input("x", null, 24);
        model.Node("MatMul", ["x", model.Weight("w", 24, 16)], "y");
        GraphProto Branch(string op) => new()
        {
            Name = op,
            Node = { TinyModel.Call(op, ["y"], [op + "_y"]) },
            Output = { TinyModel.Value(op + "_y", TensorProto.Types.DataType.Float, null) },
        };
        model.Tensor(TensorData.Create<byte>("condition", TensorProto.Types.DataType.Bool, [1]));
        model.Node("If", ["condition"], "out", ("then_branch", Branch("Relu")), ("else_branch", Branch("Neg")));
        model.Outputs("out");
        var bench = new Bench(model.Build(), new([Feed.Random("x", 64, 24)]));

        var rewritten = bench.Factorize(Bench.FullRank).Model;

        ModelRuns.AssertNear(bench.Run(bench.Model, "out")[0], bench.Run(rewritten, "out")[0], 2e-5);
    }

    [Fact]
    public void Type_hints_of_values_that_are_gone_go_too()
    {
        var (model, samples) = LayerCases.Make("Conv then Add, BatchNormalization and Add");
        model.Graph.ValueInfo.AddRange(new[] { "y", "y1", "y2", "z" }.Select(name => TinyModel.Value(name, TensorProto.Types.DataType.Float, null)));

        var rewritten = new Bench(model, samples).Factorize(_ => 2).Model;

        Assert.Equal("z", Assert.Single(rewritten.Graph.ValueInfo).Name);
    }

    [Fact]
    public void Provenance_replaces_what_an_earlier_run_wrote()
    {
        var (model, _) = LayerCases.Make("MatMul");
        model.Proto.MetadataProps.Add(new StringStringEntryProto { Key = "author", Value = "somebody" });
        model.Proto.MetadataProps.Add(new StringStringEntryProto { Key = "tool", Value = "old" });
        var rewriter = new Rewriter(model, new Dictionary<Layer, Decomposition>(), new Dictionary<Layer, NBitWeights>(), ActivationRanges.None, Dialect.Ort, new Dictionary<string, string> { ["tool"] = "new" });

        var rewritten = rewriter.Apply([]).Model;

        Assert.Equal([("author", "somebody"), ("tool", "new")], rewritten.Proto.MetadataProps.Select(entry => (entry.Key, entry.Value)));
    }

    [Fact]
    public void Ort_operators_declare_their_domain_once()
    {
        var bench = Open("MatMul then Add");
        bench.Model.Proto.OpsetImport.Add(new OperatorSetIdProto { Domain = "com.microsoft", Version = 1 });

        var withImport = bench.Quantize().Model;
        var without = Open("MatMul then Add").Quantize().Model;
        var standard = Open("MatMul then Add").Quantize(Dialect.Onnx).Model;

        Assert.Single(withImport.Proto.OpsetImport, import => import.Domain == "com.microsoft");
        Assert.Single(without.Proto.OpsetImport, import => import.Domain == "com.microsoft");
        Assert.DoesNotContain(standard.Proto.OpsetImport, import => import.Domain == "com.microsoft");
    }
}
