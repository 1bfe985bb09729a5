using System.Text.Json;
using OnnxLowRank.Onnx;
using OnnxLowRank.Onnx.Proto;

namespace OnnxLowRank.Tests.Cli;

/// <summary>A few of the faults that <c>scripts/fault-test.sh</c> tries by the hundred, and what the bytes of an output may depend on.</summary>
public sealed class FaultTests : IDisposable
{
    readonly Playground _playground = new();

    public void Dispose() => _playground.Dispose();

    string[] Names => [.. Directory.EnumerateFileSystemEntries(_playground.Folder).Select(entry => Path.GetFileName(entry)).Order(StringComparer.Ordinal)];

    JsonElement Report() => _playground.Json("report.json");

    [Theory]
    [InlineData(0)]
    [InlineData(50)]
    [InlineData(200)]
    [InlineData(600)]
    [InlineData(1200)]
    public void What_a_killed_run_leaves_goes_with_the_next(int afterMilliseconds)
    {
        Assert.SkipWhen(OperatingSystem.IsWindows(), "Windows deletes no folder that a process is in");
        string temporary = Directory.CreateDirectory(_playground.PathOf("tmp")).FullName;
        string[] before = Names;
        string[] arguments = ["in.onnx", "out.onnx", "--calib", "calib", "--tolerance", "0.2", "--report", "report.json", "-q"];
        using (var process = CommandLine.Start(_playground.Folder, new() { ["TMPDIR"] = temporary }, arguments))
        {
            while (!process.HasExited && !Directory.EnumerateDirectories(_playground.Folder, ".out.onnx.*").Any())
            {
                Thread.Sleep(1);
            }
            Thread.Sleep(afterMilliseconds);
            process.Kill();
            CommandLine.Finish(process);
        }
        Assert.True(!File.Exists(_playground.Output) || OnnxModel.Load(_playground.Output) != null);

        var result = CommandLine.RunWith(new() { ["TMPDIR"] = temporary }, _playground.Folder, arguments);

        Assert.True(result.Exit == 0, result.ToString());
        Assert.Equal([.. before.Concat(["out.onnx", "report.json"]).Order(StringComparer.Ordinal)], Names);
        Assert.Empty(Directory.EnumerateFileSystemEntries(temporary));
    }

    [Fact]
    public void A_model_and_its_weights_are_replaced_together()
    {
        var model = Playground.Classifier();
        var weight = model.Graph.Initializer[0];
        _playground.Write("w.bin", weight.RawData.ToByteArray());
        weight.ClearRawData();
        weight.DataLocation = TensorProto.Types.DataLocation.External;
        weight.ExternalData.Add(new StringStringEntryProto { Key = "location", Value = "w.bin" });
        _playground.Save(model);
        string[] before = Names;

        var weights = new List<string>();
        foreach (string cpu in new[] { "vnni", "avx2", "avx2" })
        {
            var result = _playground.Run("--method", "none", "--format", "int8", "--target-cpu", cpu, "--tolerance", "1", "--no-timing", "-q");
            Assert.True(result.Exit == 0, result.ToString());
            weights.Add(Assert.Single(WeightsFile.NamesOf(_playground.Output)!));
            Assert.Equal([.. before.Concat(["out.onnx", weights[^1]]).Order(StringComparer.Ordinal)], Names);
            Assert.True(OnnxModel.Load(_playground.Output).StoredExternally);
        }

        Assert.NotEqual(weights[0], weights[1]);
        Assert.Equal(weights[1], weights[2]);
        var small = _playground.Run("--method", "none", "--format", "int4", "--tolerance", "1", "--no-timing", "-q");
        Assert.True(small.Exit == 0, small.ToString());
        Assert.Equal([.. before.Append("out.onnx").Order(StringComparer.Ordinal)], Names); // nothing left that is worth a file of its own
    }

    [Fact]
    public void Layers_are_timed_without_a_folder_for_temporary_files()
    {
        var result = CommandLine.RunWith(new() { ["TMPDIR"] = "/nowhere" }, _playground.Folder,
            "in.onnx", "out.onnx", "--calib", "calib", "--tolerance", "0.2", "--report", "report.json");

        Assert.True(result.Exit == 0, result.ToString());
        Assert.DoesNotContain("could not be timed", Report().GetProperty("notes").ToString(), StringComparison.Ordinal);
        Assert.Contains(Report().GetProperty("layers").EnumerateArray(), layer => layer.GetProperty("microsecondsAfter").ValueKind == JsonValueKind.Number);
    }

    [Fact]
    public void Deterministic_bytes_do_not_depend_on_threads()
    {
        foreach (string threads in new[] { "1", "3" })
        {
            var result = CommandLine.RunWith(new() { ["OPENBLAS_NUM_THREADS"] = threads, ["XDG_CACHE_HOME"] = _playground.PathOf("cache") }, _playground.Folder,
                CommandLine.Digits, $"{threads}.onnx", "--calib", CommandLine.DigitsCalibration, "--deterministic", "--threads", threads, "--report", "report.json", "-q");
            Assert.True(result.Exit == 0, result.ToString());
        }

        Assert.Equal(File.ReadAllBytes(_playground.PathOf("1.onnx")), File.ReadAllBytes(_playground.PathOf("3.onnx")));
        Assert.False(Directory.Exists(_playground.PathOf("cache"))); // no clock was asked
        var options = Report().GetProperty("options");
        Assert.Equal("true", options.GetProperty("deterministic").GetString());
        Assert.Equal("true", options.GetProperty("no-timing").GetString());
        Assert.Equal("1", options.GetProperty("threads").GetString());
    }
}
