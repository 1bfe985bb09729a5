using OnnxLowRank.Layers;
using OnnxLowRank.Onnx;
using static OnnxLowRank.Onnx.Proto.TensorProto.Types;
using static OnnxLowRank.Tests.Layers.Finding;

namespace OnnxLowRank.Tests.Layers;

/// <summary>How a node is read as y = W·x + b, and what behind it belongs to it.</summary>
public class LayerReaderTests
{
    [Fact]
    public void MatMul_by_a_constant_on_the_right()
    {
        var model = Model();
        model.Node("MatMul", ["x", model.Weight("w", 24, 16)], "y");

        var layer = OnlyLayer(Find(model));

        Assert.Equal(("y_node", LayerKind.MatMul, 16, 24, 1), (layer.Name, layer.Kind, layer.Out, layer.In, layer.Groups));
        Assert.Equal(("x", "y", "y"), (layer.Uses[0].Input, layer.Uses[0].Output, layer.Uses[0].Activation));
        Assert.Null(layer.Uses[0].Bias);
        float[] stored = model.Graph.Initializer[0].ToFloats();
        Assert.Equal(stored[5 * 16 + 3], layer.ReadWeight()[3, 5]);
        Assert.Equal(4 * 24 * 16, layer.Bytes);
    }

    [Fact]
    public void MatMul_by_a_constant_on_the_left()
    {
        var model = Model();
        model.Node("MatMul", [model.Weight("w", 16, 24), "x"], "y");

        var layer = OnlyLayerOf(model);

        Assert.Equal((LayerKind.LeftMatMul, 16, 24, "x"), (layer.Kind, layer.Out, layer.In, layer.Uses[0].Input));
        Assert.Equal(model.Graph.Initializer[0].ToFloats()[3 * 24 + 5], layer.ReadWeight()[3, 5]);
    }

    [Theory]
    [InlineData(0, 0)]
    [InlineData(0, 1)]
    [InlineData(1, 0)]
    [InlineData(1, 1)]
    public void Gemm_with_its_factors_and_transpositions(int transA, int transB)
    {
        var model = Model();
        model.Weight("w", transB == 1 ? [16, 24] : [24, 16]);
        model.Node("Gemm", ["x", "w", model.Weight("c", 16)], "y", ("alpha", 0.5f), ("beta", 3f), ("transA", transA), ("transB", transB));

        var layer = OnlyLayerOf(model);

        var use = layer.Uses[0];
        Assert.Equal((LayerKind.Gemm, 16, 24), (layer.Kind, layer.Out, layer.In));
        Assert.Equal((transA == 1, transB == 1, 0.5), (use.TransA, use.TransB, use.Alpha));
        Assert.Equal(model.Graph.Initializer[1].ToFloats().Select(value => 3.0 * value), use.Bias);
        float[] stored = model.Graph.Initializer[0].ToFloats();
        Assert.Equal(0.5 * (transB == 1 ? stored[3 * 24 + 5] : stored[5 * 16 + 3]), layer.ReadWeight()[3, 5]);
        Assert.Equal(4 * (24 * 16 + 16), layer.Bytes);
    }

    [Theory]
    [InlineData]
    [InlineData(1L)]
    [InlineData(16L)]
    [InlineData(1L, 1L)]
    [InlineData(1L, 16L)]
    public void A_C_that_is_the_same_for_every_row_is_a_bias(params long[] dims)
    {
        var model = Model();
        model.Node("Gemm", ["x", model.Weight("w", 24, 16), model.Weight("c", dims)], "y", ("beta", 2f));

        var use = OnlyLayerOf(model).Uses[0];

        float[] c = model.Graph.Initializer[1].ToFloats();
        Assert.Equal(Enumerable.Range(0, 16).Select(i => 2.0 * c[i % c.Length]), use.Bias);
        Assert.Null(use.Addend);
    }

    [Theory]
    [InlineData("constant", 5L, 1L)]
    [InlineData("constant", 5L, 16L)]
    [InlineData("input", 16L)]
    public void Any_other_C_stays_an_operand(string kind, params long[] dims)
    {
        var model = Model();
        string c = kind == "constant" ? model.Weight("c", dims) : model.Input("c", [.. dims.Select(dim => (long?)dim)]);
        model.Node("Gemm", ["x", model.Weight("w", 24, 16), c], "y", ("beta", 2f));

        var use = OnlyLayerOf(model).Uses[0];

        Assert.Equal(("c", 2f, null), (use.Addend, use.Beta, use.Bias));
    }

    [Fact]
    public void A_missing_or_multiplied_away_C_is_no_bias()
    {
        var missing = Model();
        missing.Node("Gemm", ["x", missing.Weight("w", 24, 16)], "y");
        var empty = Model();
        empty.Node("Gemm", ["x", empty.Weight("w", 24, 16), ""], "y");
        var zero = Model();
        zero.Node("Gemm", ["x", zero.Weight("w", 24, 16), zero.Weight("c", 16)], "y", ("beta", 0f));

        Assert.All([missing, empty, zero], model =>
        {
            var use = OnlyLayerOf(model).Uses[0];
            Assert.Equal((null, null), (use.Bias, use.Addend));
        });
    }

    [Theory]
    [InlineData(1, 3L, 5L)]
    [InlineData(2, 3L, 5L, 5L)]
    [InlineData(1, 6L, 3L, 2L, 2L)]
    [InlineData(3, 2L, 3L, 3L)]
    public void Conv_over_any_number_of_axes(int groups, params long[] inAndKernel)
    {
        var model = new TinyModel();
        model.Input("x", [null, groups * inAndKernel[0], .. inAndKernel[1..].Select(_ => (long?)9)]);
        model.Node("Conv", ["x", model.Weight("w", [12, .. inAndKernel]), model.Weight("b", 12)], "y", ("group", groups));

        var layer = OnlyLayerOf(model);

        int size = (int)inAndKernel.Aggregate(1L, (product, dim) => product * dim);
        Assert.Equal((LayerKind.Conv, 12, size, groups, 12 / groups), (layer.Kind, layer.Out, layer.In, layer.Groups, layer.OutPerGroup));
        Assert.Equal(inAndKernel[1..], layer.Kernel);
        Assert.Equal(model.Graph.Initializer[1].ToFloats().Select(value => (double)value), layer.Uses[0].Bias);
        Assert.False(layer.IsDepthwise);
        Assert.Equal(model.Graph.Initializer[0].ToFloats()[7 * size + 4], layer.ReadWeight()[7, 4]);
        Assert.Equal((12 / groups * size - 1) / (12 / groups + size), layer.BreakEvenRank);
    }

    [Fact]
    public void A_depthwise_Conv_is_known_as_one()
    {
        var model = new TinyModel();
        model.Input("x", null, 32, 9, 9);
        model.Node("Conv", ["x", model.Weight("w", 32, 1, 3, 3)], "y", ("group", 32));

        Assert.True(OnlyLayerOf(model).IsDepthwise);
    }

    [Fact]
    public void A_Conv_of_one_input_channel_is_not_depthwise()
    {
        var model = new TinyModel();
        model.Input("x", null, 1, 9, 9);
        model.Node("Conv", ["x", model.Weight("w", 32, 1, 3, 3)], "y");

        Assert.False(OnlyLayerOf(model).IsDepthwise);
    }

    [Fact]
    public void A_Conv_whose_bias_is_computed_is_left_alone()
    {
        var model = new TinyModel();
        model.Input("x", null, 6, 9, 9);
        model.Input("b", 12);
        model.Node("Conv", ["x", model.Weight("w", 12, 6, 3, 3), "b"], "y");

        AssertLeftAlone(Find(model), "its bias 'b' is not constant");
    }

    [Fact]
    public void A_Conv_bias_of_another_length_is_an_error_that_names_the_node()
    {
        var model = new TinyModel();
        model.Input("x", null, 4, 9, 9);
        model.Node("Conv", ["x", model.Weight("w", 13, 4, 3, 3), model.Weight("b", 7)], "y");

        var e = Assert.Throws<ModelException>(() => Find(model));

        Assert.Contains("'y_node' (Conv)", e.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Groups_that_do_not_divide_the_channels_are_an_error_that_names_the_node()
    {
        var model = new TinyModel();
        model.Input("x", null, 8, 9, 9);
        model.Node("Conv", ["x", model.Weight("w", 13, 4, 3, 3)], "y", ("group", 2));

        var e = Assert.Throws<ModelException>(() => Find(model));

        Assert.Equal("node 'y_node' (Conv): 13 output channels cannot be split into 2 groups", e.Message);
    }

    [Fact]
    public void ConvTranspose_in_one_group()
    {
        var model = new TinyModel();
        model.Input("x", null, 12, 4, 5);
        model.Node("ConvTranspose", ["x", model.Weight("w", 12, 10, 3, 2), model.Weight("b", 10)], "y");

        var layer = OnlyLayerOf(model);

        Assert.Equal((LayerKind.ConvTranspose, 10, 72, 1, 6), (layer.Kind, layer.Out, layer.In, layer.Groups, layer.KernelSize));
        Assert.Equal(model.Graph.Initializer[0].ToFloats()[(7 * 10 + 3) * 6 + 5], layer.ReadWeight()[3, 7 * 6 + 5]);
        Assert.Equal(4 * (12 * 10 * 6 + 10), layer.Bytes);
        Assert.Equal(model.Graph.Initializer[0].ToFloats(), layer.OperandFor(layer.ReadWeight()));
        Assert.Equal(model.Graph.Initializer[0].ToFloats(), layer.Spread<float>(layer.ReadFloats(), 10));
    }

    [Fact]
    public void ConvTranspose_in_groups_is_a_constant()
    {
        var model = new TinyModel();
        model.Input("x", null, 12, 4, 5);
        model.Node("ConvTranspose", ["x", model.Weight("w", 12, 10, 3, 4)], "y", ("group", 2));

        var found = Find(model);

        Assert.Equal("a ConvTranspose in 2 groups", Assert.Single(found.LeftAlone).Reason);
        Assert.Equal(LayerKind.Constant, Assert.Single(found.Layers).Kind);
    }

    [Fact]
    public void Gather_of_an_embedding_table()
    {
        var model = TableModel();
        model.Node("Gather", ["table", "ids"], "y");
        model.Node("Gather", ["table", "ids"], "z");
        model.Outputs("y", "z");

        var layer = OnlyLayerOf(model);

        Assert.Equal((LayerKind.Gather, 12, 40, 1), (layer.Kind, layer.Out, layer.In, layer.Groups));
        Assert.Equal([("ids", "y"), ("ids", "z")], layer.Uses.Select(use => (use.Input, use.Output)));
        Assert.Equal(model.Graph.Initializer[0].ToFloats()[5 * 12 + 3], layer.ReadWeight()[3, 5]);
        Assert.Equal(4 * 40 * 12, layer.Bytes);
    }

    [Fact]
    public void Gathers_that_are_no_lookup_of_rows_are_left_alone()
    {
        var columns = TableModel();
        columns.Node("Gather", ["table", "ids"], "y", ("axis", 1));
        var integers = TableModel();
        integers.Tensor(TensorData.Create<short>("integers", DataType.Int16, new short[40 * 12], 40, 12));
        integers.Node("Gather", ["integers", "ids"], "y");
        var deep = TableModel();
        deep.Node("Gather", [deep.Weight("deep", 40, 3, 4), "ids"], "y");
        var output = TableModel();
        output.Node("Gather", ["table", "ids"], "y");
        output.Outputs("y", "table");
        var overridable = TableModel();
        overridable.Node("Gather", ["table", "ids"], "y");

        AssertLeftAlone(Find(columns), "it picks columns of its table, not rows");
        AssertLeftAlone(Find(integers), "its weight is int16: no floats");
        AssertLeftAlone(Find(deep), "its weight has rank 3");
        AssertLeftAlone(Find(output), "its weight 'table' is also a graph output");
        AssertLeftAlone(Find(overridable, listInitializers: true), "its weight 'table' is also a graph input, which a caller may override; --constant-inputs says that none does");
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public void An_Add_of_a_constant_belongs_to_the_layer_whatever_the_order(bool constantFirst)
    {
        var matMul = Model();
        matMul.Node("MatMul", ["x", matMul.Weight("w", 24, 16)], "y");
        matMul.Weight("b", 16);
        matMul.Node("Add", constantFirst ? ["b", "y"] : ["y", "b"], "z");
        var conv = new TinyModel();
        conv.Input("x", null, 6, 9, 9);
        conv.Node("Conv", ["x", conv.Weight("w", 16, 6, 3, 3)], "y");
        conv.Weight("b", 1, 16, 1, 1);
        conv.Node("Add", constantFirst ? ["b", "y"] : ["y", "b"], "z");

        Assert.All([matMul, conv], model =>
        {
            var use = OnlyLayerOf(model).Uses[0];
            Assert.Equal(("z", "Add"), (use.Output, Assert.Single(use.Absorbed).OpType));
            Assert.Equal(model.Graph.Initializer[1].ToFloats().Select(value => (double)value), use.Bias);
        });
    }

    [Theory]
    [InlineData("one per row", 5L, 16L)]
    [InlineData("one for all", 1L)]
    [InlineData("more axes", 1L, 1L, 16L)]
    public void An_Add_of_something_else_is_not_absorbed(string why, params long[] dims)
    {
        var model = Model();
        model.Node("MatMul", ["x", model.Weight("w", 24, 16)], "y");
        model.Node("Add", ["y", model.Weight("b", dims)], "z");

        var use = OnlyLayerOf(model).Uses[0];

        Assert.True(use.Output == "y" && use.Absorbed.Count == 0 && use.Bias == null, why);
    }

    [Fact]
    public void An_Add_behind_a_value_that_others_need_is_not_absorbed()
    {
        var readTwice = Model();
        readTwice.Node("MatMul", ["x", readTwice.Weight("w", 24, 16)], "y");
        readTwice.Node("Add", ["y", readTwice.Weight("b", 16)], "z");
        readTwice.Node("Mul", ["z", "y"], "out");
        var output = Model();
        output.Node("MatMul", ["x", output.Weight("w", 24, 16)], "y");
        output.Node("Add", ["y", output.Weight("b", 16)], "z");
        output.Outputs("y", "z");
        var twice = Model();
        twice.Node("MatMul", ["x", twice.Weight("w", 24, 16)], "y");
        twice.Node("Add", ["y", "y"], "z");

        Assert.All([readTwice, output, twice], model => Assert.Equal("y", OnlyLayerOf(model).Uses[0].Output));
    }

    [Fact]
    public void A_listed_bias_that_may_be_overridden_is_not_absorbed()
    {
        var model = Model(ir: 8);
        model.Node("MatMul", ["x", model.Weight("w", 24, 16)], "y");
        model.Node("Add", ["y", model.Weight("b", 16)], "z");
        model.Graph.Input.Add(TinyModel.Value("b", DataType.Float, 16));

        Assert.Equal("y", OnlyLayer(Find(model)).Uses[0].Output);
    }

    static TinyModel ConvWithNorm(int opset, (string, object)[] attributes, string[]? outputs = null)
    {
        var model = new TinyModel(opset);
        model.Input("x", null, 6, 9, 9);
        model.Node("Conv", ["x", model.Weight("w", 12, 6, 3, 3), model.Weight("b", 12)], "y");
        string[] inputs = ["y", model.Weight("gamma", 12), model.Weight("beta", 12), model.Weight("mean", 12), model.Floats("variance", [.. Enumerable.Range(1, 12).Select(i => 0.5f * i)], 12)];
        model.Node(TinyModel.Call("BatchNormalization", inputs, outputs ?? ["z"], attributes));
        model.Outputs("z");
        return model;
    }

    [Theory]
    [InlineData(7)]
    [InlineData(9)]
    [InlineData(14)]
    [InlineData(15)]
    [InlineData(20)]
    public void BatchNormalization_is_folded_into_weight_and_bias(int opset)
    {
        var model = ConvWithNorm(opset, [("epsilon", 0.25f)]);

        var layer = OnlyLayerOf(model);

        float[][] stored = [.. model.Graph.Initializer.Select(tensor => tensor.ToFloats())];
        for (int o = 0; o < 12; o++)
        {
            double scale = stored[2][o] / Math.Sqrt(stored[5][o] + 0.25);
            Assert.Equal(stored[0][o * 54 + 17] * scale, layer.ReadWeight()[o, 17], 1e-12);
            Assert.Equal(stored[3][o] + ((double)stored[1][o] - stored[4][o]) * scale, layer.Uses[0].Bias![o], 1e-12);
        }
        Assert.Equal("z", layer.Uses[0].Output);
    }

    [Fact]
    public void BatchNormalization_that_does_something_else_is_not_folded()
    {
        TinyModel[] models =
        [
            ConvWithNorm(15, [("training_mode", 1)], ["z", "running_mean", "running_var"]),
            ConvWithNorm(7, [("spatial", 0)]),
            ConvWithNorm(8, [], ["z", "running_mean"]),
        ];
        models[2].Outputs("running_mean");

        Assert.All(models, model => Assert.Equal("y", OnlyLayerOf(model).Uses[0].Output));
    }

    [Fact]
    public void What_a_Relu_or_Clip_makes_of_a_Conv_is_what_travels_in_8_bits()
    {
        foreach (string op in new[] { "Relu", "Clip", "Sigmoid" })
        {
            var model = ConvWithNorm(15, []);
            model.Graph.Output.Clear();
            model.Node(op, ["z"], "r");

            Assert.Equal(op == "Sigmoid" ? "z" : "r", OnlyLayerOf(model).Uses[0].Activation);
        }
    }
}
