using OnnxLowRank.Layers;
using OnnxLowRank.Onnx;
using static OnnxLowRank.Onnx.Proto.TensorProto.Types;
using static OnnxLowRank.Tests.Layers.Finding;

namespace OnnxLowRank.Tests.Layers;

/// <summary>In whose words operators that are no layers stay as they are.</summary>
public class OtherOperatorsTests
{
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
    public void Operators_of_other_domains_with_these_names_are_not_layers()
    {
        var model = Model();
        var node = TinyModel.Call("MatMul", ["x", model.Weight("w", 24, 16)], ["y"]);
        node.Domain = "org.example";
        model.Node(node);

        AssertLeftAlone(Find(model), "an operator of the domain org.example, which no rule rewrites");
    }
}
