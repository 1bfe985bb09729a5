using OnnxLowRank.Layers;
using OnnxLowRank.Runtime;

namespace OnnxLowRank.Tests.Layers;

/// <summary>Where the output of the layer "y_node" goes.</summary>
public class DownstreamTests
{
    const int In = 24, Out = 32;

    /// <summary>y = Gemm(x, w).</summary>
    static TinyModel Dense()
    {
        var model = new TinyModel();
        model.Input("x", null, In);
        model.Node("Gemm", ["x", model.Weight("w", In, Out), model.Weight("b", Out)], "y");
        return model;
    }

    /// <summary>y = Conv(x, w) with 32 channels of 8 × 8.</summary>
    static TinyModel Convolution()
    {
        var model = new TinyModel();
        model.Input("x", null, 8, 8, 8);
        model.Node("Conv", ["x", model.Weight("w", Out, 8, 3, 3), model.Weight("b", Out)], "y", ("pads", new long[] { 1, 1, 1, 1 }));
        return model;
    }

    static Downstream? Of(TinyModel tiny, string output = "z")
    {
        tiny.Outputs(output);
        var model = tiny.Build();
        ModelSession.Open(model, Device.Cpu, threads: 1).Dispose(); // it is valid
        var layers = LayerFinder.Find(model, new()).Layers;
        return Downstream.Find(model.Graph, layers).GetValueOrDefault(layers.Single(layer => layer.Name == "y_node"));
    }

    static void AssertReadBy(Downstream? found, bool isGated, params string[] readers)
    {
        Assert.NotNull(found);
        Assert.Equal(readers, found.Readers.Select(reader => reader.Name));
        Assert.Equal(isGated, found.IsGated);
    }

    [Fact]
    public void The_next_layer_reads_it()
    {
        var model = Dense();
        model.Node("Gemm", ["y", model.Weight("w2", Out, In)], "z");

        AssertReadBy(Of(model), isGated: false, "z_node");
    }

    [Theory]
    [InlineData("Relu", true)]
    [InlineData("LeakyRelu", true)]
    [InlineData("Tanh", false)]
    public void Through_an_activation_function(string function, bool isGated)
    {
        var model = Dense();
        model.Node(function, ["y"], "a");
        model.Node("Gemm", ["a", model.Weight("w2", Out, In)], "z");

        AssertReadBy(Of(model), isGated, "z_node");
    }

    [Fact]
    public void Through_GELU_in_pieces()
    {
        var model = Dense();
        model.Node("Div", ["y", model.Floats("root2", [1.41421356f], 1)], "scaled");
        model.Node("Erf", ["scaled"], "erf");
        model.Node("Add", ["erf", model.Floats("one", [1])], "sum");
        model.Node("Mul", ["y", "sum"], "product");
        model.Node("Mul", ["product", model.Floats("half", [0.5f])], "a");
        model.Node("Gemm", ["a", model.Weight("w2", Out, In)], "z");

        AssertReadBy(Of(model), isGated: true, "z_node");
    }

    [Fact]
    public void By_several_layers()
    {
        var model = Dense();
        model.Node("Relu", ["y"], "a");
        model.Node("Gemm", ["a", model.Weight("w2", Out, In)], "p");
        model.Node("Gemm", ["a", model.Weight("w3", Out, In)], "q");
        model.Node("Add", ["p", "q"], "z");

        AssertReadBy(Of(model), isGated: true, "p_node", "q_node");
    }

    [Fact]
    public void By_a_convolution_behind_pooling()
    {
        var model = Convolution();
        model.Node("Relu", ["y"], "a");
        model.Node("MaxPool", ["a"], "p", ("kernel_shape", new long[] { 2, 2 }), ("strides", new long[] { 2, 2 }));
        model.Node("Conv", ["p", model.Weight("w2", In, Out, 3, 3)], "z");

        AssertReadBy(Of(model), isGated: true, "z_node");
    }

    [Fact]
    public void By_a_product_that_reads_every_position_of_a_channel_in_a_row()
    {
        var model = Convolution();
        model.Node("Flatten", ["y"], "a");
        model.Node("Gemm", ["a", model.Weight("w2", Out * 64, In)], "z");

        AssertReadBy(Of(model), isGated: false, "z_node");
    }

    [Fact]
    public void Not_where_channels_come_last_among_the_positions_that_are_read()
    {
        var model = Convolution();
        model.Node("Transpose", ["y"], "t", ("perm", new long[] { 0, 2, 3, 1 }));
        model.Node("Flatten", ["t"], "a");
        model.Node("Gemm", ["a", model.Weight("w2", Out * 64, In)], "z");

        Assert.Null(Of(model));
    }

    [Fact]
    public void Not_where_the_model_outputs_it()
    {
        var model = Dense();
        model.Node("Gemm", ["y", model.Weight("w2", Out, In)], "z");
        model.Outputs("y");

        Assert.Null(Of(model));
    }

    [Fact]
    public void Not_where_something_else_is_added()
    {
        var model = Dense();
        model.Node("Add", ["y", model.Input("other", null, Out)], "sum");
        model.Node("Gemm", ["sum", model.Weight("w2", Out, In)], "z");

        Assert.Null(Of(model));
    }

    [Fact]
    public void Not_where_channels_are_weighted()
    {
        var model = Dense();
        model.Node("Relu", ["y"], "a");
        model.Node("Mul", ["a", model.Weight("gamma", Out)], "scaled");
        model.Node("Gemm", ["scaled", model.Weight("w2", Out, In)], "z");

        Assert.Null(Of(model));
    }

    [Fact]
    public void Not_through_operators_that_mix_channels()
    {
        var model = Dense();
        model.Node("Softmax", ["y"], "a");
        model.Node("Gemm", ["a", model.Weight("w2", Out, In)], "z");

        Assert.Null(Of(model));
    }

    [Fact]
    public void Not_where_a_convolution_in_groups_reads_it()
    {
        var model = Convolution();
        model.Node("Conv", ["y", model.Weight("w2", Out, 4, 3, 3)], "z", ("group", Out / 4));

        Assert.Null(Of(model));
    }

    [Fact]
    public void Not_where_the_weight_is_used_twice()
    {
        var model = new TinyModel();
        model.Input("x", null, In);
        model.Weight("w", In, In);
        model.Node("MatMul", ["x", "w"], "y");
        model.Node("Relu", ["y"], "a");
        model.Node("MatMul", ["a", "w"], "z");

        Assert.Null(Of(model));
    }
}
