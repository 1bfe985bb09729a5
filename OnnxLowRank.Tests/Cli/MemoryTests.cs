using System.Text;
using System.Text.Json;
using Google.Protobuf;
using OnnxLowRank.Onnx;

namespace OnnxLowRank.Tests.Cli;

/// <summary>Models that take more than --memory.</summary>
public sealed class MemoryTests : IDisposable
{
    readonly Playground _playground = new();

    public void Dispose() => _playground.Dispose();

    [Fact]
    public void Little_memory_gives_the_same_bytes()
    {
        const int Narrow = 256, Wide = 4096; // moments of 256 channels fit into the least memory
        var model = new TinyModel();
        model.Input("x", null, Narrow);
        model.Node("MatMul", ["x", model.Weight("w1", Narrow, Wide)], "a");
        model.Node("Relu", ["a"], "b");
        model.Node("MatMul", ["b", model.Weight("w2", Wide, Narrow)], "y");
        model.Outputs("y");
        var proto = model.Build().Proto;
        ExternalData.Save(proto, _playground.PathOf("large.onnx"));
        File.WriteAllBytes(_playground.PathOf("large.onnx"), proto.ToByteArray());
        float[] samples = [.. Enumerable.Range(0, 32 * Narrow).Select(i => MathF.Sin(i * i % 10007))];
        _playground.Npy("x.npy", [32, Narrow], samples);

        var reports = new List<JsonElement>();
        foreach (var (output, memory) in new[] { ("a.onnx", "1GiB"), ("b.onnx", "1MiB") })
        {
            var result = CommandLine.Run(_playground.Folder,
                "large.onnx", output, "--calib", "x.npy", "--metric", "relative", "--tolerance", "0.1", "--no-timing", "--memory", memory, "--report", "report.json", "-q");
            Assert.True(result.Exit == 0, result.ToString());
            reports.Add(_playground.Json("report.json"));
        }

        string[] weights = [.. new[] { "a.onnx", "b.onnx" }.Select(output => Assert.Single(WeightsFile.NamesOf(_playground.PathOf(output))!))];
        Assert.Equal(weights[1], "b" + weights[0][1..]);
        Assert.Equal(File.ReadAllBytes(_playground.PathOf(weights[0])), File.ReadAllBytes(_playground.PathOf(weights[1])));
        // The file with weights has the output's name, which is as long in both.
        string Text(string output) => Encoding.Latin1.GetString(File.ReadAllBytes(_playground.PathOf(output)));
        Assert.Equal(Text("a.onnx").Replace(weights[0], weights[1], StringComparison.Ordinal), Text("b.onnx"));
        Assert.All(reports, report => Assert.True(report.GetProperty("after").GetProperty("bytes").GetInt64() < 4 * Narrow * Wide));
        Assert.Equal(reports[0].GetProperty("verified").GetRawText(), reports[1].GetProperty("verified").GetRawText());
        Assert.DoesNotContain("not timed", Notes(reports[0]), StringComparison.Ordinal);
        Assert.Contains("whole models are not timed: loading both takes more than --memory 1,048,576 bytes", Notes(reports[1]), StringComparison.Ordinal);
        Assert.Equal(JsonValueKind.Null, reports[1].GetProperty("after").GetProperty("milliseconds").ValueKind);
        Assert.DoesNotContain(Directory.EnumerateFileSystemEntries(_playground.Folder), path => path.EndsWith(".tmp", StringComparison.Ordinal));
    }

    /// <summary>Moments of 1,024 channels take 12 MB.</summary>
    [Fact]
    public void Layers_too_wide_for_the_memory_are_measured_by_a_sketch()
    {
        const int Wide = 1024;
        var model = new TinyModel();
        model.Input("x", null, Wide);
        model.Node("MatMul", ["x", model.Weight("w1", Wide, Wide)], "a");
        model.Node("MatMul", ["a", model.Weight("w2", Wide, Wide)], "y");
        model.Outputs("y");
        File.WriteAllBytes(_playground.PathOf("wide.onnx"), model.Build().Proto.ToByteArray());
        // Mixtures of some waves, the later ones weaker.
        _playground.Npy("x.npy", [64, Wide], [.. Enumerable.Range(0, 64 * Wide).Select(i =>
            Enumerable.Range(1, 30).Sum(wave => MathF.Sin(i / Wide * wave * wave) * MathF.Sin(i % Wide * wave * 0.37f) / wave))]);
        string[] usual = ["--calib", "x.npy", "--metric", "relative", "--tolerance", "0.1", "--format", "fp32", "--no-timing", "--report", "report.json", "-q"];

        (int Exit, long Bytes, string Notes) Compress(params string[] options)
        {
            var result = CommandLine.Run(_playground.Folder, ["wide.onnx", "out.onnx", .. usual, .. options]);
            Assert.True(result.Exit == 0, result.ToString());
            var report = _playground.Json("report.json");
            return (result.Exit, report.GetProperty("after").GetProperty("bytes").GetInt64(), Notes(report));
        }
        var all = Compress("--memory", "1GiB");
        var sketched = Compress("--memory", "1MiB");
        Assert.Equal(0, CommandLine.Run(_playground.Folder, "calibrate", "wide.onnx", "--calib", "x.npy", "--stats", "wide.stats", "--memory", "1MiB", "-q").Exit);
        var fromStats = Compress("--memory", "1MiB", "--stats", "wide.stats");

        const string Expected = "moments of 2 layers take more than --memory: sketched, the widest (a_node, 1,024 channels) with 64 mixtures of its channels";
        Assert.Equal((0, 0, 0), (all.Exit, sketched.Exit, fromStats.Exit));
        Assert.DoesNotContain(Expected, all.Notes, StringComparison.Ordinal);
        Assert.All(new[] { sketched, fromStats }, run => Assert.Contains(Expected, run.Notes, StringComparison.Ordinal));
        Assert.True(all.Bytes < 4 * Wide * Wide, $"{all.Bytes:N0} bytes");
        Assert.All(new[] { sketched, fromStats }, run => Assert.InRange(run.Bytes, 0.9 * all.Bytes, 1.1 * all.Bytes));
    }

    static string Notes(JsonElement report) => report.GetProperty("notes").GetRawText();
}
