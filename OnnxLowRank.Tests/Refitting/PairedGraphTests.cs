using OnnxLowRank.Onnx;
using OnnxLowRank.Onnx.Proto;
using OnnxLowRank.Refitting;

namespace OnnxLowRank.Tests.Refitting;

public class PairedGraphTests
{
    /// <summary>y = If(sum(x) > 0, x·w + s, x), where the branches read outer values and one hides an outer name.</summary>
    static OnnxModel Model(float scale)
    {
        var model = new TinyModel();
        model.Input("x", null, 6);
        model.Floats("w", TinyModel.Random([6], 1), 6);
        model.Floats("scale", [scale], 1);
        model.Node("Mul", ["x", "scale"], "s");
        model.Node("ReduceSum", ["x"], "sum", ("keepdims", 0));
        model.Floats("zero", [0], []);
        model.Node("Greater", ["sum", "zero"], "isPositive");
        var then = new GraphProto { Name = "then", Output = { TinyModel.Value("a", TensorProto.Types.DataType.Float, null) } };
        then.Node.Add(TinyModel.Call("Mul", ["x", "w"], ["inner"]));
        then.Node.Add(TinyModel.Call("Add", ["inner", "s"], ["a"]));
        var otherwise = new GraphProto { Name = "else", Output = { TinyModel.Value("b", TensorProto.Types.DataType.Float, null) } };
        otherwise.Node.Add(TinyModel.Call("Identity", ["s"], ["b"]));
        model.Node("If", ["isPositive"], "y", ("then_branch", then), ("else_branch", otherwise));
        model.Outputs("y");
        return model.Build();
    }

    [Fact]
    public void Both_models_compute_in_one_graph_what_they_compute_alone()
    {
        var (original, rewritten) = (Model(2), Model(3));
        rewritten.Graph.Initializer.Single(tensor => tensor.Name == "scale").Name = "scale3";
        rewritten.Graph.Node[0].Input[1] = "scale3";
        var samples = new MemorySamples([Feed.Random("x", 20, 6)]);

        var pair = PairedGraph.Of(original, rewritten);

        var both = ModelRuns.Run(pair, samples, "y", PairedGraph.NameOf("y"));
        ModelRuns.AssertNear(ModelRuns.Run(original, samples, "y")[0], both[0], 0);
        ModelRuns.AssertNear(ModelRuns.Run(rewritten, samples, "y")[0], both[1], 0);
        Assert.True(ModelRuns.Distance(both[0].Values, both[1].Values) > 0.1);
        Assert.Single(pair.Graph.Initializer, tensor => tensor.Name == "w");
    }
}
