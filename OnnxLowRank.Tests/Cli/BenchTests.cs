using System.Text.Json;
using Google.Protobuf;
using OnnxLowRank.Onnx;
using DataType = OnnxLowRank.Onnx.Proto.TensorProto.Types.DataType;

namespace OnnxLowRank.Tests.Cli;

/// <summary><c>onnx-lowrank bench</c>, as a user runs it. What times are is another matter: see <see cref="BenchmarkSettingTests"/>.</summary>
public sealed class BenchTests : IDisposable
{
    readonly Playground _playground = new();

    public BenchTests() => Save("fixed.onnx", 8, 16);

    public void Dispose() => _playground.Dispose();

    /// <summary>y = x·w.</summary>
    void Save(string name, params int?[] shape) => _playground.Write(name, Playground.Model(new()
    {
        Name = "product",
        Input = { Playground.Value("x", DataType.Float, shape) },
        Output = { Playground.Value("y", DataType.Float, [.. shape[..^1], 40]) },
        Initializer = { Playground.Weight("w", 16, 40) },
        Node = { NodeAttributes.Create("MatMul", "product", ["x", "w"], ["y"]) },
    }).ToByteArray());

    CommandResult Run(params string[] arguments) => CommandLine.Run(_playground.Folder, ["bench", .. arguments, "--seconds", "0.01"]);

    JsonElement Report(params string[] arguments)
    {
        var result = Run([.. arguments, "--json", "-"]);
        Assert.True(result.Exit == 0, result.ToString());
        return JsonDocument.Parse(result.Output).RootElement;
    }

    static (int Threads, int Batch, int[] Models)[] Settings(JsonElement report) =>
        [.. report.GetProperty("settings").EnumerateArray().Select(setting => (
            setting.GetProperty("threads").GetInt32(), setting.GetProperty("batch").GetInt32(),
            setting.GetProperty("times").EnumerateArray().Select(times => times.GetProperty("model").GetInt32()).ToArray()))];

    [Fact]
    public void Every_setting_has_times_of_every_model()
    {
        var report = Report("in.onnx", "in.onnx", "--threads", "1,2", "--batch", "4,1,4");

        Assert.Equal([(1, 1), (1, 4), (2, 1), (2, 4)], Settings(report).Select(setting => (setting.Threads, setting.Batch)));
        foreach (var setting in report.GetProperty("settings").EnumerateArray())
        {
            Assert.True(setting.GetProperty("rounds").GetInt32() >= 10);
            Assert.Equal(2, setting.GetProperty("times").GetArrayLength());
            foreach (var times in setting.GetProperty("times").EnumerateArray())
            {
                double[] ascending = [.. new[] { "min", "median", "p90", "p99" }.Select(name => times.GetProperty($"{name}Milliseconds").GetDouble())];
                Assert.True(ascending[0] > 0);
                Assert.Equal(ascending.Order(), ascending);
                Assert.True(times.GetProperty("samplesPerSecond").GetDouble() > 0);
                Assert.InRange(times.GetProperty("ratio").GetDouble(), times.GetProperty("ratioLow").GetDouble(), times.GetProperty("ratioHigh").GetDouble());
            }
            Assert.Equal(1, setting.GetProperty("times")[0].GetProperty("ratio").GetDouble());
        }
        Assert.All(report.GetProperty("models").EnumerateArray(), model => Assert.Equal("in.onnx", model.GetProperty("path").GetString()));
    }

    /// <summary>64 MB of weights, of which the process holds at least one copy, and gives the model that comes second no part of the first one's.</summary>
    [Fact]
    public void Memory_is_that_of_each_model()
    {
        var model = new TinyModel();
        model.Input("x", null, 4096);
        model.Node("MatMul", ["x", model.Weight("w", 4096, 4096)], "y");
        model.Outputs("y");
        _playground.Write("large.onnx", model.Build().ToBytes());

        var models = Report("large.onnx", "in.onnx", "large.onnx", "--threads", "1", "--batch", "1").GetProperty("models");

        long[] memory = [.. models.EnumerateArray().Select(item => item.GetProperty("memoryBytes").GetInt64())];
        Assert.InRange(memory[0], 60_000_000, 250_000_000);
        Assert.InRange(memory[1], 0, 30_000_000);
        Assert.InRange(memory[2], 60_000_000, 250_000_000);
    }

    [Fact]
    public void A_table_tells_the_ratio_and_the_samples_repeat_in_a_large_batch()
    {
        var result = Run("in.onnx", "in.onnx", "--calib", "calib", "--batch", "100", "--threads", "1", "--json", "all.json");

        Assert.True(result.Exit == 0, result.ToString());
        Assert.Matches(@"(?m)^ *1 +100 +A .* 1 *$", result.Output);
        Assert.Matches(@"(?m)^ *1 +100 +B .* \d\.\d{3} +\d+\.\d{3}-\d+\.\d{3} *$", result.Output);
        var report = _playground.Json("all.json");
        Assert.Equal("calib", report.GetProperty("calibration").GetString());
    }

    [Fact]
    public void A_fixed_batch_is_met_or_left_out_with_a_note()
    {
        var own = Report("fixed.onnx", "--threads", "1");
        var both = Report("fixed.onnx", "in.onnx", "--threads", "1", "--batch", "1,8");

        Assert.Equal([8], Settings(own).Select(setting => setting.Batch));
        Assert.Equal([(1, 1), (8, 2)], Settings(both).Select(setting => (setting.Batch, setting.Models.Length)));
        Assert.Equal([1], Settings(both)[0].Models);
        Assert.Equal(JsonValueKind.Null, both.GetProperty("settings")[0].GetProperty("times")[0].GetProperty("ratio").ValueKind);
        Assert.Contains(both.GetProperty("notes").EnumerateArray(), note => note.GetString() == "fixed.onnx: not measured at batch 1: it takes 8 per run");
    }

    [Fact]
    public void A_batch_that_no_model_takes_ends_in_one_line()
    {
        var result = Run("fixed.onnx", "--batch", "1,32");

        Assert.True(result.Exit == 2, result.ToString());
        Assert.Contains("--batch 1,32: fixed.onnx does not take it; its own batch is 8", Assert.Single(result.ErrorLines));
    }

    [Fact]
    public void Open_shapes_need_samples()
    {
        Save("open.onnx", null, null, 16);
        _playground.WriteSamples(Playground.Values(3 * 5 * 16), 3, 5, 16);

        var result = Run("open.onnx");

        Assert.True(result.Exit == 4, result.ToString());
        Assert.Contains("open.onnx: needs --calib: its inputs leave more than the batch open ('x' [?,?,16])", Assert.Single(result.ErrorLines));
        Assert.Single(Settings(Report("open.onnx", "--calib", "calib", "--batch", "7", "--threads", "1")));
    }

    [Theory]
    [InlineData(2, "--batch '1,,32' is not a list of whole numbers such as 1,32", "in.onnx", "--batch", "1,,32")]
    [InlineData(2, "--threads '1;2' is not a list of whole numbers such as 1,32", "in.onnx", "--threads", "1;2")]
    [InlineData(2, "--batch 1,0 has a number that is not ≥ 1", "in.onnx", "--batch", "1,0")]
    [InlineData(2, "--threads 0 has a number that is not ≥ 1", "in.onnx", "--threads", "0")]
    [InlineData(2, "--json in.onnx: the name must end with .json, or be -", "in.onnx", "--json", "in.onnx")]
    [InlineData(2, "device 'gpu' is not", "in.onnx", "--device", "gpu")]
    [InlineData(2, "did you mean --batch?", "in.onnx", "--bach", "1")]
    [InlineData(3, "nowhere.onnx: cannot be read", "in.onnx", "nowhere.onnx")]
    [InlineData(4, "nowhere", "in.onnx", "--calib", "nowhere")]
    public void Bad_options_end_in_one_line(int exit, string message, params string[] arguments)
    {
        var before = _playground.Contents();
        var result = Run(arguments);

        Assert.True(result.Exit == exit, result.ToString());
        Assert.Contains(message, Assert.Single(result.ErrorLines));
        Assert.Equal(before, _playground.Contents());
    }

    [Theory]
    [InlineData("0")]
    [InlineData("-1")]
    [InlineData("NaN")]
    public void Times_must_be_positive(string seconds)
    {
        var result = CommandLine.Run(_playground.Folder, "bench", "in.onnx", "--seconds", seconds);

        Assert.True(result.Exit == 2, result.ToString());
        Assert.Contains($"--seconds {seconds} is not between 0 and 86400", Assert.Single(result.ErrorLines));
    }

    [Fact]
    public void Help_shows_how_it_is_called()
    {
        var result = CommandLine.Run(_playground.Folder, "bench", "--help");

        Assert.Equal(0, result.Exit);
        Assert.Matches(@"onnx-lowrank bench <A\.onnx>\.\.\. \[options\]", result.Output);
    }
}
