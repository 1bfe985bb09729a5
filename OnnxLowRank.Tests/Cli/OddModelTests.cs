using System.Text.Json;
using OnnxLowRank.Onnx;
using OnnxLowRank.Onnx.Proto;
using static OnnxLowRank.Onnx.Proto.TensorProto.Types;

namespace OnnxLowRank.Tests.Cli;

/// <summary>Models that are valid but unusual: names, opsets, inputs and axes that most models do not have.</summary>
public sealed class OddModelTests : IDisposable
{
    const int Samples = 64;

    readonly Playground _playground = new();

    public void Dispose() => _playground.Dispose();

    /// <summary>x (N, 64) → one MatMul to 48 → out, unless the model makes something else of it.</summary>
    void Save(Action<TinyModel> make, int opset = 17, int ir = 8, string input = "x")
    {
        var model = new TinyModel(opset, ir);
        model.Input(input, null, 64);
        make(model);
        if (model.Graph.Output.Count == 0)
        {
            model.Outputs(model.Graph.Node[^1].Output[0]);
        }
        _playground.Save(model.Build().Proto);
        Directory.Delete(_playground.PathOf("calib"), recursive: true);
        Npy(input.Replace('/', '_').Replace(':', '_'), 64);
    }

    void Npy(string name, params long[] sample) => _playground.Npy($"calib/{name}.npy", [Samples, .. sample], TinyModel.Random([Samples, .. sample], seed: 3));

    static string MatMul(TinyModel model, string x = "x", string w = "w", string y = "y", int columns = 48) => model.Node("MatMul", [x, model.Weight(w, 64, columns)], y);

    /// <summary>8 bits, so that a layer of random numbers can be rewritten.</summary>
    CommandResult Compress(params string[] options) => Run(["--metric", "relative", "--tolerance", "0.1", "--method", "none", "--format", "int8", .. options]);

    CommandResult Run(params string[] options) => _playground.Run(["--no-timing", "--report", "r.json", .. options]);

    JsonElement[] Layers() => [.. _playground.Json("r.json").GetProperty("layers").EnumerateArray()];

    static (string?, string?) Fate(JsonElement layer) => (layer.GetProperty("action").GetString(), layer.GetProperty("reason").GetString());

    static void AssertExit(int code, CommandResult result, params string[] says)
    {
        Assert.True(result.Exit == code, result.ToString());
        Assert.All(says, text => Assert.Contains(text, result.ToString(), StringComparison.Ordinal));
        Assert.DoesNotContain("defect", result.Error, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("", "")]
    [InlineData("y2", "y")] // as values are named
    [InlineData("слой 1/\U0001F600 e\u0301", "層")]
    [InlineData("[red]x[/] {0} %s <b> \\ \"", "'")]
    [InlineData("a\0b\u001b[2Jc\nd", "\u202Ex")]
    public void Nodes_may_have_any_names(string first, string second)
    {
        Save(model =>
        {
            model.Node("MatMul", [model.Node("Relu", [MatMul(model)], "r"), model.Weight("w2", 48, 64)], "y2");
            (model.Graph.Node[0].Name, model.Graph.Node[2].Name) = (first, second);
        });

        var result = Compress("-v", "--report", "r.html");

        AssertExit(0, result);
        Assert.Equal(2, Layers().Count(layer => layer.GetProperty("action").GetString() == "quantize"));
        Assert.DoesNotContain(result.Output + result.Error, text => char.IsControl(text) && text != '\n');
        Assert.DoesNotContain('\u202E', result.Output);
        AssertExit(0, CommandLine.Run(_playground.Folder, "inspect", "out.onnx"));
        AssertExit(0, CommandLine.Run(_playground.Folder, "inspect", "in.onnx"));
    }

    [Fact]
    public void Values_may_have_names_in_any_script_and_keep_them()
    {
        string input = "入力/é:0 \U0001F600";
        Save(model =>
        {
            MatMul(model, input, "重み", "выход/𝔶");
            model.Node("Tanh", ["выход/𝔶"], "خروج");
        }, input: input);

        AssertExit(0, Compress());

        var graph = OnnxModel.Load(_playground.Output).Graph;
        Assert.Equal((input, "خروج"), (graph.Input[0].Name, graph.Output[0].Name));
    }

    [Fact]
    public void A_value_with_a_zero_character_in_its_name_is_refused()
    {
        Save(model => MatMul(model, y: "a\0b"));

        AssertExit(3, Compress(), "a\\0b");
    }

    [Fact]
    public void A_layer_without_rows_is_left_alone_and_the_others_are_not()
    {
        Save(model =>
        {
            model.Input("past", null, 0, 64);
            MatMul(model, columns: 64);
            MatMul(model, "past", "w2", "none", columns: 64);
            model.Node("Concat", ["none", model.Node("Unsqueeze", ["y", model.Ints("axes", 1)], "rows")], "z", ("axis", 1));
        });
        Npy("past", 0, 64);

        foreach (string[] options in new string[][] { ["--method", "none", "--format", "int8"], ["--format", "auto"], ["--format", "fp32", "--tolerance", "2"] })
        {
            AssertExit(0, Run(["--metric", "relative", .. options.Contains("--tolerance") ? options : [.. options, "--tolerance", "0.1"]]));
            Assert.Equal(["keep", "other"], Layers().Select(layer => Fate(layer) is ("keep", { } reason) && reason.Contains("length 0", StringComparison.Ordinal) ? "keep" : "other").Order());
            File.Delete(_playground.Output);
        }
        AssertExit(0, CommandLine.Run(_playground.Folder, "inspect", "in.onnx", "--calib", "calib"));
    }

    [Fact]
    public void A_cache_of_length_0_is_an_input_as_any_other()
    {
        Save(model =>
        {
            model.Input("past", null, 0, 64);
            model.Node("Concat", ["past", model.Node("Unsqueeze", ["x", model.Ints("axes", 1)], "token")], "sequence", ("axis", 1));
            MatMul(model, "sequence");
        });
        Npy("past", 0, 64);

        AssertExit(0, Compress());
        Assert.Equal("quantize", Layers().Single().GetProperty("action").GetString());
    }

    [Theory]
    [InlineData("cosine")]
    [InlineData("kl")]
    [InlineData("relative")]
    public void Outputs_of_length_0_are_not_compared(string metric)
    {
        Save(model =>
        {
            model.Input("past", null, 0, 64);
            model.Node("Relu", ["past"], "next");
            MatMul(model);
            model.Graph.Output.Add([TinyModel.Value("next", DataType.Float, null, 0, 64), TinyModel.Value("y", DataType.Float, null, 48)]);
        });
        Npy("past", 0, 64);

        AssertExit(0, Run("--metric", metric, "--tolerance", "0.1", "--method", "none", "--format", "int8"));
        // With the output that is always empty as the only one compared, whatever becomes of the other would do.
        Assert.True(_playground.Json("r.json").GetProperty("verified").GetProperty("loss").GetDouble() > 1e-7);
    }

    [Fact]
    public void A_model_without_inputs_can_be_looked_at()
    {
        var model = new TinyModel();
        model.Node("MatMul", [model.Weight("a", 16, 64), model.Weight("w", 64, 48)], "y");
        model.Outputs("y");
        _playground.Save(model.Build().Proto);

        AssertExit(0, CommandLine.Run(_playground.Folder, "inspect", "in.onnx"));
        AssertExit(4, Compress(), "no inputs");
    }

    [Fact]
    public void Inputs_that_no_sample_holds_are_named_and_do_not_keep_weights_from_being_looked_at()
    {
        foreach (var (type, says) in new (TypeProto, string)[]
        {
            (new() { TensorType = new() { ElemType = (int)DataType.String, Shape = new() } }, "of strings"),
            (new() { SequenceType = new() { ElemType = TinyModel.Value("", DataType.Float).Type } }, "a sequence"),
            (new() { OptionalType = new() { ElemType = TinyModel.Value("", DataType.Float, 1).Type } }, "optional"),
        })
        {
            var model = new TinyModel();
            model.Input("x", null, 64);
            MatMul(model);
            model.Node("Identity", ["more"], "same");
            model.Outputs("y");
            var proto = model.Build().Proto;
            proto.Graph.Input.Add(new ValueInfoProto { Name = "more", Type = type });
            _playground.Save(proto);

            AssertExit(3, Compress(), $"in.onnx: input 'more' is {says}, which samples cannot be given for");
            AssertExit(0, CommandLine.Run(_playground.Folder, "inspect", "in.onnx"), $"note: multiply-adds are not known: input 'more' is {says}");
        }
    }

    [Fact]
    public void A_model_with_nothing_to_rewrite_ends_as_documented()
    {
        Save(model => model.Node("Relu", ["x"], "y"));

        AssertExit(5, Compress(), "no layer can be rewritten");
        Assert.False(File.Exists(_playground.Output));
    }

    [Fact]
    public void An_old_model_is_written_in_a_newer_opset_that_means_the_same()
    {
        Save(model => model.Node("Relu", [MatMul(model)], "z"), opset: 6, ir: 3);

        AssertExit(0, Compress(), "note: opset 6 becomes 7");
        Assert.Equal(7, OnnxModel.Load(_playground.Output).Opset);
        Assert.Equal("quantize", Layers().Single().GetProperty("action").GetString());
    }

    [Fact]
    public void A_weight_that_is_stored_sparse_is_said_to_be()
    {
        Save(model =>
        {
            long[] places = [.. Enumerable.Range(0, 40).Select(i => i * 70L)];
            model.Graph.SparseInitializer.Add(new SparseTensorProto { Values = TensorData.Floats("w", TinyModel.Random([40], 1), 40), Indices = TensorData.Int64s("", places), Dims = { 64, 48 } });
            model.Node("MatMul", ["x", "w"], "y");
        });

        AssertExit(5, Compress(), "its weight 'w' is stored as a sparse tensor");
    }
}
