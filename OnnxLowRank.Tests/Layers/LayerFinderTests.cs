using System.Text.RegularExpressions;
using OnnxLowRank.Layers;
using OnnxLowRank.Onnx;
using OnnxLowRank.Onnx.Proto;
using static OnnxLowRank.Onnx.Proto.TensorProto.Types;

namespace OnnxLowRank.Tests.Layers;

/// <summary>Which nodes are layers, and in whose words the others are left alone.</summary>
public class LayerFinderTests
{
    /// <summary>A model of x (?, 24), with whatever else a test adds.</summary>
    static TinyModel Model(int opset = 17, int ir = 8)
    {
        var model = new TinyModel(opset, ir);
        model.Input("x", null, 24);
        return model;
    }

    static FoundLayers Find(TinyModel model, LayerFilter? filter = null, bool? listInitializers = null)
    {
        if (model.Graph.Output.Count == 0)
        {
            model.Outputs(model.Graph.Node[^1].Output[0]);
        }
        return LayerFinder.Find(model.Build(listInitializers), filter ?? new());
    }

    static Layer OnlyLayer(FoundLayers found)
    {
        Assert.Empty(found.LeftAlone);
        return Assert.Single(found.Layers);
    }

    static void AssertLeftAlone(FoundLayers found, params string[] reasons)
    {
        Assert.Empty(found.Layers);
        Assert.Equal(reasons, found.LeftAlone.Select(alone => alone.Reason));
    }

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

    static Layer OnlyLayerOf(TinyModel model) => OnlyLayer(Find(model));

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

    [Theory]
    [InlineData("Constant")]
    [InlineData("Identity")]
    [InlineData("Transpose")]
    [InlineData("Transpose without perm")]
    [InlineData("Cast from float16")]
    [InlineData("Cast from float64")]
    [InlineData("Reshape")]
    [InlineData("Reshape with 0 and -1")]
    [InlineData("all of them")]
    public void A_weight_may_be_made_of_a_constant(string how)
    {
        var model = Model();
        float[] values = TinyModel.Random([24, 16], 1);
        float[] transposed = [.. Enumerable.Range(0, 24 * 16).Select(i => values[i % 24 * 16 + i / 24])];
        switch (how)
        {
            case "Constant":
                model.Node("Constant", [], "w", ("value", TensorData.Floats("", values, 24, 16)));
                break;
            case "Identity":
                model.Node("Identity", [model.Floats("stored", values, 24, 16)], "w");
                break;
            case "Transpose":
                model.Node("Transpose", [model.Floats("stored", transposed, 16, 24)], "w", ("perm", new long[] { 1, 0 }));
                break;
            case "Transpose without perm":
                model.Node("Transpose", [model.Floats("stored", transposed, 16, 24)], "w");
                break;
            case "Cast from float16":
                Half[] halves = Array.ConvertAll(values, value => (Half)value);
                values = Array.ConvertAll(halves, half => (float)half);
                model.Node("Cast", [model.Tensor(TensorData.Create<Half>("stored", DataType.Float16, halves, 24, 16))], "w", ("to", 1));
                break;
            case "Cast from float64":
                model.Node("Cast", [model.Tensor(TensorData.Create<double>("stored", DataType.Double, Array.ConvertAll(values, value => (double)value), 24, 16))], "w", ("to", 1));
                break;
            case "Reshape":
                model.Node("Reshape", [model.Floats("stored", values, 2, 12, 16), model.Ints("shape", 24, 16)], "w");
                break;
            case "Reshape with 0 and -1":
                model.Node("Reshape", [model.Floats("stored", values, 24, 4, 4), model.Ints("shape", 0, -1)], "w");
                break;
            default:
                model.Node("Constant", [], "stored", ("value", TensorData.Floats("", transposed, 4, 4, 24)));
                model.Node("Constant", [], "shape", ("value", TensorData.Int64s("", [-1, 24])));
                model.Node("Reshape", ["stored", "shape"], "flat");
                model.Node("Cast", ["flat"], "cast", ("to", 1));
                model.Node("Identity", ["cast"], "same");
                model.Node("Transpose", ["same"], "w");
                break;
        }
        model.Node("MatMul", ["x", "w"], "y");

        var layer = OnlyLayerOf(model);

        Assert.Equal((16, 24), (layer.Out, layer.In));
        Assert.All(Enumerable.Range(0, 24 * 16), i => Assert.Equal(values[i], layer.ReadWeight()[i % 16, i / 16]));
    }

    [Fact]
    public void A_Transpose_may_permute_any_axes()
    {
        var model = new TinyModel();
        model.Input("x", null, 5, 9, 9);
        model.Node("Transpose", [model.Weight("stored", 3, 2, 12, 5)], "w", ("perm", new long[] { 2, 3, 1, 0 })); // → (12, 5, 2, 3)
        model.Node("Conv", ["x", "w"], "y");

        var layer = OnlyLayerOf(model);

        Assert.Equal([12, 5, 2, 3], layer.Weight.Dims);
        // w[o, i, h, v] = stored[v, h, o, i], here o = 7, i = 4, h = 1, v = 2
        Assert.Equal(model.Graph.Initializer[0].ToFloats()[((2 * 2 + 1) * 12 + 7) * 5 + 4], layer.ReadWeight()[7, (4 * 2 + 1) * 3 + 2]);
    }

    [Fact]
    public void A_Reshape_counts_in_models_whose_constants_must_be_listed_as_inputs()
    {
        var model = Model(opset: 8, ir: 3);
        model.Node("Reshape", [model.Weight("stored", 2, 12, 16), model.Ints("shape", 24, 16)], "w");
        model.Node("MatMul", ["x", "w"], "y");

        Assert.Equal(24, OnlyLayerOf(model).In);
    }

    [Fact]
    public void A_weight_that_is_rounded_to_integers_on_its_way_is_left_alone()
    {
        var model = Model();
        model.Node("Cast", [model.Weight("stored", 24, 16)], "rounded", ("to", (int)DataType.Int32));
        model.Node("Cast", ["rounded"], "w", ("to", 1));
        model.Node("MatMul", ["x", "w"], "y");

        AssertLeftAlone(Find(model), "its weight is cast to int32, which rounds it");
    }

    /// <summary>π is 3.140625 in both.</summary>
    [Theory]
    [InlineData((int)DataType.Float16)]
    [InlineData((int)DataType.Bfloat16)]
    public void A_weight_that_goes_through_a_narrow_type_is_read_as_it_arrives(int type)
    {
        var model = Model();
        float[] values = new float[24 * 16];
        values[5 * 16 + 3] = MathF.PI;
        model.Node("Cast", [model.Floats("stored", values, 24, 16)], "rounded", ("to", type));
        model.Node("Cast", ["rounded"], "w", ("to", 1));
        model.Node("MatMul", ["x", "w"], "y");

        var layer = OnlyLayerOf(model);

        Assert.Equal(3.140625, layer.ReadWeight()[3, 5]);
        Assert.Equal((DataType.Float, (DataType)type, 2), (layer.Type, layer.StoredType, layer.BytesPerFloat));
    }

    [Theory]
    [InlineData((int)DataType.Float16, 2)]
    [InlineData((int)DataType.Bfloat16, 2)]
    [InlineData((int)DataType.Double, 8)]
    public void Weights_of_other_types_of_floats_are_layers(int type, int bytes)
    {
        var model = Model();
        float[] values = TinyModel.Random([24, 16], 1);
        model.Tensor(TensorData.Reals("w", (DataType)type, values, 24, 16));
        model.Tensor(TensorData.Reals("b", (DataType)type, values.AsSpan(0, 16), 16));
        model.Node("MatMul", ["x", "w"], "y");
        model.Node("Add", ["y", "b"], "z");

        var layer = OnlyLayerOf(model);

        Assert.Equal(((DataType)type, (DataType)type, bytes), (layer.Type, layer.StoredType, layer.BytesPerFloat));
        Assert.Equal(bytes * (24 * 16 + 16), layer.Bytes);
        Assert.Equal(values[5 * 16 + 3], layer.ReadWeight()[3, 5], 0.02);
    }

    [Fact]
    public void Weights_of_integers_are_left_alone()
    {
        var model = Model();
        model.Tensor(TensorData.Create<int>("w", DataType.Int32, new int[24 * 16], 24, 16));
        model.Node("MatMul", ["x", "w"], "y");

        AssertLeftAlone(Find(model), "its weight is int32: no floats");
    }

    [Fact]
    public void Activations_on_both_sides_are_left_alone_with_what_made_them()
    {
        var model = Model();
        model.Node("Relu", ["x"], "r");
        model.Node("MatMul", ["x", "r"], "y");
        model.Node("MatMul", ["r", "x"], "z");
        model.Outputs("y", "z");

        AssertLeftAlone(Find(model), "its weight is computed by 'r_node' (Relu)", "its weight 'x' is a graph input");
    }

    [Fact]
    public void Weights_of_another_rank_are_left_alone()
    {
        var model = Model();
        model.Node("MatMul", ["x", model.Weight("w3", 2, 24, 16)], "y");
        model.Node("MatMul", ["x", model.Weight("w1", 24)], "z");
        model.Outputs("y", "z");

        AssertLeftAlone(Find(model), "its weight has rank 3", "its weight has rank 1");
    }

    [Fact]
    public void Weights_too_small_to_matter_are_left_alone_with_their_shape()
    {
        var model = Model();
        model.Node("MatMul", ["x", model.Weight("w", 24, 5)], "y");

        var found = Find(model);

        AssertLeftAlone(found, "too small: its weight has 120 elements");
        Assert.Equal(("y_node", "MatMul", 480L), (found.LeftAlone[0].Name, found.LeftAlone[0].Op, found.LeftAlone[0].Bytes));
        Assert.Equal([24, 5], found.LeftAlone[0].Shape);
    }

    [Fact]
    public void An_empty_weight_is_left_alone()
    {
        var model = new TinyModel();
        model.Input("x", null, 0);
        model.Node("MatMul", ["x", model.Weight("w", 0, 16)], "y");

        AssertLeftAlone(Find(model), "its weight is empty");
    }

    [Fact]
    public void A_weight_that_is_also_a_graph_output_is_left_alone()
    {
        var model = Model();
        model.Node("MatMul", ["x", model.Weight("w", 24, 16)], "y");
        model.Outputs("y", "w");

        AssertLeftAlone(Find(model), "its weight 'w' is also a graph output");
    }

    [Fact]
    public void A_weight_whose_view_is_a_graph_output_is_left_alone()
    {
        var model = Model();
        model.Node("Transpose", [model.Weight("w", 16, 24)], "t");
        model.Node("MatMul", ["x", "t"], "y");
        model.Outputs("y", "t");

        AssertLeftAlone(Find(model), "its weight 'w' is also used by 't_node' (Transpose)");
    }

    [Fact]
    public void A_weight_that_something_else_reads_is_left_alone()
    {
        var gather = Model();
        gather.Node("MatMul", ["x", gather.Weight("w", 24, 16)], "y");
        gather.Node("Gather", ["w", gather.Ints("i", 0)], "row");
        gather.Outputs("y", "row");
        var subgraph = Model();
        subgraph.Node("MatMul", ["x", subgraph.Weight("w", 24, 16)], "y");
        subgraph.Tensor(TensorData.Create<byte>("condition", DataType.Bool, [1]));
        subgraph.Node("If", ["condition"], "row", ("then_branch", Branch("Relu", "w")), ("else_branch", Branch("Neg", "w")));
        subgraph.Outputs("y", "row");

        AssertLeftAlone(Find(gather, new(Only: new("y"))), "not selected by --only", "its weight 'w' is also used by 'row_node' (Gather)");
        AssertLeftAlone(Find(subgraph), "its weight 'w' is also used by 'row_node' (If)");
    }

    /// <summary>A model of int64 ids (?, 5) and a float table (40, 12).</summary>
    static TinyModel TableModel()
    {
        var model = new TinyModel();
        model.Graph.Input.Add(TinyModel.Value("ids", DataType.Int64, null, 5));
        model.Weight("table", 40, 12);
        return model;
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

    [Fact]
    public void Gathers_of_no_table_are_no_layers()
    {
        var model = Model();
        model.Node("Gather", [model.Node("Shape", ["x"], "shape"), model.Ints("first", 0)], "size");
        model.Node("Gather", [model.Ints("list", 3, 4, 5), "size"], "entry");
        model.Node("Gather", ["x", "first"], "row");
        model.Outputs("entry", "row");

        AssertLeftAlone(Find(model));
    }

    [Fact]
    public void A_table_that_is_the_head_too_is_left_alone()
    {
        var model = TableModel();
        model.Node("Gather", ["table", "ids"], "y");
        model.Node("Transpose", ["table"], "t");
        model.Node("MatMul", ["y", "t"], "z");

        AssertLeftAlone(Find(model),
            "its weight 'table' is also used by 'z_node' (MatMul): the table and the product would each need a copy",
            "its weight 'table' is also used by 'y_node' (Gather): the table and the product would each need a copy");
    }

    [Fact]
    public void A_large_constant_that_is_added_is_a_layer_of_its_own()
    {
        var model = Model();
        model.Node("Add", ["x", model.Weight("positions", 2, 30, 24)], "y");

        var layer = OnlyLayerOf(model);

        Assert.Equal(("positions", LayerKind.Constant, 24, 60), (layer.Name, layer.Kind, layer.Out, layer.In));
        Assert.Equal(model.Graph.Initializer[0].ToFloats()[(5 * 24) + 3], layer.ReadWeight()[3, 5]);
    }

    [Fact]
    public void A_weight_that_cannot_be_rewritten_where_it_is_used_is_still_a_constant()
    {
        var model = Model();
        model.Node("MatMul", ["x", model.Weight("w", 3, 24, 32)], "y");

        var found = Find(model);

        Assert.Equal("its weight has rank 3", Assert.Single(found.LeftAlone).Reason);
        Assert.Equal(("w", LayerKind.Constant), (Assert.Single(found.Layers).Name, found.Layers[0].Kind));
    }

    public static TheoryData<string> OtherConstants => ["small", "infinite", "huge", "vector", "output", "input", "skipped", "bias", "unused"];

    [Theory, MemberData(nameof(OtherConstants))]
    public void Other_constants_are_left_alone(string why)
    {
        var model = Model();
        float[] values = TinyModel.Random([60 * 24], 3);
        values[7] = why switch { "infinite" => float.NegativeInfinity, "huge" => -1e20f, _ => 0 };
        string constant = why switch
        {
            "small" => model.Weight("c", 42, 24),
            "vector" => model.Weight("c", 2400),
            "bias" => model.Weight("c", 1, 1440),
            _ => model.Floats("c", values, 60, 24),
        };
        if (why == "bias")
        {
            model.Node("Gemm", ["x", model.Weight("w", 24, 1440), constant], "y");
        }
        else
        {
            model.Node(why == "unused" ? "Relu" : "Add", why == "unused" ? ["x"] : ["x", constant], "y");
        }
        model.Outputs(why == "output" ? ["y", "c"] : ["y"]);

        var found = Find(model, new(Skip: why == "skipped" ? new("y_node") : null), listInitializers: why == "input");

        Assert.DoesNotContain(found.Layers, layer => layer.Kind == LayerKind.Constant);
    }

    static GraphProto Branch(string op, params string[] inputs) => new()
    {
        Name = op,
        Node = { TinyModel.Call(op, inputs, [op + "_y"]) },
        Output = { TinyModel.Value(op + "_y", DataType.Float, null) },
    };

    [Fact]
    public void Weights_inside_subgraphs_and_functions_are_left_alone()
    {
        var model = Model();
        model.Weight("w", 24, 16);
        model.Tensor(TensorData.Create<byte>("condition", DataType.Bool, [1]));
        model.Node("If", ["condition"], "out", ("then_branch", Branch("MatMul", "x", "w")), ("else_branch", Branch("Conv", "x", "w")));
        model.Outputs("out");
        var built = model.Build();
        built.Proto.Functions.Add(new FunctionProto { Name = "mine", Node = { TinyModel.Call("Gemm", ["a", "b"], ["c"]) } });

        AssertLeftAlone(LayerFinder.Find(built, new()),
            "its values are inside a body of 'out_node' (If), where nothing can be measured",
            "its values are inside a body of 'out_node' (If), where nothing can be measured",
            "it is inside the model's function 'mine'");
    }

    [Fact]
    public void A_large_weight_that_a_subgraph_reads_is_a_constant()
    {
        var model = Model();
        model.Weight("w", 24, 64);
        model.Tensor(TensorData.Create<byte>("condition", DataType.Bool, [1]));
        model.Node("If", ["condition"], "out", ("then_branch", Branch("MatMul", "x", "w")), ("else_branch", Branch("Identity", "w")));

        var found = Find(model);

        Assert.Equal(("w", LayerKind.Constant), (Assert.Single(found.Layers).Name, found.Layers[0].Kind));
        var alone = Assert.Single(found.LeftAlone);
        Assert.Equal(("MatMul_y_node", 0), (alone.Name, alone.Bytes));
        Assert.EndsWith("where nothing can be measured; what it reads as 'w' may be stored smaller and is run as it is", alone.Reason);
    }

    [Theory]
    [InlineData("LSTM", "", "its products are steps of a recurrence inside the operator; what it reads as 'w' may be stored smaller and is run as it is")]
    [InlineData("Einsum", "", "an equation, which no rule rewrites; what it reads as 'w' may be stored smaller and is run as it is")]
    [InlineData("FusedMatMul", "com.microsoft", "an operator of ONNX Runtime alone, which no rule rewrites; a model that was not optimized by ONNX Runtime has standard ones in its place; what it reads as 'w' may be stored smaller and is run as it is")]
    [InlineData("Attention", "com.microsoft", "an operator of ONNX Runtime alone, which no rule rewrites; a model that was not optimized by ONNX Runtime has standard ones in its place; what it reads as 'w' may be stored smaller and is run as it is")]
    [InlineData("Mine", "org.example", "an operator of the domain org.example, which no rule rewrites; what it reads as 'w' may be stored smaller and is run as it is")]
    public void Other_operators_say_why_they_stay(string op, string domain, string reason)
    {
        var model = Model();
        var node = TinyModel.Call(op, ["x", model.Weight("w", 24, 64)], ["y"]);
        node.Domain = domain;
        model.Node(node);

        var found = Find(model);

        Assert.Equal(LayerKind.Constant, Assert.Single(found.Layers).Kind);
        var alone = Assert.Single(found.LeftAlone);
        Assert.Equal((op, reason, 0), (alone.Op, alone.Reason, alone.Bytes));
        Assert.Equal([24, 64], alone.Shape);
    }

    [Theory]
    [InlineData("MatMulInteger", "")]
    [InlineData("QLinearConv", "")]
    [InlineData("MatMulNBits", "com.microsoft")]
    [InlineData("QAttention", "com.microsoft")]
    [InlineData("DynamicQuantizeMatMul", "com.microsoft")]
    public void Quantized_operators_are_left_alone(string op, string domain)
    {
        var model = Model();
        model.Tensor(TensorData.Create<byte>("w", DataType.Uint8, new byte[24 * 64], 24, 64));
        var node = TinyModel.Call(op, ["x", "w"], ["y"]);
        node.Domain = domain;
        model.Node(node);

        AssertLeftAlone(Find(model), "already quantized");
        Assert.Equal(24 * 64, Find(model).LeftAlone[0].Bytes);
    }

    [Fact]
    public void A_weight_in_8_bits_behind_DequantizeLinear_is_quantized_already()
    {
        var model = Model();
        model.Tensor(TensorData.Create<sbyte>("w8", DataType.Int8, new sbyte[24 * 64], 24, 64));
        model.Node("DequantizeLinear", ["w8", model.Floats("scale", [0.1f])], "w");
        model.Node("MatMul", ["x", "w"], "y");

        AssertLeftAlone(Find(model), "its weight 'w8' is quantized to int8 already");
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
    public void A_function_that_stays_says_why()
    {
        var model = Model();
        model.Node("Relu", ["x"], "y");
        model.Outputs("y");
        var built = model.Build();
        built.Proto.Functions.Add(new FunctionProto { Name = "mine", Domain = "org.example", Node = { TinyModel.Call("Gemm", ["a", "b"], ["c"]) }, OpsetImport = { new OperatorSetIdProto { Version = 11 } } });

        AssertLeftAlone(LayerFinder.Find(Flattened.Of(built), new()), "it is inside the model's function 'mine': it is written for opset 11, the model for 17");
    }

    [Fact]
    public void Operators_of_other_domains_with_these_names_are_not_layers()
    {
        var model = Model();
        var node = TinyModel.Call("MatMul", ["x", model.Weight("w", 24, 16)], ["y"]);
        node.Domain = "org.example";
        model.Node(node);

        AssertLeftAlone(Find(model), "an operator of the domain org.example, which no rule rewrites");
    }

    [Fact]
    public void Uses_of_one_weight_that_agree_are_one_layer()
    {
        var model = Model();
        model.Input("u", null, 24);
        model.Node("Transpose", [model.Weight("w", 16, 24)], "t");
        model.Node("MatMul", ["x", "t"], "y");
        model.Node("Add", ["y", model.Weight("b", 16)], "z");
        model.Node("Transpose", ["w"], "t2");
        model.Node("MatMul", ["u", "t2"], "v");
        model.Outputs("z", "v");

        var layer = OnlyLayerOf(model);

        Assert.Equal(["z", "v"], layer.Uses.Select(use => use.Output));
        Assert.Equal(("y_node", 4 * (24 * 16 + 16)), (layer.Name, layer.Bytes));
    }

    public static TheoryData<string> Disagreements => ["alpha", "kind", "side", "transposition", "strides", "norm", "addend"];

    [Theory, MemberData(nameof(Disagreements))]
    public void Uses_that_disagree_are_left_alone(string about)
    {
        var model = new TinyModel();
        model.Weight("w", about is "strides" or "norm" ? [12, 12, 3, 2] : [24, 24]);
        model.Input("x", about is "strides" or "norm" ? [null, 12, 9, 9] : [null, 24]);
        model.Node(about is "alpha" or "kind" or "addend" ? "Gemm" : about is "strides" or "norm" ? "Conv" : "MatMul", ["x", "w"], "y");
        switch (about)
        {
            case "alpha":
                model.Node("Gemm", ["x", "w"], "z", ("alpha", 2f));
                break;
            case "kind":
                model.Node("MatMul", ["x", "w"], "z");
                break;
            case "side":
                model.Node("MatMul", ["w", "x"], "z");
                break;
            case "transposition":
                model.Node("Transpose", ["w"], "t");
                model.Node("MatMul", ["x", "t"], "z");
                break;
            case "strides":
                model.Node("Conv", ["x", "w"], "z", ("strides", new long[] { 2, 2 }));
                break;
            case "norm":
                model.Node("Conv", ["x", "w"], "c");
                model.Node("BatchNormalization", ["c", model.Weight("g", 12), model.Weight("b", 12), model.Weight("m", 12), model.Floats("v", [.. Enumerable.Repeat(1f, 12)], 12)], "z");
                break;
            default:
                model.Node("Gemm", ["x", "w", "x"], "z");
                break;
        }
        model.Outputs("y", "z");

        string reason = "its weight 'w' is shared by 2 nodes that apply it differently";
        AssertLeftAlone(Find(model), reason, reason);
    }

    [Fact]
    public void Before_IR_4_a_listed_initializer_is_constant()
    {
        var model = Model(ir: 3);
        model.Node("Gemm", ["x", model.Weight("w", 24, 16), model.Weight("c", 16)], "y");

        Assert.NotNull(OnlyLayer(Find(model, listInitializers: true)).Uses[0].Bias);
    }

    [Fact]
    public void From_IR_4_on_a_listed_initializer_may_be_overridden()
    {
        var model = Model(ir: 4);
        model.Node("MatMul", ["x", model.Weight("w", 24, 16)], "y");

        AssertLeftAlone(Find(model, listInitializers: true),
            "its weight 'w' is also a graph input, which a caller may override; --constant-inputs says that none does");
    }

    [Fact]
    public void Constant_inputs_says_that_listed_initializers_are_constant()
    {
        var model = Model(ir: 8);
        model.Node("MatMul", ["x", model.Weight("w", 24, 16)], "y");

        OnlyLayer(Find(model, new(ConstantInputs: true), listInitializers: true));
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

    [Fact]
    public void Only_and_skip_choose_by_name()
    {
        static TinyModel Two()
        {
            var model = Model();
            model.Node("MatMul", ["x", model.Weight("w1", 24, 24)], "a");
            model.Node("MatMul", ["a", model.Weight("w2", 24, 24)], "b");
            return model;
        }

        var only = Find(Two(), new(Only: new Regex("^a")));
        var skip = Find(Two(), new(Skip: new Regex("^a")));

        Assert.Equal(("a_node", "not selected by --only"), (only.Layers.Single().Name, only.LeftAlone.Single().Reason));
        Assert.Equal(("b_node", "excluded by --skip"), (skip.Layers.Single().Name, skip.LeftAlone.Single().Reason));
    }

    [Fact]
    public void Models_of_an_opset_too_old_to_edit_are_left_alone()
    {
        var model = Model(opset: 6);
        model.Node("MatMul", ["x", model.Weight("w", 24, 16)], "y");

        AssertLeftAlone(Find(model), "the model's opset 6 is older than 7, and the model uses operators that were defined otherwise before it");
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
    public void A_Conv_bias_of_another_length_is_an_error_that_names_the_node()
    {
        var model = new TinyModel();
        model.Input("x", null, 4, 9, 9);
        model.Node("Conv", ["x", model.Weight("w", 13, 4, 3, 3), model.Weight("b", 7)], "y");

        var e = Assert.Throws<ModelException>(() => Find(model));

        Assert.Contains("'y_node' (Conv)", e.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Layers_without_names_are_called_after_their_output()
    {
        var model = Model();
        var node = TinyModel.Call("MatMul", ["x", model.Weight("w", 24, 16)], ["y"]);
        node.ClearName();
        model.Node(node);

        Assert.Equal("y", OnlyLayerOf(model).Name);
    }
}
