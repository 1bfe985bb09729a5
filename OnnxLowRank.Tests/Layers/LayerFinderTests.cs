using System.Text.RegularExpressions;
using OnnxLowRank.Layers;
using OnnxLowRank.Onnx;
using OnnxLowRank.Onnx.Proto;
using static OnnxLowRank.Onnx.Proto.TensorProto.Types;
using static OnnxLowRank.Tests.Layers.Finding;

namespace OnnxLowRank.Tests.Layers;

/// <summary>Which nodes are layers, and in whose words the others are left alone.</summary>
public class LayerFinderTests
{
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
    public void Layers_without_names_are_called_after_their_output()
    {
        var model = Model();
        var node = TinyModel.Call("MatMul", ["x", model.Weight("w", 24, 16)], ["y"]);
        node.ClearName();
        model.Node(node);

        Assert.Equal("y", OnlyLayerOf(model).Name);
    }
}
