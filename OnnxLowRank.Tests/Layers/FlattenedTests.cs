using OnnxLowRank.Layers;
using OnnxLowRank.Onnx;
using OnnxLowRank.Onnx.Proto;
using static OnnxLowRank.Onnx.Proto.AttributeProto.Types;
using static OnnxLowRank.Onnx.Proto.TensorProto.Types;

namespace OnnxLowRank.Tests.Layers;

/// <summary>Functions are inlined as ONNX Runtime itself runs them, and constants leave the bodies that they are in.</summary>
public class FlattenedTests
{
    const string Domain = "org.example";

    /// <summary>Sums in another order.</summary>
    const double Rounding = 1e-6;

    static readonly MemorySamples s_samples = new([Feed.Random("x", 16, 24)]);

    static NodeProto Call(string function, string[] inputs, string[] outputs, params (string, object)[] attributes)
    {
        var node = TinyModel.Call(function, inputs, outputs, attributes);
        node.Domain = Domain;
        return node;
    }

    static FunctionProto Function(string name, string[] inputs, string[] outputs, params NodeProto[] nodes) => new()
    {
        Name = name,
        Domain = Domain,
        Input = { inputs },
        Output = { outputs },
        Node = { nodes },
        OpsetImport = { new OperatorSetIdProto { Version = 17 }, new OperatorSetIdProto { Domain = Domain, Version = 1 } },
    };

    static NodeProto Constant(string name, params long[] dims) => TinyModel.Call("Constant", [], [name], ("value", TensorData.Floats("", TinyModel.Random(dims, (int)dims[0]), dims)));

    static NodeProto Referring(NodeProto node, string attribute, string to, AttributeType type)
    {
        node.Attribute.Add(new AttributeProto { Name = attribute, RefAttrName = to, Type = type });
        return node;
    }

    static OnnxModel Build(TinyModel model, params FunctionProto[] functions)
    {
        var built = model.Build();
        built.Proto.Functions.AddRange(functions);
        built.Proto.OpsetImport.Add(new OperatorSetIdProto { Domain = Domain, Version = 1 });
        return built;
    }

    static TinyModel Model()
    {
        var model = new TinyModel();
        model.Input("x", null, 24);
        return model;
    }

    static OnnxModel AssertSame(OnnxModel model, params string[] outputs)
    {
        var flattened = Flattened.Of(model);
        GraphOrder.Check(flattened.Graph);
        var (before, after) = (ModelRuns.Run(model, s_samples, outputs), ModelRuns.Run(flattened, s_samples, outputs));
        for (int i = 0; i < outputs.Length; i++)
        {
            ModelRuns.AssertNear(before[i], after[i], Rounding, outputs[i]);
        }
        return flattened;
    }

    /// <summary>Two calls with weights of their own and a bias that is the function's, one with the default of an attribute.</summary>
    [Fact]
    public void Calls_become_layers_of_the_graph()
    {
        var model = Model();
        model.Node(Call("dense", ["x", model.Weight("w1", 24, 16)], ["a"], ("factor", 0.5f)));
        model.Node(Call("dense", ["x", model.Weight("w2", 24, 16)], ["b"]));
        model.Node("Sub", ["a", "b"], "y");
        model.Outputs("y");
        var function = Function("dense", ["v", "w"], ["z"], Constant("bias", 16), Referring(TinyModel.Call("Gemm", ["v", "w", "bias"], ["z"]), "alpha", "factor", AttributeType.Float));
        function.AttributeProto.Add(new AttributeProto { Name = "factor", Type = AttributeType.Float, F = 3 });

        var flattened = AssertSame(Build(model, function), "y");

        Assert.Empty(flattened.Proto.Functions);
        var found = LayerFinder.Find(flattened, new());
        Assert.Equal(["a_node/z_node", "b_node/z_node"], found.Layers.Select(layer => layer.Name));
        Assert.Equal([0.5, 3], found.Layers.Select(layer => layer.Uses[0].Alpha));
        Assert.Single(flattened.Graph.Initializer, tensor => tensor.Dims is [16]);
    }

    /// <summary>The inner one reads a value that is named as one outside.</summary>
    [Fact]
    public void Functions_that_call_functions_are_inlined_with_them()
    {
        var model = Model();
        model.Node("Relu", ["x"], "v");
        model.Node(Call("outer", ["v"], ["y"]));
        model.Outputs("y");
        var inner = Function("inner", ["x"], ["y"], Constant("w", 24, 24), TinyModel.Call("MatMul", ["x", "w"], ["v"]), TinyModel.Call("Tanh", ["v"], ["y"]));
        var outer = Function("outer", ["x"], ["y"], Call("inner", ["x"], ["v"]), Call("inner", ["v"], ["u"]), TinyModel.Call("Add", ["u", "x"], ["y"]));

        var flattened = AssertSame(Build(model, outer, inner), "y");

        Assert.Empty(flattened.Proto.Functions);
        Assert.Equal(2, Assert.Single(LayerFinder.Find(flattened, new()).Layers).Uses.Count);
    }

    /// <summary>A body's branch reads values of the body; an output is an input as it is; an optional input is missing.</summary>
    [Fact]
    public void Bodies_inside_bodies_and_odd_signatures_mean_the_same()
    {
        var model = Model();
        model.Tensor(TensorData.Create<byte>("condition", DataType.Bool, [1]));
        model.Node(Call("odd", ["x", "condition"], ["same", "y"]));
        model.Node("Relu", ["same"], "relu");
        model.Outputs("y", "relu");
        GraphProto Branch(string op) => new()
        {
            Name = op,
            Node = { TinyModel.Call(op, ["h"], ["inner"]), TinyModel.Call("Mul", ["inner", "v"], ["result"]) },
            Output = { TinyModel.Value("result", DataType.Float, null) },
        };
        var function = Function("odd", ["v", "c", "missing"], ["v", "out"], Constant("w", 24, 24), TinyModel.Call("Gemm", ["v", "w", "missing"], ["h"]),
            TinyModel.Call("If", ["c"], ["chosen"], ("then_branch", Branch("Tanh")), ("else_branch", Branch("Abs"))), TinyModel.Call("Neg", ["chosen"], ["out"]));

        var flattened = Flattened.Of(Build(model, function));

        GraphOrder.Check(flattened.Graph);
        float[] x = ModelRuns.Run(flattened, s_samples, "x")[0].Values, w = TinyModel.Random([24, 24], 24);
        float[] expected = new float[x.Length];
        for (int i = 0; i < x.Length; i++)
        {
            double h = Enumerable.Range(0, 24).Sum(k => (double)x[i / 24 * 24 + k] * w[k * 24 + i % 24]);
            expected[i] = (float)(-Math.Tanh(h) * x[i]);
        }
        var outputs = ModelRuns.Run(flattened, s_samples, "y", "relu");
        ModelRuns.AssertNear(outputs[0] with { Values = expected }, outputs[0], 1e-5);
        Assert.Equal(x.Select(value => Math.Max(0, value)), outputs[1].Values);
        Assert.Single(LayerFinder.Find(flattened, new()).Layers);
    }

    [Fact]
    public void Functions_without_weights_stay_calls()
    {
        var model = Model();
        model.Node(Call("double", ["x"], ["y"]));
        model.Outputs("y");
        var built = Build(model, Function("double", ["v"], ["z"], TinyModel.Call("Add", ["v", "v"], ["z"])));

        Assert.Same(built, Flattened.Of(built));
    }

    /// <summary>Ten thousand functions of one node, which call one of ten thousand nodes, are a file of less than a megabyte.</summary>
    [Fact]
    public void Nodes_of_a_function_are_looked_at_once_however_many_call_it()
    {
        var model = Model();
        model.Node(Call("f0", ["x"], ["y"]));
        model.Outputs("y");
        var inner = Function("inner", ["v"], ["z"], [.. Enumerable.Repeat(TinyModel.Call("Relu", ["v"], ["z"]), 100)]);
        var built = Build(model, [inner, .. Enumerable.Range(0, 100).Select(i => Function($"f{i}", ["v"], ["z"], Call("inner", ["v"], ["z"])))]);
        int looks = 0;

        FunctionInliner.Inlined(built, _ => looks++ < 0);

        Assert.Equal(200, looks);
    }

    /// <summary>Both branches name their weight alike, one as an initializer, the other as a Constant node.</summary>
    static OnnxModel WithBranches(bool condition)
    {
        var model = Model();
        model.Tensor(TensorData.Create<byte>("condition", DataType.Bool, [(byte)(condition ? 1 : 0)]));
        var then = new GraphProto
        {
            Name = "then",
            Initializer = { TensorData.Floats("w", TinyModel.Random([24, 64], 5), 24, 64) },
            Node = { TinyModel.Call("MatMul", ["x", "w"], ["t"]) },
            Output = { TinyModel.Value("t", DataType.Float, null) },
        };
        var other = new GraphProto
        {
            Name = "else",
            Node = { Constant("w", 24, 64), TinyModel.Call("MatMul", ["x", "w"], ["p"]), TinyModel.Call("Tanh", ["p"], ["e"]) },
            Output = { TinyModel.Value("e", DataType.Float, null) },
        };
        model.Node("If", ["condition"], "y", ("then_branch", then), ("else_branch", other));
        model.Outputs("y");
        return model.Build();
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public void Weights_of_branches_are_constants_that_can_be_stored_smaller(bool condition)
    {
        var flattened = AssertSame(WithBranches(condition), "y");
        var bench = new Bench(flattened, s_samples);
        Assert.Equal([LayerKind.Constant, LayerKind.Constant], bench.Found.Layers.Select(layer => layer.Kind));
        Assert.Equal(2, bench.Found.LeftAlone.Count(alone => alone.Reason.EndsWith("may be stored smaller and is run as it is", StringComparison.Ordinal)));

        var rewritten = bench.Quantize().Model;

        // 8 bits with a scale per row: 0.3 % of Gaussian numbers.
        Assert.InRange(ModelRuns.Distance(bench.Run(flattened, "y")[0].Values, bench.Run(rewritten, "y")[0].Values), 1e-5, 0.012);
        Assert.InRange(rewritten.ToBytes().Length, 2 * 24 * 64, 2 * 24 * (64 + 4) + 2500);
        Assert.DoesNotContain(ModelRuns.OptimizedGraph(rewritten).Node, node => node.OpType == "Mul"); // done once, when the model is loaded
    }

    [Fact]
    public void A_weight_of_a_Loop_leaves_its_body_and_the_Loop_computes_the_same()
    {
        var model = Model();
        model.Tensor(TensorData.Create<long>("times", DataType.Int64, [3]));
        model.Tensor(TensorData.Create<byte>("condition", DataType.Bool, [1]));
        var body = new GraphProto
        {
            Name = "body",
            Input = { TinyModel.Value("i", DataType.Int64), TinyModel.Value("c", DataType.Bool), TinyModel.Value("h", DataType.Float, null, 24) },
            Initializer = { TensorData.Floats("v", TinyModel.Random([24, 48], 6), 24, 48), TensorData.Floats("u", TinyModel.Random([48, 24], 7), 48, 24) },
            Node =
            {
                TinyModel.Call("MatMul", ["h", "v"], ["p"]), TinyModel.Call("MatMul", ["p", "u"], ["q"]), TinyModel.Call("Tanh", ["q"], ["next"]), TinyModel.Call("Identity", ["c"], ["again"]),
            },
            Output = { TinyModel.Value("again", DataType.Bool), TinyModel.Value("next", DataType.Float, null, 24) },
        };
        model.Node("Loop", ["times", "condition", "x"], "y", ("body", body));
        model.Outputs("y");

        var flattened = AssertSame(model.Build(), "y");

        Assert.Equal(["v", "u"], LayerFinder.Find(flattened, new()).Layers.Select(layer => layer.Name));
    }
}
