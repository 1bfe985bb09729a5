using OnnxLowRank.Onnx;
using OnnxLowRank.Onnx.Proto;

namespace OnnxLowRank.Tests.Onnx;

public class GraphOrderTests
{
    /// <summary>Nodes "Op input… > output…", inputs x and w.</summary>
    static GraphProto Graph(string output, params string[] nodes)
    {
        var graph = new GraphProto
        {
            Input = { TinyModel.Value("x", TensorProto.Types.DataType.Float, 1) },
            Output = { TinyModel.Value(output, TensorProto.Types.DataType.Float, 1) },
            Initializer = { TensorData.Scalar("w", 1) },
        };
        foreach (string node in nodes)
        {
            string[] sides = node.Split(" > "), call = sides[0].Split(' ');
            graph.Node.Add(TinyModel.Call(call[0], [.. call[1..].Select(input => input == "_" ? "" : input)], sides[1].Split(' ')));
        }
        return graph;
    }

    static string Order(GraphProto graph) => string.Join(' ', GraphOrder.Sorted(graph).Select(node => node.Output[0]));

    [Fact]
    public void An_order_that_is_right_is_kept()
    {
        Assert.Equal("b a c", Order(Graph("c", "Relu x > b", "Relu w > a", "Add a b > c")));
    }

    [Fact]
    public void Nodes_come_after_what_they_read()
    {
        Assert.Equal("a b c d", Order(Graph("d", "Add b c > d", "Add a b > c", "Relu a > b", "Clip x _ > a")));
        Assert.Equal("a b c", Order(Graph("c", "Relu b > c", "Relu a > b", "Relu x > a")));
    }

    [Fact]
    public void Nodes_come_after_what_their_subgraphs_read()
    {
        var graph = Graph("d", "If w > d", "Relu x > a");
        graph.Node[0].Attribute.Add(new AttributeProto { Name = "then_branch", G = new() { Node = { TinyModel.Call("Neg", ["a"], ["inner"]) }, Output = { TinyModel.Value("inner", TensorProto.Types.DataType.Float, 1) } } });

        Assert.Equal("a d", Order(graph));
    }

    [Theory]
    [InlineData("nodes form a cycle through 'a_node' (Relu) and 'a'", "Relu b > a", "Relu a > b")]
    [InlineData("nodes form a cycle through 'a_node' (Add) and 'a'", "Add a x > a")]
    [InlineData("node 'a_node' (Neg) defines 'a', which is defined already", "Relu x > a", "Neg x > a")]
    [InlineData("node 'x_node' (Relu) defines 'x', which is defined already", "Relu x > x", "Relu x > a")]
    [InlineData("node 'w_node' (Relu) defines 'w', which is defined already", "Relu x > w", "Relu x > a")]
    [InlineData("node 'b_node' (Split) defines 'b', which is defined already", "Split x > b b", "Relu b > a")]
    [InlineData("node 'a_node' (Relu) reads 'nothing', which nothing defines", "Relu nothing > a")]
    [InlineData("graph output 'a' is defined by no node", "Relu x > b")]
    public void What_is_wrong_is_named(string message, params string[] nodes)
    {
        var e = Assert.Throws<ModelException>(() => GraphOrder.Check(Graph("a", nodes)));

        Assert.Equal(message, e.Message);
    }

    [Fact]
    public void Inputs_and_initializers_have_a_name_of_their_own()
    {
        var inputs = Graph("a", "Relu x > a");
        inputs.Input.Add(inputs.Input[0].Clone());
        var initializers = Graph("a", "Relu x > a");
        initializers.Initializer.Add(TensorData.Scalar("w", 2));
        var sparse = Graph("a", "Relu x > a");
        sparse.SparseInitializer.Add(new SparseTensorProto { Values = new() { Name = "w" } });

        Assert.Equal("graph input 'x' is defined twice", Assert.Throws<ModelException>(() => GraphOrder.Check(inputs)).Message);
        Assert.Equal("initializer 'w' is defined twice", Assert.Throws<ModelException>(() => GraphOrder.Check(initializers)).Message);
        Assert.Equal("initializer 'w' is defined twice", Assert.Throws<ModelException>(() => GraphOrder.Check(sparse)).Message);
    }

    [Fact]
    public void A_graph_output_may_be_an_input_or_an_initializer()
    {
        GraphOrder.Check(Graph("x", "Relu x > a"));
        GraphOrder.Check(Graph("w", "Relu x > a"));
    }

    [Fact]
    public void A_long_chain_does_not_overflow_the_stack()
    {
        string[] nodes = [.. Enumerable.Range(0, 100_000).Select(i => $"Relu {(i == 0 ? "x" : $"v{i - 1}")} > v{i}").Reverse()];

        Assert.Equal("v99999", GraphOrder.Sorted(Graph("v99999", nodes))[^1].Output[0]);
    }

    [Fact]
    public void Sparse_initializers_define_their_values_name_in_subgraphs_too()
    {
        var graph = Graph("a", "Relu sparse > a");
        graph.SparseInitializer.Add(new SparseTensorProto { Values = new() { Name = "sparse" } });
        var body = new GraphProto { Node = { TinyModel.Call("Neg", ["inside"], ["inner"]) }, SparseInitializer = { new SparseTensorProto { Values = new() { Name = "inside" } } } };
        graph.Node[0].Attribute.Add(new AttributeProto { Name = "body", G = body });

        GraphOrder.Check(graph);
    }
}
