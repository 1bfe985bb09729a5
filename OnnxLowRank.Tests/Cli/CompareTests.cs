using System.Text.Json;
using Google.Protobuf;
using OnnxLowRank.Onnx.Proto;
using DataType = OnnxLowRank.Onnx.Proto.TensorProto.Types.DataType;

namespace OnnxLowRank.Tests.Cli;

/// <summary><c>onnx-lowrank compare</c>, as a user runs it.</summary>
public sealed class CompareTests : IDisposable
{
    readonly Playground _playground = new();

    public CompareTests() => Save("b.onnx", Playground.Classifier("Relu"));

    public void Dispose() => _playground.Dispose();

    void Save(string name, ModelProto model) => _playground.Write(name, model.ToByteArray());

    CommandResult Run(params string[] options) => CommandLine.Run(_playground.Folder, ["compare", "in.onnx", "b.onnx", "--calib", "calib", .. options]);

    /// <summary>A Relu behind the logits moves them; the table says by how much, the JSON says all.</summary>
    [Fact]
    public void The_table_and_the_file_tell_the_same()
    {
        var result = Run("--labels", "labels.npy", "--json", "all.json", "--worst", "3", "--top", "2");

        Assert.True(result.Exit == 0, result.ToString());
        var report = _playground.Json("all.json");
        Assert.Equal(("in.onnx", "b.onnx", Playground.Samples),
            (report.GetProperty("a").GetProperty("path").GetString(), report.GetProperty("b").GetProperty("path").GetString(), report.GetProperty("samples").GetInt32()));
        Assert.Equal(4, report.GetProperty("classes").GetArrayLength());
        Assert.Equal(3, report.GetProperty("worst").GetArrayLength());
        foreach (var metric in report.GetProperty("metrics").EnumerateArray())
        {
            Assert.InRange(metric.GetProperty("loss").GetDouble(), metric.GetProperty("low").GetDouble(), metric.GetProperty("high").GetDouble());
            Assert.Matches($@"(?m)^ *{metric.GetProperty("metric").GetString()} +y ", result.Output);
        }
        Assert.Contains("2 more classes; --top shows more, --json all", result.Output);
        int worst = report.GetProperty("worst")[0].GetProperty("sample").GetInt32();
        Assert.Matches($@"(?m)^ *{worst} +y ", result.Output);
    }

    [Fact]
    public void Standard_output_is_json_alone_when_asked_for()
    {
        var result = Run("--json", "-");

        Assert.True(result.Exit == 0, result.ToString());
        Assert.Equal("onnx-lowrank", JsonDocument.Parse(result.Output).RootElement.GetProperty("tool").GetProperty("name").GetString());
    }

    [Theory]
    [InlineData(2, "--top 0 is not ≥ 1", "--top", "0")]
    [InlineData(2, "--worst -1 is not ≥ 0", "--worst", "-1")]
    [InlineData(2, "--json x.txt: the name must end with .json, or be -", "--json", "x.txt")]
    [InlineData(2, "did you mean --labels?", "--label", "labels.npy")]
    [InlineData(4, "nowhere", "--labels", "nowhere")]
    public void Bad_options_end_in_one_line(int exit, string message, params string[] options)
    {
        var before = _playground.Contents();
        var result = Run(options);

        Assert.True(result.Exit == exit, result.ToString());
        Assert.Contains(message, Assert.Single(result.ErrorLines));
        Assert.Equal(before, _playground.Contents());
    }

    [Fact]
    public void Samples_are_required()
    {
        var result = CommandLine.Run(_playground.Folder, "compare", "in.onnx", "b.onnx");

        Assert.True(result.Exit == 2, result.ToString());
        Assert.Contains("--calib", Assert.Single(result.ErrorLines));
    }

    /// <summary>y = Cast(x) to floats, of inputs and outputs as a test wants them.</summary>
    static ModelProto Other(string input, DataType type, int?[] shape, string output, params string[] added)
    {
        var graph = new GraphProto
        {
            Name = "other",
            Node = { TinyModel.Call("Cast", [input], [output], ("to", (int)DataType.Float)) },
            Input = { Playground.Value(input, type, shape) },
            Output = { Playground.Value(output, DataType.Float, shape) },
        };
        foreach (string name in added)
        {
            graph.Node.Add(TinyModel.Call("Identity", [output], [name]));
            graph.Output.Add(Playground.Value(name, DataType.Float, shape));
        }
        return Playground.Model(graph);
    }

    public static TheoryData<string, string> Misfits => new()
    {
        { "input name", "b.onnx: has no input 'x', which in.onnx has" },
        { "input type", "b.onnx: input 'x' is int64 [?,4], but float32 [?,4] in in.onnx" },
        { "input shape", "b.onnx: input 'x' is float32 [?,5], but float32 [?,4] in in.onnx" },
        { "output name", "b.onnx: has no output 'y', which in.onnx has" },
        { "more outputs", "b.onnx: has an output 'z', which in.onnx has not" },
        { "broken", "b.onnx: not an ONNX model" },
        { "refused", "b.onnx: ONNX Runtime cannot load the model" },
    };

    [Theory, MemberData(nameof(Misfits))]
    public void A_second_model_that_does_not_fit_is_named_with_what_does_not(string misfit, string message)
    {
        Save("in.onnx", Other("x", DataType.Float, [null, 4], "y"));
        var refused = Other("x", DataType.Float, [null, 4], "y");
        refused.Graph.Node[0].OpType = "NoSuchOperator";
        _playground.Write("b.onnx", misfit switch
        {
            "input name" => Other("w", DataType.Float, [null, 4], "y").ToByteArray(),
            "input type" => Other("x", DataType.Int64, [null, 4], "y").ToByteArray(),
            "input shape" => Other("x", DataType.Float, [null, 5], "y").ToByteArray(),
            "output name" => Other("x", DataType.Float, [null, 4], "w").ToByteArray(),
            "more outputs" => Other("x", DataType.Float, [null, 4], "y", "z").ToByteArray(),
            "refused" => refused.ToByteArray(),
            _ => [1, 2, 3],
        });

        var result = Run();

        Assert.True(result.Exit == 3, result.ToString());
        Assert.StartsWith($"onnx-lowrank: {message}", Assert.Single(result.ErrorLines));
    }

    [Fact]
    public void Labels_and_samples_must_fit()
    {
        _playground.Npy("few.npy", [3], 0L, 1L, 2L);
        _playground.Npy("large.npy", [Playground.Samples], Enumerable.Repeat(9L, Playground.Samples).ToArray());
        var (few, large) = (Run("--labels", "few.npy"), Run("--labels", "large.npy"));

        Assert.Equal((4, 4), (few.Exit, large.Exit));
        Assert.Contains("few.npy: 3 labels for 64 samples", Assert.Single(few.ErrorLines));
        Assert.Contains("label 9, but output 'y' has 4 classes", Assert.Single(large.ErrorLines));
    }
}
