using System.Runtime.InteropServices;
using System.Text.Json;
using OnnxLowRank.Onnx;
using OnnxLowRank.Onnx.Proto;

namespace OnnxLowRank.Tests.Cli;

/// <summary><c>onnx-lowrank calibrate</c>, and compress with what it wrote, as a user runs them.</summary>
public sealed partial class CalibrateTests : IDisposable
{
    readonly Playground _playground = new();

    public void Dispose() => _playground.Dispose();

    CommandResult Run(params string[] arguments) => CommandLine.Run(_playground.Folder, arguments);

    CommandResult Calibrate(string stats, params string[] options) => Run(["calibrate", "in.onnx", "--calib", "calib", "--stats", stats, .. options]);

    CommandResult Compress(string[] stats, params string[] options) =>
        _playground.Run(["--no-timing", "--tolerance", "0.2", "--report", "out.json", .. options, "--stats", .. stats]);

    static void AssertExit(int exit, CommandResult result) => Assert.True(result.Exit == exit, result.ToString());

    void Refuses(int exit, string message, CommandResult result)
    {
        AssertExit(exit, result);
        Assert.Contains(message, Assert.Single(result.ErrorLines));
        Assert.False(File.Exists(_playground.Output));
        Assert.DoesNotContain(_playground.Contents().Keys, name => name.Contains(".tmp", StringComparison.Ordinal));
    }

    JsonElement Report => _playground.Json("out.json");

    string[] Notes => [.. Report.GetProperty("notes").EnumerateArray().Select(note => note.GetString()!)];

    /// <summary>What was chosen for every layer.</summary>
    string Plan => string.Join('\n', Report.GetProperty("layers").EnumerateArray()
        .Select(layer => string.Join(' ', new[] { "name", "action", "rank", "format", "bytesAfter" }.Select(name => layer.GetProperty(name).GetRawText()))));

    [Fact]
    public void Any_number_of_shards_makes_the_same_model_on_the_plan_of_compress_alone()
    {
        AssertExit(0, _playground.Run("--no-timing", "--tolerance", "0.2", "--report", "out.json"));
        string alone = Plan;
        byte[]? first = null;
        foreach (int shards in new[] { 1, 3, 16 })
        {
            string[] files = [.. Enumerable.Range(1, shards).Select(shard => $"{shard}of{shards}.stats").Reverse()];
            Assert.All(files, file => AssertExit(0, Calibrate(file, "-q", "--shard", file.Split('.')[0].Replace("of", "/", StringComparison.Ordinal))));

            AssertExit(0, Compress(files));

            byte[] bytes = File.ReadAllBytes(_playground.Output);
            Assert.Equal(first ??= bytes, bytes);
            Assert.Equal(alone, Plan);
            Assert.DoesNotContain(Notes, note => note.Contains("--stats", StringComparison.Ordinal));
        }
    }

    /// <summary>A model of convolutions, whose ranges and inputs' moments are needed too.</summary>
    [Fact]
    public void The_demo_model_comes_out_the_same_from_16_shards()
    {
        string[] calibrate = ["calibrate", CommandLine.Digits, "--calib", CommandLine.DigitsCalibration, "-q", "--stats"];
        AssertExit(0, Run([.. calibrate, "all.stats"]));
        string[] parts = [.. Enumerable.Range(1, 16).Select(shard => $"{shard}.stats")];
        Assert.All(parts, part => AssertExit(0, Run([.. calibrate, part, "--shard", $"{Path.GetFileNameWithoutExtension(part)}/16"])));
        string[] compress = ["--calib", CommandLine.DigitsCalibration, "--labels", CommandLine.DigitsLabels, "--no-timing", "-q", "--stats"];

        AssertExit(0, Run([CommandLine.Digits, "all.onnx", .. compress, "all.stats"]));
        AssertExit(0, Run([CommandLine.Digits, "parts.onnx", .. compress, .. parts]));

        Assert.Equal(File.ReadAllBytes(_playground.PathOf("all.onnx")), File.ReadAllBytes(_playground.PathOf("parts.onnx")));
    }

    /// <summary>A layer of the demo model reads 1,600 channels: sums of 20 MB.</summary>
    [Fact]
    public void Little_memory_makes_the_same_file_and_leaves_no_other()
    {
        string[] calibrate = ["calibrate", CommandLine.Digits, "--calib", CommandLine.DigitsCalibration, "-q", "--stats"];
        AssertExit(0, Run([.. calibrate, "all.stats"]));
        string[] before = [.. _playground.Contents().Keys];

        AssertExit(0, Run([.. calibrate, "little.stats", "--memory", "1MiB"]));

        Assert.Equal(File.ReadAllBytes(_playground.PathOf("all.stats")), File.ReadAllBytes(_playground.PathOf("little.stats")));
        Assert.Equal(["little.stats"], _playground.Contents().Keys.Except(before));
    }

    [Fact]
    public void The_table_tells_what_was_measured_and_again_there_is_nothing_to_do()
    {
        var (first, again) = (Calibrate("a.stats", "--json", "a.json"), Calibrate("a.stats"));

        AssertExit(0, first);
        Assert.Matches(@"(?m)^a\.stats: .* KB, 32 samples, ", first.Output);
        Assert.Matches(@"(?m)^x +hidden +1 +16 +32 +0\.\d{3} ", first.Output);
        AssertExit(0, again);
        Assert.Contains("32 samples, all from before: nothing was to be done", again.Output);
        var report = _playground.Json("a.json");
        Assert.Equal((32, 0, "1/1"), (report.GetProperty("samples").GetInt32(), report.GetProperty("resumed").GetInt32(), report.GetProperty("shard").GetString()));
        Assert.Equal(report.GetProperty("source").GetProperty("sha256").GetString(), report.GetProperty("model").GetString());
        Assert.Equal("x", report.GetProperty("values")[0].GetProperty("name").GetString());
    }

    [Fact]
    public void A_file_of_something_else_is_neither_continued_nor_replaced()
    {
        AssertExit(0, Calibrate("a.stats", "-q"));
        byte[] before = File.ReadAllBytes(_playground.PathOf("a.stats"));

        Refuses(2, "--stats a.stats: holds shard 1/1 of 64 samples with seed 0, and this is shard 1/2", Calibrate("a.stats", "--shard", "1/2"));
        Refuses(2, "--stats a.stats: holds shard 1/1", Calibrate("a.stats", "--seed", "1"));
        Refuses(2, "--stats a.stats: holds shard 1/1", Calibrate("a.stats", "--all"));
        Refuses(2, "--stats a.stats: holds shard 1/1", Calibrate("a.stats", "--batch", "2"));
        Refuses(2, "--stats a.stats: holds other layers", Calibrate("a.stats", "--skip", "hidden"));
        _playground.WriteSamples(Playground.Values(64 * 16, seed: 9), 64, 16);
        Refuses(2, "--stats a.stats: holds other samples", Calibrate("a.stats"));
        _playground.Save(Playground.Classifier("Softmax"));
        Refuses(2, "--stats a.stats: holds another model", Calibrate("a.stats"));
        Assert.Equal(before, File.ReadAllBytes(_playground.PathOf("a.stats")));
        _playground.Write("b.stats", [1, 2, 3]);
        Refuses(4, "b.stats: is not a stats file", Calibrate("b.stats"));
    }

    [Theory]
    [InlineData(2, "--stats in.onnx: writing it would replace in.onnx", "--stats", "in.onnx")]
    [InlineData(2, "--stats calib/x.npy: writing it would replace", "--stats", "calib/x.npy")]
    [InlineData(6, "--stats calib: is a folder", "--stats", "calib")]
    [InlineData(6, "--stats no/a.stats: cannot be written", "--stats", "no/a.stats")]
    [InlineData(2, "--shard '17' is not I/N", "--stats", "a.stats", "--shard", "17")]
    [InlineData(2, "neither SLURM_ARRAY_TASK_ID nor JOB_COMPLETION_INDEX is set", "--stats", "a.stats", "--shard", "env")]
    [InlineData(2, "--shard 1/33: there are only 32 runs of 1 samples", "--stats", "a.stats", "--shard", "1/33")]
    [InlineData(2, "--batch 0", "--stats", "a.stats", "--batch", "0")]
    [InlineData(2, "--checkpoint -1 is not a number ≥ 0", "--stats", "a.stats", "--checkpoint", "-1")]
    [InlineData(4, "nowhere", "--stats", "a.stats", "--calib", "nowhere")]
    public void Bad_options_end_in_one_line(int exit, string message, params string[] options)
    {
        var before = _playground.Contents();
        string[] samples = options.Contains("--calib") ? [] : ["--calib", "calib"];

        var result = CommandLine.RunWith(
            new() { ["SLURM_ARRAY_TASK_ID"] = null, ["JOB_COMPLETION_INDEX"] = null }, _playground.Folder, ["calibrate", "in.onnx", .. samples, .. options]);

        Refuses(exit, message, result);
        Assert.Equal(before, _playground.Contents());
    }

    [Fact]
    public void A_task_of_an_array_knows_its_shard()
    {
        var array = new Dictionary<string, string?> { ["SLURM_ARRAY_TASK_ID"] = "1", ["SLURM_ARRAY_TASK_MIN"] = "0", ["SLURM_ARRAY_TASK_STEP"] = "1", ["SLURM_ARRAY_TASK_COUNT"] = "4" };

        AssertExit(0, CommandLine.RunWith(array, _playground.Folder, "calibrate", "in.onnx", "--calib", "calib", "-q", "--stats", "a.stats", "--shard", "env"));

        AssertExit(0, Calibrate("b.stats", "-q", "--shard", "2/4"));
        Assert.Equal(File.ReadAllBytes(_playground.PathOf("b.stats")), File.ReadAllBytes(_playground.PathOf("a.stats")));
    }

    [Fact]
    public void Compress_refuses_what_does_not_fit()
    {
        AssertExit(0, Calibrate("a.stats", "-q"));
        AssertExit(0, Calibrate("half.stats", "-q", "--shard", "1/2"));
        AssertExit(0, Calibrate("skip.stats", "-q", "--skip", "hidden"));
        AssertExit(0, Calibrate("all.stats", "-q", "--all"));

        Refuses(4, "a.stats and half.stats hold the same samples (16 of 16)", Compress(["a.stats", "half.stats"]));
        Refuses(4, "skip.stats: was measured without 'x'", Compress(["skip.stats"]));
        Refuses(4, "--stats: moments were measured on the samples that are to pick and to judge plans", Compress(["all.stats"]));
        Refuses(4, "no.stats: no such file", Compress(["no.stats"]));
        Refuses(2, "a file of --stats", _playground.Run("--stats", "out.onnx", "a.stats"));
        _playground.Save(Playground.Classifier("Softmax"));
        Refuses(4, "a.stats: holds moments of another model", Compress(["a.stats"]));
    }

    /// <summary>What shaped a plan must not judge it.</summary>
    [Fact]
    public void Samples_in_the_stats_neither_pick_nor_judge()
    {
        AssertExit(0, Calibrate("a.stats", "-q", "--seed", "1")); // half of the samples, other ones than compress takes

        AssertExit(0, Compress(["a.stats"]));

        var left = Assert.Single(Notes, note => note.EndsWith("are in --stats and left out", StringComparison.Ordinal)).Split(' ');
        Assert.Equal("32", left[2]);
        Assert.InRange(int.Parse(left[0], System.Globalization.CultureInfo.InvariantCulture), 8, 24);
        Assert.InRange(Report.GetProperty("verified").GetProperty("samples").GetInt32(), 1, 15);
    }

    /// <summary>A corpus of its own may be taken whole.</summary>
    [Fact]
    public void Moments_of_other_samples_leave_all_to_judge()
    {
        _playground.Npy("corpus/x.npy", [40, 16], Playground.Values(40 * 16, seed: 8));
        AssertExit(0, Run("calibrate", "in.onnx", "--calib", "corpus", "--all", "--stats", "a.stats", "-q"));

        AssertExit(0, Compress(["a.stats"]));

        Assert.Equal(16, Report.GetProperty("verified").GetProperty("samples").GetInt32());
        Assert.Equal("a.stats", Report.GetProperty("options").GetProperty("stats").GetString());
        Assert.DoesNotContain(Notes, note => note.Contains("--stats", StringComparison.Ordinal));
        Assert.DoesNotContain("a.stats", File.ReadAllText(_playground.Output));
    }

    /// <summary>Stacked or not, projections that read one value are measured there.</summary>
    [Fact]
    public void One_file_serves_compressions_that_skip_layers()
    {
        var graph = new GraphProto
        {
            Name = "siblings",
            Input = { Playground.Value("x", TensorProto.Types.DataType.Float, null, 16) },
            Output = { Playground.Value("y", TensorProto.Types.DataType.Float, null, 96) },
            Initializer = { Playground.Weight("wq", 16, 96), Playground.Weight("wk", 16, 96) },
            Node =
            {
                NodeAttributes.Create("MatMul", "q", ["x", "wq"], ["a"]),
                NodeAttributes.Create("MatMul", "k", ["x", "wk"], ["b"]),
                NodeAttributes.Create("Mul", "both", ["a", "b"], ["y"]),
            },
        };
        _playground.Save(Playground.Model(graph));
        AssertExit(0, Calibrate("a.stats", "-q"));

        AssertExit(0, Compress(["a.stats"]));
        File.Delete(_playground.Output);
        AssertExit(0, Compress(["a.stats"], "--skip", "^k$"));
        File.Delete(_playground.Output);
        AssertExit(0, Compress(["a.stats"], "--format", "fp32"));
    }

    /// <summary>Killed or asked to stop, the next run goes on, and the file is the one of a run that nothing disturbed.</summary>
    [Theory]
    [InlineData(9)]
    [InlineData(15)]
    public void A_run_that_ends_early_is_gone_on_with(int signal)
    {
        Assert.SkipWhen(OperatingSystem.IsWindows(), "Windows has no signals between processes");
        string[] arguments = ["calibrate", CommandLine.Digits, "--calib", CommandLine.DigitsCalibration, "--batch", "2", "--stats"];
        string stats = _playground.PathOf("a.stats");
        using var process = CommandLine.Start(_playground.Folder, [], [.. arguments, "a.stats", "--checkpoint", "0"]);
        while (!process.HasExited && !File.Exists(stats))
        {
            Thread.Sleep(5);
        }
        Assert.SkipWhen(process.HasExited, "this machine is too fast: the run was over");
        Assert.Equal(0, Kill(process.Id, signal));
        var result = CommandLine.Finish(process);
        if (signal == 15)
        {
            AssertExit(130, result);
            Assert.Equal("onnx-lowrank: interrupted; a.stats holds the samples that are done, and the same command goes on", Assert.Single(result.ErrorLines));
        }
        var compressed = Run(CommandLine.Digits, "out.onnx", "--calib", CommandLine.DigitsCalibration, "--stats", "a.stats");
        Assert.SkipWhen(compressed.Exit == 0, "this machine is too fast: the file was complete");
        AssertExit(4, compressed);
        Assert.Matches(@"a\.stats: holds \d+ of 500 samples; calibrate goes on when it is started again as before", Assert.Single(compressed.ErrorLines));

        var again = Run([.. arguments, "a.stats", "--json", "-"]);

        AssertExit(0, again);
        var report = JsonDocument.Parse(again.Output).RootElement;
        Assert.Equal(500, report.GetProperty("samples").GetInt32());
        Assert.InRange(report.GetProperty("resumed").GetInt32(), 2, 498);
        AssertExit(0, Run([.. arguments, "b.stats", "-q"]));
        Assert.Equal(File.ReadAllBytes(_playground.PathOf("b.stats")), File.ReadAllBytes(stats));
        Assert.DoesNotContain(_playground.Contents().Keys, name => name.Contains(".tmp", StringComparison.Ordinal));
    }

    [LibraryImport("libc", EntryPoint = "kill")]
    private static partial int Kill(int process, int signal);
}
