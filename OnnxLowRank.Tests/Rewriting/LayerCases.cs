using OnnxLowRank.Onnx;

namespace OnnxLowRank.Tests.Rewriting;

/// <summary>A model with one layer that can be rewritten, and samples for it.</summary>
sealed record LayerCase(OnnxModel Model, MemorySamples Samples);

/// <summary>Every way in which a weight is applied that the library knows. The layer's value is "y" or is absorbed into it; the graph's output is "out".</summary>
static class LayerCases
{
    const int Count = 64;

    static readonly Dictionary<string, Func<int, int, LayerCase>> s_cases = [];

    static LayerCases()
    {
        MatMuls();
        Gemms();
        Convs();
        ConvTransposes();
        Gathers();
    }

    public static IEnumerable<string> Names => s_cases.Keys;

    public static IEnumerable<string> NamesWith(string start) => Names.Where(name => name.StartsWith(start, StringComparison.Ordinal));

    /// <summary>Cases without a Gemm's C that is no bias: the only layers whose mean is not kept, and that have no 8-bit form.</summary>
    public static IEnumerable<string> WithoutAddend => Names.Where(name => !name.Contains("addend", StringComparison.Ordinal));

    /// <summary>…of which those that have a form on integers.</summary>
    public static IEnumerable<string> OnIntegers => WithoutAddend.Where(name => !name.StartsWith("Left", StringComparison.Ordinal) && !name.StartsWith("Deconv", StringComparison.Ordinal));

    public static LayerCase Make(string name, int opset = 17, int ir = 8) => s_cases[name](opset, ir);

    static void Add(string name, Func<int, int, LayerCase> make) => s_cases.Add(name, make);

    /// <summary>A model with one input x; <paramref name="make"/> returns the name of its result, a Relu of which is the output beside it.</summary>
    static void Add(string name, long[] sample, Action<TinyModel> make, bool isWhole = false) => Add(name, (opset, ir) =>
    {
        var model = new TinyModel(opset, ir);
        model.Input("x", isWhole ? [.. sample.Select(dim => (long?)dim)] : [null, .. sample.Select(dim => (long?)dim)]);
        make(model);
        if (model.Graph.Output.Count == 0)
        {
            model.Node("Tanh", [model.Graph.Node[^1].Output[0]], "out");
            model.Outputs("out");
        }
        return new(model.Build(), new([Feed.Random("x", Count, sample)], isWhole));
    });

    /// <summary>Ids from −20 to 20, below zero counted from the end, for tables of 24 rows.</summary>
    static void Gathers()
    {
        const int Int32 = 6, Int64 = 7;
        void Gather(string name, long[] sample, int type = Int64, bool isWhole = false, Func<TinyModel, string>? table = null) => Add(name, sample, model =>
        {
            model.Node("Tanh", ["x"], "small");
            model.Node("Mul", ["small", model.Floats("most", [20.9f])], "large");
            string ids = model.Node("Cast", ["large"], "ids", ("to", type));
            model.Node("Gather", [table == null ? model.Weight("w", 24, 16) : table(model), ids], "y");
        }, isWhole);

        Gather("Gather", [5]);
        Gather("Gather by a vector", []);
        Gather("Gather by a scalar", [], isWhole: true);
        Gather("Gather by a cube", [3, 2]);
        Gather("Gather by int32", [5], Int32);
        Gather("Gather of a transposed table", [5], table: model => model.Node("Transpose", [model.Weight("w", 16, 24)], "t"));
    }

    static void MatMuls()
    {
        void MatMul(TinyModel model, long rows, long cols) => model.Node("MatMul", ["x", model.Weight("w", rows, cols)], "y");

        Add("MatMul", [24], model => MatMul(model, 24, 16));
        Add("MatMul widening", [12], model => MatMul(model, 12, 40));
        Add("MatMul of a vector", [24], model => MatMul(model, 24, 16), isWhole: true);
        Add("MatMul of rank 3", [5, 24], model => MatMul(model, 24, 16));
        Add("MatMul of rank 4", [3, 2, 12], model => MatMul(model, 12, 40));
        Add("MatMul then Add", [24], model =>
        {
            MatMul(model, 24, 16);
            model.Node("Add", ["y", model.Weight("b", 16)], "z");
        });
        Add("MatMul then Add, bias first", [5, 12], model =>
        {
            MatMul(model, 12, 40);
            model.Node("Add", [model.Weight("b", 40), "y"], "z");
        });
        Add("MatMul that is the graph output", [24], model =>
        {
            MatMul(model, 24, 16);
            model.Outputs("y");
        });
        Add("LeftMatMul", [24, 3], model => model.Node("MatMul", [model.Weight("w", 16, 24), "x"], "y"));
        Add("LeftMatMul widening then Add", [12, 3], model =>
        {
            model.Node("MatMul", [model.Weight("w", 40, 12), "x"], "y");
            model.Node("Add", ["y", model.Weight("b", 40, 1)], "z");
        });
        Add("LeftMatMul of a vector", [24], model => model.Node("MatMul", [model.Weight("w", 16, 24), "x"], "y"), isWhole: true);
        Add("LeftMatMul without batch", [24, 3], model => model.Node("MatMul", [model.Weight("w", 16, 24), "x"], "y"), isWhole: true);
    }

    static void Gemms()
    {
        void Gemm(string name, int transA, int transB, float alpha, float beta, params long[]? c) =>
            Add(name, transA == 1 ? [24, 5] : [24], model =>
            {
                string[] inputs = ["x", transB == 1 ? model.Weight("w", 16, 24) : model.Weight("w", 24, 16)];
                inputs = c == null ? inputs : [.. inputs, model.Weight("c", c)];
                model.Node("Gemm", inputs, "y", ("transA", transA), ("transB", transB), ("alpha", alpha), ("beta", beta));
            }, isWhole: transA == 1);

        Gemm("Gemm", 0, 0, 1, 1, 16);
        Gemm("Gemm with alpha and beta", 0, 0, 0.25f, 3, 16);
        Gemm("Gemm transB", 0, 1, 1, 1, 16);
        Gemm("Gemm transB with alpha and beta", 0, 1, 2, 0.5f, 16);
        Gemm("Gemm transA", 1, 0, 1, 1, 16);
        Gemm("Gemm transA transB with alpha", 1, 1, 0.5f, 1, 16);
        Gemm("Gemm without C", 0, 1, 2, 3, null);
        Gemm("Gemm with scalar C", 0, 0, 1, 2, []);
        Gemm("Gemm with C (1)", 0, 0, 1, 2, 1);
        Gemm("Gemm with C (1, m)", 0, 1, 1, 2, 1, 16);
        Gemm("Gemm with C (1, 1)", 0, 0, 1, 2, 1, 1);
        Gemm("Gemm with beta 0", 0, 0, 1, 0, 16);
        Gemm("Gemm transA, addend (N, 1)", 1, 0, 0.5f, 2, 5, 1);
        Gemm("Gemm transA, addend (N, m)", 1, 1, 0.5f, 2, 5, 16);
        Add("Gemm widening", [12], model => model.Node("Gemm", ["x", model.Weight("w", 12, 40), model.Weight("c", 40)], "y", ("alpha", 2f)));
        Add("Gemm, addend that is computed", [24], model =>
        {
            string slice = model.Node("MatMul", ["x", model.Floats("small", TinyModel.Random([24, 1], 9), 24, 1)], "c");
            model.Node("Gemm", ["x", model.Weight("w", 24, 16), slice], "y", ("alpha", 0.5f), ("beta", 3f));
        });
        Add("Gemm without C then Add", [24], model =>
        {
            model.Node("Gemm", ["x", model.Weight("w", 24, 16)], "y", ("alpha", 3f));
            model.Node("Add", [model.Weight("b", 16), "y"], "z");
        });
    }

    static void ConvTransposes()
    {
        void Transpose(string name, long[] image, long[] weight, bool hasBias, (string, object)[] attributes, Action<TinyModel>? then = null) =>
            Add($"Deconv {name}", image, model =>
            {
                string[] inputs = ["x", model.Weight("w", weight)];
                model.Node("ConvTranspose", hasBias ? [.. inputs, model.Weight("b", weight[1])] : inputs, "y", attributes);
                then?.Invoke(model);
            });

        Transpose("plain", [12, 4, 5], [12, 10, 3, 3], false, []);
        Transpose("with bias, strides and output_padding", [12, 4, 5], [12, 10, 3, 3], true,
            [("strides", new long[] { 2, 2 }), ("pads", new long[] { 1, 1, 1, 1 }), ("output_padding", new long[] { 1, 1 })]);
        Transpose("with uneven pads and dilations", [12, 5, 4], [12, 10, 3, 2], true, [("dilations", new long[] { 2, 1 }), ("pads", new long[] { 0, 1, 2, 0 })]);
        Transpose("with output_shape", [12, 4, 4], [12, 10, 4, 4], false, [("strides", new long[] { 2, 2 }), ("output_shape", new long[] { 8, 8 })]);
        Transpose("over one axis", [12, 9], [12, 10, 4], true, [("strides", new long[] { 2 })]);
        Transpose("over three axes", [6, 3, 2, 3], [6, 10, 2, 2, 2], true, [("strides", new long[] { 2, 2, 2 })]);
        Transpose("then Add", [12, 4, 5], [12, 10, 3, 3], false, [], model => model.Node("Add", ["y", model.Weight("a", 1, 10, 1, 1)], "z"));
        Transpose("then BatchNormalization", [12, 4, 5], [12, 10, 3, 3], true, [("strides", new long[] { 2, 2 })], model => model.Node("BatchNormalization",
            [
                "y", model.Weight("gamma", 10), model.Weight("beta", 10), model.Weight("mean", 10),
                model.Floats("variance", [.. TinyModel.Random([10], 77).Select(value => 0.3f + value * value)], 10),
            ], "z"));
        Transpose("then Relu", [12, 4, 5], [12, 10, 3, 3], true, [], model => model.Node("Relu", ["y"], "r"));
    }

    static void Convs()
    {
        void Conv(string name, long[] image, long[] weight, bool hasBias, (string, object)[] attributes, Action<TinyModel>? then = null) =>
            Add(name, image, model =>
            {
                string[] inputs = ["x", model.Weight("w", weight)];
                model.Node("Conv", hasBias ? [.. inputs, model.Weight("b", weight[0])] : inputs, "y", attributes);
                then?.Invoke(model);
            });

        void Norm(TinyModel model, string input, string output, int channels) => model.Node("BatchNormalization",
            [
                input, model.Weight("gamma", channels), model.Weight("beta", channels), model.Weight("mean", channels),
                model.Floats("variance", [.. TinyModel.Random([channels], 77).Select(value => 0.3f + value * value)], channels),
            ], output, ("epsilon", 1e-3f));

        (string, object)[] pads = [("pads", new long[] { 1, 1, 1, 1 })];
        Conv("Conv", [6, 7, 6], [14, 6, 3, 3], false, []);
        Conv("Conv with bias and pads", [6, 7, 6], [14, 6, 3, 3], true, pads);
        Conv("Conv with kernel_shape and uneven pads", [6, 7, 6], [14, 6, 3, 2], true, [("kernel_shape", new long[] { 3, 2 }), ("pads", new long[] { 0, 1, 2, 1 })]);
        Conv("Conv with strides", [6, 9, 8], [14, 6, 3, 3], true, [("strides", new long[] { 2, 3 })]);
        Conv("Conv with dilations", [6, 9, 8], [14, 6, 3, 3], true, [("dilations", new long[] { 2, 3 })]);
        Conv("Conv with auto_pad SAME_UPPER", [6, 8, 7], [14, 6, 2, 2], true, [("auto_pad", "SAME_UPPER"), ("strides", new long[] { 2, 1 })]);
        Conv("Conv with auto_pad SAME_LOWER", [6, 8, 7], [14, 6, 2, 2], true, [("auto_pad", "SAME_LOWER")]);
        Conv("Conv with auto_pad VALID", [6, 8, 7], [14, 6, 3, 3], true, [("auto_pad", "VALID")]);
        Conv("Conv with groups", [8, 6, 6], [20, 4, 3, 3], true, [("group", 2), .. pads]);
        Conv("Conv with groups, no bias", [12, 6, 6], [24, 3, 3, 3], false, [("group", 4)]);
        Conv("Conv over one axis", [6, 20], [14, 6, 5], true, [("strides", new long[] { 2 }), ("pads", new long[] { 2, 1 })]);
        Conv("Conv over one axis with groups", [8, 20], [20, 4, 5], false, [("group", 2)]);
        Conv("Conv over three axes", [3, 5, 4, 5], [14, 3, 2, 3, 2], true, [("pads", new long[] { 1, 0, 1, 0, 1, 1 })]);
        Conv("Conv of a point", [20, 4, 4], [12, 20, 1, 1], true, []);
        Conv("Conv of a point, widening", [8, 4, 4], [30, 8, 1, 1], true, [("strides", new long[] { 2, 2 })]);
        Conv("Conv then Add", [6, 7, 6], [14, 6, 3, 3], false, [], model => model.Node("Add", ["y", model.Weight("a", 1, 14, 1, 1)], "z"));
        Conv("Conv with bias then Add, constant first", [6, 7, 6], [14, 6, 3, 3], true, [], model => model.Node("Add", [model.Weight("a", 14, 1, 1), "y"], "z"));
        Conv("Conv then BatchNormalization", [6, 7, 6], [14, 6, 3, 3], false, [], model => Norm(model, "y", "z", 14));
        Conv("Conv with bias then BatchNormalization", [6, 7, 6], [14, 6, 3, 3], true, pads, model => Norm(model, "y", "z", 14));
        Conv("Conv then Add, BatchNormalization and Add", [6, 7, 6], [14, 6, 3, 3], true, pads, model =>
        {
            model.Node("Add", ["y", model.Weight("a1", 1, 14, 1, 1)], "y1");
            Norm(model, "y1", "y2", 14);
            model.Node("Add", ["y2", model.Weight("a2", 14, 1, 1)], "z");
        });
        Conv("Conv with groups then BatchNormalization", [8, 6, 6], [20, 4, 3, 3], true, [("group", 2)], model => Norm(model, "y", "z", 20));
        Conv("Conv then Relu", [6, 7, 6], [14, 6, 3, 3], true, pads, model => model.Node("Relu", ["y"], "r"));
        Conv("Conv then Relu and MaxPool", [6, 8, 8], [14, 6, 3, 3], true, pads, model =>
        {
            model.Node("Relu", ["y"], "r");
            model.Node("MaxPool", ["r"], "p", ("kernel_shape", new long[] { 2, 2 }), ("strides", new long[] { 2, 2 }));
        });
        Conv("Conv then residual Add", [14, 6, 6], [14, 14, 3, 3], true, pads, model => model.Node("Add", ["y", "x"], "s"));
        Conv("Conv that is the graph output", [6, 7, 6], [14, 6, 3, 3], true, pads, model => model.Outputs("y"));
    }
}
