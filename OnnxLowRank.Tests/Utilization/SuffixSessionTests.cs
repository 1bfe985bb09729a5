using OnnxLowRank.Calibration;
using OnnxLowRank.Layers;
using OnnxLowRank.Numerics;
using OnnxLowRank.Onnx;
using OnnxLowRank.Onnx.Proto;
using OnnxLowRank.Runtime;
using OnnxLowRank.Tests.Rewriting;
using OnnxLowRank.Utilization;

namespace OnnxLowRank.Tests.Utilization;

/// <summary>A model cut before a layer computes what the whole model does.</summary>
public class SuffixSessionTests
{
    /// <summary>Kernels differ for a weight that is an input; a wrong weight or a wrong value before the layer errs by about 1.</summary>
    const double Rounding = 1e-5;

    const long Plenty = 1 << 30;

    public static TheoryData<string> Cases => [.. LayerCases.Names.Where(name => !name.StartsWith("Gather", StringComparison.Ordinal))];

    static float[] Outputs(SuffixSession session, Sampling sampling, ReadOnlyMemory<int> samples)
    {
        var all = new List<float>();
        sampling.ForEach(samples, (run, indices) =>
        {
            using var results = session.Run(run, indices);
            all.AddRange(results[0].GetTensorDataAsSpan<float>());
        });
        return [.. all];
    }

    [Theory, MemberData(nameof(Cases))]
    public void Any_layer_takes_any_weight(string name)
    {
        var (model, samples) = LayerCases.Make(name);
        var layer = new Bench(model, samples).Layer;
        string output = model.Graph.Output[0].Name;
        var sampling = new Sampling(samples, batch: 24, CancellationToken.None);
        var cut = new LayerCut(model, layer, [output]);
        using var session = SuffixSession.Open(model, layer, cut, [output], Device.Cpu, 1, sampling, samples.All, Plenty);

        session.Set(layer.ReadWeight());
        float[] same = Outputs(session, sampling, samples.All);
        session.Set(Gaussian.Random(layer.Out, layer.In, seed: 3));
        float[] other = Outputs(session, sampling, samples.All);

        Assert.True(session.IsCut);
        Assert.InRange(ModelRuns.Distance(ModelRuns.Run(model, samples, output)[0].Values, same), 0, Rounding);
        Assert.InRange(ModelRuns.Distance(ModelRuns.Run(WithWeight(model, layer, Gaussian.Random(layer.Out, layer.In, seed: 3)), samples, output)[0].Values, other), 0, Rounding);
        Assert.True(ModelRuns.Distance(same, other) > 0.01);
    }

    static OnnxModel WithWeight(OnnxModel model, Layer layer, Matrix weight)
    {
        var copy = model.Copy();
        copy.Graph.Initializer.Add(TensorData.Floats("other", layer.OperandFor(weight), layer.Weight.Dims));
        int at = model.Graph.Node.IndexOf(layer.Node);
        copy.Graph.Node[at].Input[layer.OperandIndex] = "other";
        return copy;
    }

    /// <summary>x → first → Relu → second → + first's Relu, × a number that only x decides: two values and the input cross the cut.</summary>
    static OnnxModel Residual()
    {
        var model = new TinyModel();
        model.Input("x", null, 12);
        model.Node("MatMul", ["x", model.Weight("w1", 12, 12)], "first");
        model.Node("Relu", ["first"], "r");
        model.Node("Shape", ["r"], "shape");
        model.Node("MatMul", ["r", model.Weight("w2", 12, 12)], "second");
        model.Node("Reshape", ["second", "shape"], "shaped");
        model.Node("Add", ["shaped", "r"], "sum");
        model.Node("ReduceMean", ["x"], "mean", ("axes", new long[] { 1 }));
        model.Node("Mul", ["sum", "mean"], "scaled");
        model.Node("MatMul", ["scaled", model.Weight("w3", 12, 4)], "y");
        model.Node("ReduceSum", ["x", model.Ints("axes", 1)], "aside", ("keepdims", 0));
        model.Outputs("y", "aside");
        return model.Build();
    }

    [Fact]
    public void What_crosses_the_cut_is_remembered_and_nothing_else_runs()
    {
        var model = Residual();
        var layer = LayerFinder.Find(model, new(Only: new("^second_node$"))).Layers.Single(layer => layer.Kind == LayerKind.MatMul);

        var cut = new LayerCut(model, layer, ["y"]);

        Assert.Equal(["mean", "r", "shape"], cut.Live.Order());
        Assert.Equal(["scaled", "second", "shaped", "sum", "y"], cut.Suffix.Select(node => node.Output[0]).Order());
        Assert.Equal(["first", "mean", "r", "shape"], cut.Prefix.Select(node => node.Output[0]).Order());
        Assert.True(cut.ReachesOutputs);
        Assert.False(new LayerCut(model, layer, ["aside"]).ReachesOutputs);
        var suffix = cut.ToModel(cut.Live.ToDictionary(value => value, _ => default(Microsoft.ML.OnnxRuntime.Tensors.TensorElementType)));
        Assert.Equal(["second", "shaped", "sum", "scaled", "y"], suffix.Graph.Node.Select(node => node.Output[0]));
        Assert.Equal("w3", Assert.Single(suffix.Graph.Initializer).Name);
    }

    [Theory]
    [InlineData(Plenty, true)]
    [InlineData(1000, false)]
    public void Without_room_the_whole_model_runs_and_says_the_same(long limit, bool isCut)
    {
        var model = Residual();
        var samples = new MemorySamples([Feed.Random("x", 50, 12)]);
        var layer = LayerFinder.Find(model, new(Only: new("^second_node$"))).Layers.Single(layer => layer.Kind == LayerKind.MatMul);
        var sampling = new Sampling(samples, batch: 20, CancellationToken.None);
        using var session = SuffixSession.Open(model, layer, new LayerCut(model, layer, ["y"]), ["y"], Device.Cpu, 1, sampling, samples.All, limit);
        session.Set(layer.ReadWeight());

        Assert.Equal(isCut, session.IsCut);
        Assert.InRange(ModelRuns.Distance(ModelRuns.Run(model, samples, "y")[0].Values, Outputs(session, sampling, samples.All)), 0, Rounding);
    }

    /// <summary>An If whose branches read a value before the layer, and the layer's own output.</summary>
    [Fact]
    public void Branches_read_across_the_cut()
    {
        var tiny = new TinyModel();
        tiny.Input("x", null, 12);
        tiny.Node("Tanh", ["x"], "before");
        tiny.Node("MatMul", ["x", tiny.Weight("w", 12, 12)], "y");
        tiny.Node("Identity", [tiny.Tensor(new TensorProto { Name = "yes", DataType = (int)TensorProto.Types.DataType.Bool, Int32Data = { 1 } })], "always");
        GraphProto Branch(string opType) => new()
        {
            Name = opType,
            Node = { NodeAttributes.Create(opType, "in_" + opType, ["y", "before"], ["result_" + opType]) },
            Output = { TinyModel.Value("result_" + opType, TensorProto.Types.DataType.Float, null) },
        };
        tiny.Node("If", ["always"], "out", ("then_branch", Branch("Mul")), ("else_branch", Branch("Add")));
        tiny.Outputs("out");
        var model = tiny.Build();
        var samples = new MemorySamples([Feed.Random("x", 30, 12)]);
        var layer = Assert.Single(LayerFinder.Find(model, new()).Layers);
        var sampling = new Sampling(samples, batch: 20, CancellationToken.None);
        var cut = new LayerCut(model, layer, ["out"]);
        using var session = SuffixSession.Open(model, layer, cut, ["out"], Device.Cpu, 1, sampling, samples.All, Plenty);
        session.Set(layer.ReadWeight());

        Assert.Equal(["before"], cut.Live);
        Assert.InRange(ModelRuns.Distance(ModelRuns.Run(model, samples, "out")[0].Values, Outputs(session, sampling, samples.All)), 0, Rounding);
    }
}
