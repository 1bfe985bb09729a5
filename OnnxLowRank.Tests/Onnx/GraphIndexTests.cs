using OnnxLowRank.Onnx;
using OnnxLowRank.Onnx.Proto;
using OnnxLowRank.Tests.Samples;

namespace OnnxLowRank.Tests.Onnx;

public class GraphIndexTests
{
    static NodeProto Nested(string reads) => TinyModel.Call("Loop", [], ["outer"], ("body", new GraphProto
    {
        Node =
        {
            TinyModel.Call("Relu", ["own"], ["inner"]),
            TinyModel.Call("If", ["inner"], ["deep"], ("then_branch", new GraphProto { Node = { TinyModel.Call("Add", [reads, "inner"], ["z"]) } })),
        },
        Input = { TinyModel.Value("own", TensorProto.Types.DataType.Float, 1) },
        Initializer = { TensorData.Scalar("stored", 1) },
        Output = { TinyModel.Value("seen", TensorProto.Types.DataType.Float, 1), TinyModel.Value("stored", TensorProto.Types.DataType.Float, 1) },
    }));

    [Fact]
    public void What_subgraphs_read_from_outside_is_known_at_any_depth()
    {
        Assert.Equal(["outside", "seen"], GraphIndex.Captured(Nested("outside")).Order(StringComparer.Ordinal));
    }

    [Fact]
    public void Producers_readers_inputs_and_outputs_are_known()
    {
        var model = new TinyModel();
        model.Input("x", null, 4);
        model.Node("Add", ["x", "x"], "a");
        model.Node("Mul", ["a", model.Weight("w", 4)], "b");
        model.Node(Nested("a"));
        model.Outputs("b");

        var index = new GraphIndex(model.Graph);

        Assert.Equal("Add", index.Producer("a")?.OpType);
        Assert.Null(index.Producer("x"));
        Assert.Equal(["Mul", "Loop"], index.Readers("a").Select(node => node.OpType));
        Assert.Single(index.Readers("x")); // once, though it reads it twice
        Assert.Equal((true, false, true, false), (index.IsInput("x"), index.IsInput("w"), index.IsOutput("b"), index.IsOutput("a")));
        Assert.Equal("w", index.Initializer("w")?.Name);
        Assert.Equal("Mul", index.OnlyReader("w")?.OpType);
        Assert.Null(index.OnlyReader("a"));
        Assert.Null(index.OnlyReader("b"));
    }

    [Fact]
    public void A_graph_output_that_one_node_reads_has_no_only_reader()
    {
        var model = new TinyModel();
        model.Input("x", null, 4);
        model.Node("Relu", ["x"], "a");
        model.Node("Neg", ["a"], "b");
        model.Outputs("a", "b");

        Assert.Null(new GraphIndex(model.Graph).OnlyReader("a"));
    }

    [Fact]
    public void Facts_about_a_model_file()
    {
        using var folder = new TempFolder();
        var model = new TinyModel();
        model.Input("x", null, 4);
        model.Node("Mul", ["x", model.Weight("w", 4)], "a");
        model.Node("Constant", [], "c", ("value", TensorData.Floats("", [1, 2], 2)));
        model.Node("Mul", ["a", "c"], "b");
        model.Outputs("b");
        var built = model.Build();
        string path = folder.File("abc", "abc"u8.ToArray());

        Assert.Equal(6, ModelFiles.Parameters(built));
        Assert.Equal(["Constant 1", "Mul 2"], ModelFiles.Operators(built.Graph).Select(pair => $"{pair.Key} {pair.Value}"));
        Assert.Equal("ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad", ModelFiles.Sha256(path));
        Assert.Equal(3, ModelFiles.Bytes(path, built));
    }

    /// <summary>Through values that only a subgraph reads, too.</summary>
    [Fact]
    public void What_a_value_depends_on_and_what_depends_on_it_is_known()
    {
        var model = new TinyModel();
        model.Input("x", null, 4);
        model.Node("Tanh", ["x"], "a");
        model.Node("Relu", ["a"], "seen");
        model.Node(Nested("a"));
        model.Node("Neg", ["x"], "aside");
        model.Outputs("outer", "aside");
        var index = new GraphIndex(model.Graph);

        Assert.Equal(["a", "outer", "seen"], Names(index.Ancestors(["outer"])));
        Assert.Equal(["aside"], Names(index.Ancestors(["aside", "x"])));
        Assert.Equal(["outer", "seen"], Names(index.Descendants(["a"])));
        Assert.Equal(["a", "aside", "outer", "seen"], Names(index.Descendants(["x"])));
        Assert.Empty(index.Descendants(["outer"]));
    }

    static IEnumerable<string> Names(IEnumerable<NodeProto> nodes) => nodes.Select(node => node.Output[0]).Order(StringComparer.Ordinal);
}
