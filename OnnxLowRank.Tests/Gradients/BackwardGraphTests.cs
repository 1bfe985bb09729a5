using OnnxLowRank.Calibration;
using OnnxLowRank.Gradients;
using OnnxLowRank.Onnx;
using OnnxLowRank.Onnx.Proto;
using OnnxLowRank.Runtime;

namespace OnnxLowRank.Tests.Gradients;

/// <summary>The gradient of sᵀ·z with respect to y, beside differences of sᵀ·z.</summary>
public class BackwardGraphTests
{
    const int Samples = 3;

    /// <summary>From "y", of a shape behind the batch axis, to "z".</summary>
    sealed record Case(long[] Shape, Action<TinyModel> Build, int Opset = 17);

    static Case Function(string opType, int opset = 17, params (string, object)[] attributes) => new([2, 5], model => model.Node(opType, ["y"], "z", attributes), opset);

    /// <summary>Of something that is positive.</summary>
    static Case OfPositive(string opType) => new([2, 5], model =>
    {
        model.Node("Exp", ["y"], "e");
        model.Node(opType, ["e"], "z");
    });

    static Case Conv(long[] image, long[] kernel, int groups = 1, params (string, object)[] attributes) => new(
        [4, .. image], model => model.Node("Conv", ["y", model.Weight("w", [6, 4 / groups, .. kernel]), model.Weight("b", 6)], "z", [("group", groups), .. attributes]));

    static Case Pool(string opType, long[] image, int opset, params (string, object)[] attributes) => new([3, .. image], model => model.Node(opType, ["y"], "z", attributes), opset);

    static Case Arithmetic(string opType, long[] constant, bool isFirst = false) => new([2, 3], model =>
    {
        string other = model.Floats("c", Array.ConvertAll(TinyModel.Random(constant, 9), value => Math.Abs(value) + 1), constant);
        model.Node(opType, isFirst ? [other, "y"] : ["y", other], "z");
    });

    static Case Slice(int opset, long[] starts, long[] ends, long[] axes, long[]? steps = null) => new([6, 5], model => model.Node(
        "Slice", opset < 10 ? ["y"] : ["y", model.Ints("starts", starts), model.Ints("ends", ends), model.Ints("axes", axes), model.Ints("steps", steps ?? [.. starts.Select(_ => 1L)])], "z",
        opset < 10 ? [("starts", starts), ("ends", ends), ("axes", axes)] : []), opset);

    static Case Reduce(string opType, int opset, int keepdims, int axesAreInputSince, params long[] axes) => new([3, 4, 5], model => model.Node(
        opType, axes.Length == 0 || opset < axesAreInputSince ? ["y"] : ["y", model.Ints("axes", axes)], "z",
        axes.Length == 0 || opset >= axesAreInputSince ? [("keepdims", keepdims)] : [("keepdims", keepdims), ("axes", axes)]), opset);

    static readonly Dictionary<string, Case> s_cases = new()
    {
        ["Relu"] = Function("Relu"),
        ["LeakyRelu"] = Function("LeakyRelu", 17, ("alpha", 0.3f)),
        ["PRelu"] = new([2, 5], model => model.Node("PRelu", ["y", model.Floats("slopes", [0.1f, 0.2f, 0.3f, 0.4f, 0.5f], 5)], "z")),
        ["Elu"] = Function("Elu", 17, ("alpha", 0.7f)),
        ["Clip"] = new([2, 5], model => model.Node("Clip", ["y", model.Floats("low", [-0.5f]), model.Floats("high", [0.8f])], "z")),
        ["Clip by attributes"] = Function("Clip", 9, ("min", -0.5f), ("max", 0.8f)),
        ["HardSigmoid"] = Function("HardSigmoid", 17, ("alpha", 0.5f), ("beta", 0.4f)),
        ["HardSwish"] = new([2, 5], model =>
        {
            model.Node("Mul", ["y", model.Floats("four", [4])], "larger");
            model.Node("HardSwish", ["larger"], "z");
        }),
        ["Sigmoid"] = Function("Sigmoid"),
        ["Tanh"] = Function("Tanh"),
        ["Softplus"] = Function("Softplus"),
        ["Gelu"] = Function("Gelu", 20),
        ["Erf"] = Function("Erf"),
        ["Exp"] = Function("Exp"),
        ["Log"] = OfPositive("Log"),
        ["Sqrt"] = OfPositive("Sqrt"),
        ["Reciprocal"] = OfPositive("Reciprocal"),
        ["Abs"] = Function("Abs"),
        ["Neg"] = Function("Neg"),
        ["Identity"] = Function("Identity"),
        ["Dropout"] = Function("Dropout"),
        ["Cast"] = Function("Cast", 17, ("to", (int)TensorProto.Types.DataType.Float)),
        ["Add of a row"] = Arithmetic("Add", [3]),
        ["Add of more axes"] = Arithmetic("Add", [2, 1, 2, 3]),
        ["Sub"] = Arithmetic("Sub", [2, 1]),
        ["Sub from"] = Arithmetic("Sub", [3], isFirst: true),
        ["Mul"] = Arithmetic("Mul", [4, 1, 2, 3]),
        ["Div"] = Arithmetic("Div", [3]),
        ["Div of"] = new([2, 3], model =>
        {
            model.Node("Exp", ["y"], "e");
            model.Node("Div", [model.Weight("c", 3), "e"], "z");
        }),
        ["Pow of 2"] = new([2, 3], model => model.Node("Pow", ["y", model.Floats("p", [2])], "z")),
        ["Pow of 1.5"] = new([2, 3], model =>
        {
            model.Node("Exp", ["y"], "e");
            model.Node("Pow", ["e", model.Floats("p", [1.5f])], "z");
        }),
        ["Max"] = new([2, 3], model => model.Node("Max", ["y", model.Weight("c", 3)], "z")),
        ["Min"] = new([2, 3], model => model.Node("Min", ["y", model.Weight("c", 2, 3)], "z")),
        ["Sum"] = new([2, 3], model =>
        {
            model.Node("Tanh", ["y"], "t");
            model.Node("Sum", ["y", "t", model.Weight("c", 2, 3)], "z");
        }),
        ["Where"] = new([2, 3], model =>
        {
            model.Node("Less", ["y", model.Floats("c", [0.2f])], "isLess");
            model.Node("Exp", ["y"], "e");
            model.Node("Where", ["isLess", "e", "y"], "z");
        }),
        ["a row's mean taken off"] = new([4, 6], model =>
        {
            model.Node("ReduceMean", ["y"], "mean", ("axes", new long[] { -1 }));
            model.Node("Sub", ["y", "mean"], "centred");
            model.Node("Mul", ["centred", "y"], "z");
        }),
        ["MatMul"] = new([4, 6], model => model.Node("MatMul", ["y", model.Weight("w", 6, 5)], "z")),
        ["MatMul from the left"] = new([4, 6], model => model.Node("MatMul", [model.Weight("w", 5, 4), "y"], "z")),
        ["MatMul repeated"] = new([4, 6], model =>
        {
            model.Node("MatMul", ["y", model.Weight("w", 2, 1, 6, 5)], "z");
        }),
        ["attention"] = new([4, 6], model =>
        {
            model.Node("MatMul", ["y", model.Weight("w", 6, 6)], "q");
            model.Node("Transpose", ["y"], "k", ("perm", new long[] { 0, 2, 1 }));
            model.Node("MatMul", ["q", "k"], "scores");
            model.Node("Softmax", ["scores"], "p", ("axis", -1));
            model.Node("MatMul", ["p", "y"], "z");
        }),
        ["Gemm"] = new([6], model => model.Node("Gemm", ["y", model.Weight("w", 6, 5), model.Weight("b", 5)], "z", ("alpha", 0.5f))),
        ["Gemm transposed"] = new([6], model => model.Node("Gemm", ["y", model.Weight("w", 5, 6)], "z", ("transB", 1))),
        ["Gemm of Gemm's C"] = new([5], model => model.Node("Gemm", ["y", model.Weight("w", 5, 5), "y"], "z", ("beta", 3f))),
        ["Gemm's right side"] = new([5], model =>
        {
            model.Node("Reshape", ["y", model.Ints("shape", -1, 5)], "rows");
            model.Node("Gemm", ["rows", "y"], "z", ("transA", 1), ("alpha", 2f));
        }),
        ["Conv"] = Conv([7, 6], [3, 2]),
        ["Conv with strides, pads and dilations"] = Conv([9, 8], [3, 2], 2, ("strides", new long[] { 2, 3 }), ("pads", new long[] { 1, 0, 2, 1 }), ("dilations", new long[] { 2, 1 })),
        ["Conv that does not reach the end"] = Conv([8, 9], [3, 3], 1, ("strides", new long[] { 3, 4 })),
        ["Conv SAME_UPPER"] = Conv([7, 8], [3, 4], 1, ("strides", new long[] { 2, 2 }), ("auto_pad", "SAME_UPPER")),
        ["Conv SAME_LOWER"] = Conv([7, 8], [3, 4], 1, ("strides", new long[] { 2, 2 }), ("auto_pad", "SAME_LOWER")),
        ["Conv VALID"] = Conv([7, 8], [3, 4], 1, ("strides", new long[] { 2, 3 }), ("auto_pad", "VALID")),
        ["Conv over one axis"] = Conv([12], [3], 1, ("strides", new long[] { 2 }), ("pads", new long[] { 1, 1 })),
        ["Conv over three axes"] = Conv([4, 5, 3], [2, 3, 2]),
        ["ConvTranspose"] = new([4, 5, 6], model => model.Node("ConvTranspose", ["y", model.Weight("w", 4, 3, 3, 2)], "z", ("strides", new long[] { 2, 3 }), ("pads", new long[] { 1, 0, 1, 1 }), ("output_padding", new long[] { 1, 0 }))),
        ["MaxPool"] = Pool("MaxPool", [6, 4], 17, ("kernel_shape", new long[] { 3, 2 }), ("strides", new long[] { 3, 2 })),
        ["MaxPool that overlaps"] = Pool("MaxPool", [8, 7], 17, ("kernel_shape", new long[] { 3, 3 }), ("strides", new long[] { 2, 2 }), ("pads", new long[] { 1, 1, 1, 1 })),
        ["MaxPool rounded up"] = Pool("MaxPool", [7, 6], 17, ("kernel_shape", new long[] { 2, 3 }), ("strides", new long[] { 2, 2 }), ("ceil_mode", 1)),
        ["MaxPool that leaves a rest"] = Pool("MaxPool", [7, 8], 17, ("kernel_shape", new long[] { 2, 3 }), ("strides", new long[] { 2, 3 })),
        ["AveragePool"] = Pool("AveragePool", [6, 7], 17, ("kernel_shape", new long[] { 2, 3 }), ("strides", new long[] { 2, 2 })),
        ["AveragePool beside padding"] = Pool("AveragePool", [6, 7], 17, ("kernel_shape", new long[] { 3, 3 }), ("pads", new long[] { 1, 1, 1, 1 })),
        ["AveragePool with padding"] = Pool("AveragePool", [6, 7], 17, ("kernel_shape", new long[] { 3, 3 }), ("pads", new long[] { 1, 1, 1, 1 }), ("count_include_pad", 1)),
        ["GlobalAveragePool"] = Pool("GlobalAveragePool", [3, 4], 9),
        ["GlobalMaxPool"] = Pool("GlobalMaxPool", [3, 4], 17),
        ["Softmax"] = Function("Softmax", 17, ("axis", 1)),
        ["Softmax, old"] = Function("Softmax", 11, ("axis", 2)),
        ["LogSoftmax"] = Function("LogSoftmax", 17, ("axis", -1)),
        ["LayerNormalization"] = new([4, 6], model => model.Node("LayerNormalization", ["y", model.Weight("s", 6), model.Weight("b", 6)], "z", ("epsilon", 0.01f))),
        ["LayerNormalization over two axes"] = new([4, 6], model => model.Node("LayerNormalization", ["y", model.Weight("s", 4, 6)], "z", ("axis", -2))),
        ["BatchNormalization"] = new([3, 4], model => model.Node(
            "BatchNormalization", ["y", model.Weight("s", 3), model.Weight("b", 3), model.Weight("m", 3), model.Floats("v", [0.5f, 1, 2], 3)], "z", ("epsilon", 0.1f))),
        ["Reshape"] = new([4, 6], model => model.Node("Reshape", ["y", model.Ints("shape", 0, 3, 8)], "z")),
        ["Flatten"] = Function("Flatten"),
        ["Squeeze and Unsqueeze"] = new([4, 1, 6], model =>
        {
            model.Node("Squeeze", ["y", model.Ints("axes", 2)], "s");
            model.Node("Unsqueeze", ["s", model.Ints("axes2", 1)], "z");
        }),
        ["Expand"] = new([1, 5], model => model.Node("Expand", ["y", model.Ints("shape", 1, 4, 1)], "z")),
        ["Transpose"] = new([2, 3, 4], model => model.Node("Transpose", ["y"], "z", ("perm", new long[] { 0, 3, 1, 2 }))),
        ["Concat"] = new([2, 4], model =>
        {
            model.Node("Exp", ["y"], "e");
            model.Node("Concat", ["y", "e", "y"], "z", ("axis", -2));
        }),
        ["Split"] = new([7, 2], model =>
        {
            model.Node(TinyModel.Call("Split", ["y", model.Ints("sizes", 2, 4, 1)], ["a", "unused", "b"], ("axis", 1)));
            model.Node("Mul", ["a", "b"], "z");
        }),
        ["Slice"] = Slice(13, [1, -4], [5, int.MaxValue], [1, 2]),
        ["Slice by attributes"] = Slice(9, [1, 0], [-1, 3], [1, 2]),
        ["Slice with steps"] = Slice(17, [5, 0], [-100, 5], [1, 2], [-2, 3]),
        ["Slice of everything"] = Slice(17, [0], [long.MaxValue], [0]),
        ["Gather of one"] = new([6, 5], model => model.Node("Gather", ["y", model.Tensor(new() { Name = "i", DataType = (int)TensorProto.Types.DataType.Int64, Int64Data = { -2 } })], "z", ("axis", 1))),
        ["Gather"] = new([6, 5], model => model.Node("Gather", ["y", model.Ints("i", 4, 0, 1)], "z", ("axis", 2))),
        ["Pad"] = new([3, 4], model => model.Node("Pad", ["y", model.Ints("pads", 0, 1, 0, 0, 0, 2)], "z")),
        ["Pad by attributes"] = Function("Pad", 9, ("pads", new long[] { 0, 1, 0, 0, 0, 2 })),
        ["DepthToSpace"] = new([8, 2, 3], model => model.Node("DepthToSpace", ["y"], "z", ("blocksize", 2))),
        ["Resize"] = new([3, 2, 3], model => model.Node("Resize", ["y", "", model.Floats("scales", [1, 1, 2, 3], 4)], "z", ("mode", "nearest"))),
        ["ReduceMean"] = Reduce("ReduceMean", 17, 1, 18, 1, 3),
        ["ReduceMean, axes an input"] = Reduce("ReduceMean", 18, 0, 18, -1),
        ["ReduceSum"] = Reduce("ReduceSum", 17, 0, 13, 2),
        ["ReduceSum, old"] = Reduce("ReduceSum", 11, 1, 13, 1),
        ["ReduceMax"] = Reduce("ReduceMax", 17, 0, 18, -2),
        ["ReduceMin"] = Reduce("ReduceMin", 18, 1, 18, 1, 2),
        ["read by several"] = new([5], model =>
        {
            model.Node("Tanh", ["y"], "t");
            model.Node("MatMul", ["t", model.Weight("w", 5, 5)], "m");
            model.Node("Relu", ["m"], "r");
            model.Node("Add", ["y", "r"], "a");
            model.Node("Mul", ["a", "t"], "z");
        }),
        ["scaled by what Shape says"] = new([5], model =>
        {
            model.Node("Shape", ["y"], "shape");
            model.Node("Cast", ["shape"], "floats", ("to", (int)TensorProto.Types.DataType.Float));
            model.Node("ReduceMax", ["floats"], "largest", ("keepdims", 0));
            model.Node("Sqrt", ["largest"], "root");
            model.Node("Div", ["y", "root"], "z");
        }),
    };

    public static TheoryData<string> Names => [.. s_cases.Keys];

    static (OnnxModel Model, long[] Shape) Make(Case one)
    {
        var model = new TinyModel(one.Opset);
        model.Input("x", [null, .. one.Shape.Select(dim => (long?)dim)]);
        model.Node("Identity", ["x"], "y");
        one.Build(model);
        model.Outputs("z");
        return (model.Build(), one.Shape);
    }

    static Feed Rows(IEnumerable<float[]> rows, long[] shape) => new("x", [.. rows.SelectMany(row => row)], shape);

    /// <summary>The backward pass behind the model, with random numbers for z's gradient.</summary>
    /// <returns>Names of the gradients that there are; s of one sample.</returns>
    static (OnnxModel Model, IReadOnlyDictionary<string, string> Gradients, string Seed) Backward(OnnxModel model, MemorySamples samples, params string[] values)
    {
        var sampling = new Sampling(samples, batch: Samples, CancellationToken.None);
        var path = BackwardGraph.Path(model.Graph, values, ["z"]);
        var trace = ValueTrace.Of(model, path.SelectMany(node => node.Input.Concat(node.Output)).Where(value => value.Length > 0), sampling, Device.Cpu, threads: 1);
        var backward = model.Copy();
        var writer = new GraphWriter(backward, "gradient");
        var shape = ModelRuns.Run(model, samples, "z")[0].Shape;
        string seed = writer.Floats(TinyModel.Random(shape, 77), shape);
        return (backward, BackwardGraph.Append(writer, path, trace, values, new Dictionary<string, string> { ["z"] = seed }), seed);
    }

    [Theory, MemberData(nameof(Names))]
    public void The_gradient_is_what_differences_say(string name)
    {
        const float Step = 1e-3f;
        var (model, shape) = Make(s_cases[name]);
        int size = (int)shape.Aggregate(1L, (product, dim) => product * dim);
        float[][] rows = [.. Enumerable.Range(0, Samples).Select(i => TinyModel.Random([size], 50 + i))];
        var samples = new MemorySamples([Rows(rows, shape)]);
        var (backward, gradients, seed) = Backward(model, samples, "y");

        float[] actual = ModelRuns.Run(backward, samples, gradients["y"])[0].Values;

        float[] s = backward.Graph.Initializer.Single(tensor => tensor.Name == seed).ToFloats();
        double Weighted(int sample, int element, float step)
        {
            float[][] moved = [.. rows.Select((row, i) => row.Select((value, at) => i == sample && at == element ? value + step : value).ToArray())];
            return ModelRuns.Run(model, new([Rows(moved, shape)]), "z")[0].Values.Zip(s, (value, weight) => (double)value * weight).Sum();
        }
        var random = new Random(1);
        var places = Enumerable.Range(0, Samples * size).OrderBy(_ => random.Next()).Take(24).ToList();
        double[] expected = [.. places.Select(place => (Weighted(place / size, place % size, Step) - Weighted(place / size, place % size, -Step)) / (2 * Step))];
        double distance = Math.Sqrt(expected.Zip(places, (value, place) => Math.Pow(value - actual[place], 2)).Sum() / Math.Max(1e-6, expected.Sum(value => value * value)));
        Assert.True(distance < 0.01, $"relative distance {distance:g3}: {string.Join(' ', places.Zip(expected, (place, value) => $"{value:g4}/{actual[place]:g4}"))}");
    }

    [Fact]
    public void Any_number_of_samples_can_run()
    {
        var (model, shape) = Make(s_cases["attention"]);
        int size = (int)(shape[0] * shape[1]);
        float[][] rows = [.. Enumerable.Range(0, Samples).Select(i => TinyModel.Random([size], 50 + i))];
        var (backward, gradients, seed) = Backward(model, new([Rows(rows, shape)]), "y");
        float[] together = ModelRuns.Run(backward, new([Rows(rows, shape)]), gradients["y"])[0].Values;

        var s = backward.Graph.Initializer.Single(tensor => tensor.Name == seed);
        float[] first = s.ToFloats()[..(s.ToFloats().Length / Samples)];
        int at = backward.Graph.Initializer.IndexOf(s);
        backward.Graph.Initializer[at] = TensorData.Floats(seed, first, [1, .. s.Dims.Skip(1)]);
        float[] alone = ModelRuns.Run(backward, new([Rows(rows[..1], shape)]), gradients["y"])[0].Values;

        Assert.True(ModelRuns.Distance(together.AsSpan(0, size), alone) < 1e-5);
    }

    static IReadOnlyDictionary<string, string> Known(Action<TinyModel> build, params string[] values)
    {
        var (model, shape) = Make(new([4], build));
        return Backward(model, new([Feed.Random("x", Samples, shape)]), values).Gradients;
    }

    [Fact]
    public void Behind_an_operator_without_a_rule_there_are_gradients_and_before_it_there_are_none() =>
        Assert.Equal(["c"], Known(model =>
        {
            model.Node("CumSum", ["y", model.Tensor(new() { Name = "axis", DataType = (int)TensorProto.Types.DataType.Int64, Int64Data = { 1 } })], "c");
            model.Node("Tanh", ["c"], "z");
        }, "y", "c").Keys);

    [Fact]
    public void A_part_of_a_gradient_is_none() =>
        Assert.Equal(["a"], Known(model =>
        {
            model.Node("CumSum", ["y", model.Tensor(new() { Name = "axis", DataType = (int)TensorProto.Types.DataType.Int64, Int64Data = { 1 } })], "c");
            model.Node("Add", ["c", "y"], "a");
            model.Node("Tanh", ["a"], "z");
        }, "y", "a").Keys);

    [Fact]
    public void Rows_that_are_gathered_twice_have_no_rule() =>
        Assert.Empty(Known(model => model.Node("Gather", ["y", model.Ints("i", 1, 1)], "z", ("axis", 1)), "y"));

    [Fact]
    public void What_does_not_reach_the_outputs_has_none() =>
        Assert.Equal(["y"], Known(model =>
        {
            model.Node("Exp", ["y"], "unused");
            model.Node("Tanh", ["y"], "z");
        }, "y", "unused").Keys);

    [Fact]
    public void An_operator_of_another_domain_has_no_rule_of_the_same_name() =>
        Assert.Empty(Known(model => model.Node(NodeAttributes.Create("Gelu", "gelu", ["y"], ["z"], "com.microsoft")), "y"));
}
