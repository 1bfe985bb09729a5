using OnnxLowRank.Onnx;
using OnnxLowRank.Onnx.Proto;

namespace OnnxLowRank.Tests.Onnx;

public class NodeArityTests
{
    static GraphProto Graph(string op, string[] inputs, string[] outputs, string domain = "") => new() { Node = { NodeAttributes.Create(op, "n", inputs, outputs, domain) } };

    [Theory]
    [InlineData("MatMul", "a")]
    [InlineData("MatMul", "", "a")]
    [InlineData("Gemm", "a")]
    [InlineData("Conv", "a", "")]
    [InlineData("Gather")]
    [InlineData("Add", "a")]
    [InlineData("Identity")]
    [InlineData("Reshape", "")]
    [InlineData("BatchNormalization", "a", "b", "c", "d")]
    public void A_node_without_what_it_works_on_is_refused(string op, params string[] inputs)
    {
        string message = Assert.Throws<ModelException>(() => NodeArity.Check(Graph(op, inputs, ["y"]))).Message;

        Assert.StartsWith($"node 'n' ({op}) lacks an input: it needs ", message, StringComparison.Ordinal);
    }

    [Fact]
    public void A_node_without_an_output_is_refused()
    {
        Assert.Equal("node 'n' (Relu) has no output", Assert.Throws<ModelException>(() => NodeArity.Check(Graph("Relu", ["a"], []))).Message);
        Assert.Equal("node 'n' (Relu) has no output", Assert.Throws<ModelException>(() => NodeArity.Check(Graph("Relu", ["a"], [""]))).Message);
    }

    [Fact]
    public void What_others_mean_by_a_name_is_theirs()
    {
        NodeArity.Check(Graph("MatMul", [], [], "org.example"));
        NodeArity.Check(Graph("RandomNormal", [], ["y"]));
        NodeArity.Check(Graph("Gemm", ["a", "b", "", "d"], ["y"]));
    }
}
