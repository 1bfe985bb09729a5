using OnnxLowRank.Onnx;
using OnnxLowRank.Onnx.Proto;
using OnnxLowRank.Tests;
using OnnxLowRank.Tests.Rewriting;
using static OnnxLowRank.Onnx.Proto.TensorProto.Types;

namespace Coverage;

/// <summary>Ways to apply a weight that are rare, or that may be left alone.</summary>
static class MoreVariants
{
    const int Count = 64;

    /// <summary>All weights are (64, 48) or hold about as many numbers.</summary>
    public static IEnumerable<(string Name, LayerCase Case)> All() =>
    [
        .. Operands(), .. Readers(), .. Bodies(), .. Types(), .. Operators(), .. Old(), .. Names(), .. Sizes(),
    ];

    static (string, LayerCase) Make(
        string name, long[] sample, Action<TinyModel> make, int opset = 17, int ir = 8, Action<ModelProto>? then = null, string input = "x", params Feed[] more)
    {
        var model = new TinyModel(opset, ir);
        Feed[] feeds = [Feed.Random(input, Count, sample), .. more];
        foreach (var feed in feeds)
        {
            model.Input(feed.Name, [null, .. feed.Shape.Select(dim => (long?)dim)]);
        }
        make(model);
        if (model.Graph.Output.Count == 0)
        {
            model.Node("Tanh", [model.Graph.Node[^1].Output[0]], "out");
            model.Outputs("out");
        }
        var built = model.Build();
        then?.Invoke(built.Proto);
        return (name, new(built, new(feeds)));
    }

    static void MatMul(TinyModel model, string weight) => model.Node("MatMul", ["x", weight], "y");

    static TensorProto Named(string name, TensorProto tensor)
    {
        tensor.Name = name;
        return tensor;
    }

    static TensorProto Gaussian(string name, params long[] dims) => TensorData.Floats(name, TinyModel.Random(dims, 7), dims);

    /// <summary>Where a weight comes from.</summary>
    static IEnumerable<(string, LayerCase)> Operands()
    {
        string Constant(TinyModel model, long rows, long cols) => model.Node("Constant", [], "w", ("value", Gaussian("", rows, cols)));
        yield return Make("MatMul, weight in a Constant node", [64], model => MatMul(model, Constant(model, 64, 48)));
        yield return Make("MatMul, weight through Transpose", [64], model => MatMul(model, model.Node("Transpose", [model.Weight("w", 48, 64)], "t", ("perm", new long[] { 1, 0 }))));
        yield return Make("MatMul, weight through Identity", [64], model => MatMul(model, model.Node("Identity", [model.Weight("w", 64, 48)], "i")));
        yield return Make("MatMul, weight through Reshape", [64], model => MatMul(model, model.Node("Reshape", [model.Weight("w", 3072), model.Ints("shape", 64, 48)], "r")));
        yield return Make("MatMul, weight through Unsqueeze and Squeeze", [64], model =>
        {
            string axes = model.Ints("axes", 0);
            MatMul(model, model.Node("Squeeze", [model.Node("Unsqueeze", [model.Weight("w", 64, 48), axes], "u"), axes], "s"));
        });
        yield return Make("MatMul, weight through Mul by a constant", [64], model => MatMul(model, model.Node("Mul", [model.Weight("w", 64, 48), model.Floats("half", [0.5f])], "m")));
        yield return Make("MatMul, weight computed from the input", [64], model =>
            MatMul(model, model.Node("Mul", [model.Weight("w", 64, 48), model.Node("ReduceMean", ["x"], "mean", ("keepdims", 0))], "m")));
        yield return Make("MatMul of two computed values", [64], model => model.Node("MatMul", [model.Node("Relu", ["x"], "r"), model.Node("Transpose", ["x"], "t")], "y"));
        yield return Make("MatMul, weight also a graph input", [64], model => MatMul(model, model.Weight("w", 64, 48)), then: proto => proto.Graph.Input.Add(TinyModel.Value("w", DataType.Float, 64, 48)));
        yield return Make("MatMul, weight of rank 3", [5, 64], model => MatMul(model, model.Weight("w", 1, 64, 48)));
        yield return Make("MatMul, weight a vector", [200], model => MatMul(model, model.Weight("w", 200)));
        yield return Make("MatMul, too small", [8], model => MatMul(model, model.Weight("w", 8, 8)));
        yield return Make("MatMul, zero columns", [64], model =>
        {
            MatMul(model, model.Floats("w", [], 64, 0));
            model.Node("Concat", ["x", "y"], "z", ("axis", 1));
        });
        yield return Make("MatMul, sparse weight", [64], model =>
        {
            model.Graph.SparseInitializer.Add(new SparseTensorProto { Values = Gaussian("w", 40), Indices = TensorData.Int64s("", [.. Enumerable.Range(0, 40).Select(i => i * 70L)]), Dims = { 64, 48 } });
            MatMul(model, "w");
        });
    }

    /// <summary>What else reads it.</summary>
    static IEnumerable<(string, LayerCase)> Readers()
    {
        yield return Make("MatMul, weight also a graph output", [64], model =>
        {
            MatMul(model, model.Weight("w", 64, 48));
            model.Node("Tanh", ["y"], "out");
            model.Outputs("out", "w");
        });
        yield return Make("MatMul, weight read by another operator", [64], model =>
        {
            MatMul(model, model.Weight("w", 64, 48));
            model.Node("Add", ["y", model.Node("ReduceMean", ["w"], "mean", ("axes", new long[] { 0 }), ("keepdims", 0))], "z");
        });
        yield return Make("two MatMuls of one weight", [64], model =>
        {
            MatMul(model, model.Weight("w", 64, 64));
            model.Node("MatMul", [model.Node("Relu", ["y"], "r"), "w"], "y2");
        });
        yield return Make("MatMul and Gemm of one weight", [64], model =>
        {
            MatMul(model, model.Weight("w", 64, 64));
            model.Node("Gemm", [model.Node("Relu", ["y"], "r"), "w"], "y2", ("alpha", 2f));
        });
        yield return Make("three MatMuls of one value", [64], model =>
        {
            string[] parts = [.. "qkv".Select(part => model.Node("MatMul", ["x", model.Weight($"w{part}", 64, 48)], $"{part}"))];
            model.Node("Sum", parts, "sum");
        });
        yield return Make("MatMul that nothing reads", [64], model =>
        {
            MatMul(model, model.Weight("w", 64, 48));
            model.Node("Relu", ["x"], "r");
        });
    }

    static GraphProto Body(string name, Action<TinyModel> make)
    {
        var inner = new TinyModel();
        inner.Graph.Name = name;
        make(inner);
        return inner.Graph;
    }

    /// <summary>Graphs inside nodes, and functions.</summary>
    static IEnumerable<(string, LayerCase)> Bodies()
    {
        GraphProto Branch(string name, string weight) => Body(name, inner =>
        {
            inner.Node("MatMul", ["x", weight], $"{name}_y");
            inner.Outputs($"{name}_y");
        });
        void Condition(TinyModel model) => model.Tensor(TensorData.Create<byte>("yes", DataType.Bool, [1]));
        yield return Make("MatMul inside If, weight outside", [64], model =>
        {
            model.Weight("w", 64, 48);
            Condition(model);
            model.Node("If", ["yes"], "y", ("then_branch", Branch("then", "w")), ("else_branch", Branch("else", "w")));
        });
        yield return Make("MatMul inside If, weight inside", [64], model =>
        {
            Condition(model);
            GraphProto With(string name)
            {
                var branch = Branch(name, $"{name}_w");
                branch.Initializer.Add(Gaussian($"{name}_w", 64, 48));
                return branch;
            }
            model.Node("If", ["yes"], "y", ("then_branch", With("then")), ("else_branch", With("else")));
        });
        yield return Make("MatMul inside and outside If, one weight", [64], model =>
        {
            Condition(model);
            MatMul(model, model.Weight("w", 64, 48));
            model.Node("If", ["yes"], "branch", ("then_branch", Branch("then", "w")), ("else_branch", Branch("else", "w")));
            model.Node("Add", ["y", "branch"], "z");
        });
        yield return Make("MatMul inside Loop", [64], model =>
        {
            Condition(model);
            var body = Body("body", inner =>
            {
                inner.Graph.Input.Add([TinyModel.Value("i", DataType.Int64), TinyModel.Value("go", DataType.Bool), TinyModel.Value("state", DataType.Float, null, 64)]);
                inner.Node("Identity", ["go"], "go_on");
                inner.Node("MatMul", ["state", "w"], "next");
                inner.Graph.Output.Add([TinyModel.Value("go_on", DataType.Bool), TinyModel.Value("next", DataType.Float, null, 64)]);
            });
            model.Weight("w", 64, 64);
            model.Tensor(TensorData.Create<long>("trips", DataType.Int64, [2]));
            model.Node("Loop", ["trips", "yes", "x"], "y", ("body", body));
        });
        yield return Make("MatMul inside a function", [64], model =>
        {
            model.Weight("w", 64, 48);
            model.Node("", ["x", "w"], "y");
            model.Graph.Node[^1].OpType = "Project";
            model.Graph.Node[^1].Domain = "org.example";
        }, then: proto =>
        {
            proto.OpsetImport.Add(new OperatorSetIdProto { Domain = "org.example", Version = 1 });
            proto.Functions.Add(new FunctionProto
            {
                Name = "Project",
                Domain = "org.example",
                Input = { "a", "b" },
                Output = { "c" },
                Node = { TinyModel.Call("MatMul", ["a", "b"], ["c"]) },
                OpsetImport = { new OperatorSetIdProto { Version = 17 } },
            });
        });
    }

    static string Cast(TinyModel model, string value, DataType type, string name) => model.Node("Cast", [value], name, ("to", (int)type));

    /// <summary>Weights of other types.</summary>
    static IEnumerable<(string, LayerCase)> Types()
    {
        TensorProto Half(string name, params long[] dims) => TensorData.Create<Half>(name, DataType.Float16, Array.ConvertAll(TinyModel.Random(dims, 7), value => (Half)value), dims);
        TensorProto Double(string name, params long[] dims) => TensorData.Create<double>(name, DataType.Double, Array.ConvertAll(TinyModel.Random(dims, 7), value => (double)value), dims);
        TensorProto Brain(string name, params long[] dims) => TensorData.Create<ushort>(name, DataType.Bfloat16, Array.ConvertAll(TinyModel.Random(dims, 7), value => (ushort)(BitConverter.SingleToUInt32Bits(value) >> 16)), dims);
        yield return Make("MatMul, float16 weight through Cast", [64], model => MatMul(model, Cast(model, model.Tensor(Half("w", 64, 48)), DataType.Float, "real")));
        yield return Make("MatMul, bfloat16 weight through Cast", [64], model => MatMul(model, Cast(model, model.Tensor(Brain("w", 64, 48)), DataType.Float, "real")));
        yield return Make("MatMul in float16", [64], model =>
        {
            model.Node("MatMul", [Cast(model, "x", DataType.Float16, "half"), model.Tensor(Half("w", 64, 48))], "y");
            Cast(model, "y", DataType.Float, "real");
        });
        yield return Make("MatMul in float64", [64], model =>
        {
            model.Node("MatMul", [Cast(model, "x", DataType.Double, "long"), model.Tensor(Double("w", 64, 48))], "y");
            Cast(model, "y", DataType.Float, "real");
        });
        yield return Make("MatMul, int8 weight through DequantizeLinear", [64], model =>
        {
            string weight = model.Tensor(TensorData.Create<sbyte>("w", DataType.Int8, Array.ConvertAll(TinyModel.Random([64, 48], 7), value => (sbyte)(30 * value)), 64, 48));
            MatMul(model, model.Node("DequantizeLinear", [weight, model.Tensor(TensorData.Scalar("step", 0.03f))], "real"));
        });
        yield return Make("MatMulInteger", [64], model =>
        {
            string weight = model.Tensor(TensorData.Create<sbyte>("w", DataType.Int8, Array.ConvertAll(TinyModel.Random([64, 48], 7), value => (sbyte)(30 * value)), 64, 48));
            model.Node(TinyModel.Call("DynamicQuantizeLinear", ["x"], ["xq", "xs", "xz"]));
            model.Node("MatMulInteger", ["xq", weight, "xz"], "yi");
            Cast(model, "yi", DataType.Float, "y");
        });
    }

    /// <summary>Other operators with weights.</summary>
    static IEnumerable<(string, LayerCase)> Operators()
    {
        yield return Make("ConvTranspose", [12, 7, 6], model => model.Node("ConvTranspose", ["x", model.Weight("w", 12, 28, 3, 3)], "y", ("strides", new long[] { 2, 2 })));
        yield return Make("Conv, depthwise", [64, 8, 8], model => model.Node("Conv", ["x", model.Weight("w", 64, 1, 3, 3)], "y", ("group", 64)));
        yield return Make("Conv, bias computed", [12, 7, 6], model =>
            model.Node("Conv", ["x", model.Weight("w", 28, 12, 3, 3), model.Node("ReduceMean", [model.Weight("b", 28, 2)], "bias", ("axes", new long[] { 1 }), ("keepdims", 0))], "y"));
        yield return Make("Conv, weight computed", [12, 7, 6], model => model.Node("Conv", ["x", model.Node("Tanh", [model.Weight("w", 28, 12, 3, 3)], "t")], "y"));
        yield return Make("Gather of columns", [5], model =>
        {
            model.Node("Mul", [model.Node("Tanh", ["x"], "small"), model.Floats("most", [47.9f])], "large");
            model.Node("Gather", [model.Weight("w", 64, 48), Cast(model, "large", DataType.Int64, "ids")], "y", ("axis", 1));
        });
        yield return Make("Gather and MatMul of one table", [5], model =>
        {
            model.Node("Mul", [model.Node("Tanh", ["x"], "small"), model.Floats("most", [63.9f])], "large");
            model.Node("Gather", [model.Weight("w", 64, 48), Cast(model, "large", DataType.Int64, "ids")], "rows");
            model.Node("MatMul", ["rows", model.Node("Transpose", ["w"], "t")], "y");
        });
        yield return Make("Einsum", [5, 64], model => model.Node("Einsum", ["x", model.Weight("w", 64, 48)], "y", ("equation", "bik,kj->bij")));
        string[] Recurrent(TinyModel model, int gates) => ["x", model.Weight("w", 1, gates * 8, 64), model.Weight("r", 1, gates * 8, 8)];
        foreach (var (name, gates) in new[] { ("LSTM", 4), ("GRU", 3), ("RNN", 1) })
        {
            yield return Make(name, [5, 64], model => model.Node(name, Recurrent(model, gates), "y", ("hidden_size", 8)));
        }
        (string, LayerCase) Contrib(string name, long[] sample, Func<TinyModel, string[]> inputs, params (string, object)[] attributes) => Make($"com.microsoft {name}", sample, model =>
        {
            model.Node(name, inputs(model), "y", attributes);
            model.Graph.Node[^1].Domain = "com.microsoft";
        }, then: proto => proto.OpsetImport.Add(new OperatorSetIdProto { Domain = "com.microsoft", Version = 1 }));
        yield return Contrib("FusedMatMul", [64], model => ["x", model.Weight("w", 48, 64)], ("transB", 1), ("alpha", 0.5f));
        yield return Contrib("FusedGemm", [64], model => ["x", model.Weight("w", 64, 48), model.Weight("b", 48)], ("activation", "Relu"));
        yield return Contrib("FusedConv", [12, 7, 6], model => ["x", model.Weight("w", 28, 12, 3, 3), model.Weight("b", 28)], ("activation", "Relu"));
        yield return Contrib("Attention", [5, 64], model => ["x", model.Weight("w", 64, 192), model.Weight("b", 192)], ("num_heads", 2));
        yield return Make("a large constant that is added", [5, 32, 32], model => model.Node("Add", ["x", model.Weight("positions", 1, 32, 32)], "y"));
    }

    /// <summary>The oldest and newest operator sets.</summary>
    static IEnumerable<(string, LayerCase)> Old()
    {
        foreach (int opset in new[] { 7, 8, 9, 10, 11, 12, 13, 15, 18, 19, 21, 22, 23 })
        {
            int ir = opset < 9 ? 3 : opset < 15 ? 6 : opset < 21 ? 8 : 10;
            yield return Make($"MatMul then Add, opset {opset}", [64], model =>
            {
                MatMul(model, model.Weight("w", 64, 48));
                model.Node("Add", ["y", model.Weight("b", 48)], "z");
            }, opset, ir);
            yield return Make($"Gemm, opset {opset}", [64], model => model.Node("Gemm", ["x", model.Weight("w", 64, 48), model.Weight("b", 48)], "y"), opset, ir);
            yield return Make($"Conv then BatchNormalization, opset {opset}", [12, 7, 6], model =>
            {
                model.Node("Conv", ["x", model.Weight("w", 28, 12, 3, 3)], "y");
                model.Node("BatchNormalization",
                    ["y", model.Weight("gamma", 28), model.Weight("beta", 28), model.Weight("mean", 28), model.Floats("variance", [.. Enumerable.Repeat(0.7f, 28)], 28)], "z");
            }, opset, ir);
        }
        foreach (int opset in new[] { 1, 5, 6 })
        {
            yield return Make($"MatMul, opset {opset}", [64], model => MatMul(model, model.Weight("w", 64, 48)), opset, ir: 3);
            yield return Make($"Conv, opset {opset}", [12, 7, 6], model => model.Node("Conv", ["x", model.Weight("w", 28, 12, 3, 3), model.Weight("b", 28)], "y"), opset, ir: 3);
        }
    }

    /// <summary>Names of nodes and values.</summary>
    static IEnumerable<(string, LayerCase)> Names()
    {
        void Two(TinyModel model, string first, string second)
        {
            MatMul(model, model.Weight("w", 64, 64));
            model.Node("MatMul", [model.Node("Relu", ["y"], "r"), model.Weight("w2", 64, 48)], "y2");
            (model.Graph.Node[0].Name, model.Graph.Node[2].Name) = (first, second);
        }
        yield return Make("MatMuls without names", [64], model => Two(model, "", ""));
        yield return Make("MatMuls of the same name", [64], model => Two(model, "same", "same"));
        yield return Make("MatMul that is named as a value", [64], model => Two(model, "y2", "y"));
        yield return Make("an input named in Unicode", [64], model => model.Node("MatMul", ["入力/\u00e9:0 \U0001F600", model.Weight("w", 64, 48)], "y"), input: "入力/\u00e9:0 \U0001F600");
        yield return Make("names in Unicode", [64], model =>
        {
            MatMul(model, model.Weight("重み/β\u202e\"<&>'\\\n\t", 64, 48));
            model.Graph.Node[0].Name = "слой 1/\U0001F600 é e\u0301 \u0000%s{0}[red]";
            model.Graph.Node[0].Output[0] = "выход/𝔶";
        });
    }

    /// <summary>Axes of length zero.</summary>
    static IEnumerable<(string, LayerCase)> Sizes()
    {
        var past = new Feed("past", [], 0, 64);
        yield return Make("MatMul behind a cache of length 0", [64], model =>
        {
            string token = model.Node("Unsqueeze", ["x", model.Ints("axes", 1)], "token");
            model.Node("MatMul", [model.Node("Concat", ["past", token], "sequence", ("axis", 1)), model.Weight("w", 64, 48)], "y");
        }, more: past);
        yield return Make("MatMul of no rows, beside another", [64], model =>
        {
            MatMul(model, model.Weight("w", 64, 64));
            model.Node("MatMul", ["past", model.Weight("w2", 64, 64)], "none");
            model.Node("Concat", ["none", model.Node("Unsqueeze", ["y", model.Ints("axes", 1)], "rows")], "z", ("axis", 1));
        }, more: past);
        yield return Make("MatMul with an output of length 0 beside its own", [64], model =>
        {
            MatMul(model, model.Weight("w", 64, 48));
            model.Node("Relu", ["past"], "next");
            model.Node("Tanh", ["y"], "out");
            model.Outputs("next", "out");
        }, more: past);
        yield return Make("Conv of images of no height", [12, 7, 6], model =>
        {
            model.Node("Conv", ["x", model.Weight("w", 28, 12, 3, 3)], "y");
            model.Node("Conv", ["empty", model.Weight("w2", 28, 12, 1, 1)], "y2");
            model.Node("Add", ["y", model.Node("ReduceSum", ["y2"], "sum")], "z");
        }, more: new Feed("empty", [], 12, 0, 6));
    }
}
