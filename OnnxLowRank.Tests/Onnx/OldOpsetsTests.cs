using OnnxLowRank.Onnx;
using OnnxLowRank.Onnx.Proto;

namespace OnnxLowRank.Tests.Onnx;

public class OldOpsetsTests
{
    static OnnxModel Model(int opset, params NodeProto[] nodes)
    {
        var model = new TinyModel(opset, ir: 3);
        model.Input("x", null, 24);
        model.Graph.Node.AddRange(nodes);
        model.Outputs(nodes[^1].Output[0]);
        return model.Build();
    }

    static NodeProto Call(string opType) => TinyModel.Call(opType, ["x"], [opType]);

    [Theory]
    [InlineData(6, "MatMul")]
    [InlineData(6, "Relu")]
    [InlineData(5, "Conv")]
    [InlineData(1, "MaxPool")]
    [InlineData(1, "Gather")]
    public void A_model_whose_operators_did_not_change_is_stamped_anew(int opset, string opType)
    {
        var model = Model(opset, Call(opType));

        var raised = OldOpsets.Raised(model);

        Assert.Equal((opset, 7), (model.Opset, raised.Opset));
        raised.Proto.OpsetImport[0].Version = opset;
        Assert.Equal(model.Proto, raised.Proto);
    }

    [Theory]
    [InlineData(6, "Add")] // broadcasts since
    [InlineData(6, "Gemm")]
    [InlineData(6, "BatchNormalization")]
    [InlineData(5, "Relu")]
    [InlineData(4, "Reshape")]
    [InlineData(1, "Split")]
    public void A_model_with_an_operator_that_changed_stays(int opset, string opType)
    {
        var model = Model(opset, Call("MatMul"), Call(opType));

        Assert.Same(model, OldOpsets.Raised(model));
    }

    [Fact]
    public void Operators_inside_bodies_count_and_those_of_other_domains_do_not()
    {
        var body = new GraphProto { Name = "then", Node = { Call("Mul") } };
        var branching = Model(6, TinyModel.Call("If", ["x"], ["y"], ("then_branch", body)));
        var foreign = Model(6, Call("Mul"));
        foreign.Graph.Node[0].Domain = "org.example";

        Assert.Same(branching, OldOpsets.Raised(branching));
        Assert.Equal(7, OldOpsets.Raised(foreign).Opset);
    }

    [Fact]
    public void The_other_domains_versions_stay_and_the_default_one_may_have_been_left_out()
    {
        var model = Model(6, Call("MatMul"));
        model.Proto.OpsetImport.Clear();
        model.Proto.OpsetImport.Add(new OperatorSetIdProto { Domain = "ai.onnx.ml", Version = 1 });

        var raised = OldOpsets.Raised(model);

        Assert.Equal([("ai.onnx.ml", 1), ("", 7)], raised.Proto.OpsetImport.Select(import => (import.Domain, import.Version)));
    }

    [Theory]
    [InlineData(7)]
    [InlineData(17)]
    public void Newer_models_stay(int opset)
    {
        var model = Model(opset, Call("MatMul"));

        Assert.Same(model, OldOpsets.Raised(model));
    }
}
