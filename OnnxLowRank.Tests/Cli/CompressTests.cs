using System.Globalization;
using System.Text.Json;
using Microsoft.ML.OnnxRuntime;
using OnnxLowRank.Onnx;
using OnnxLowRank.Onnx.Proto;
using OnnxLowRank.Runtime;

namespace OnnxLowRank.Tests.Cli;

/// <summary>The program as a user runs it: on the demo model, and on a small classifier.</summary>
public sealed class CompressTests : IDisposable
{
    readonly Playground _playground = new();

    public void Dispose() => _playground.Dispose();

    /// <summary>Runs on the small classifier with a tolerance that is easy to keep, and returns the report.</summary>
    JsonElement Report(params string[] options)
    {
        var result = _playground.Run(["--report", "report.json", "--tolerance", "0.2", .. options]);

        Assert.True(result.Exit == 0, result.ToString());
        return _playground.Json("report.json");
    }

    ModelProto Written(string name = "out.onnx") => ModelProto.Parser.ParseFrom(File.ReadAllBytes(_playground.PathOf(name)));

    [Fact]
    public void The_quick_start_writes_a_smaller_model_that_loads_and_is_within_tolerance()
    {
        var result = CommandLine.Run(_playground.Folder,
            CommandLine.Digits, "out.onnx", "--calib", CommandLine.DigitsCalibration, "--labels", CommandLine.DigitsLabels, "--report", "report.json");

        Assert.True(result.Exit == 0, result.ToString());
        Assert.Empty(result.ErrorLines);
        Assert.Contains("accuracy loss", result.Output);
        long before = new FileInfo(CommandLine.Digits).Length, after = new FileInfo(_playground.Output).Length;
        Assert.True(after < before / 2, $"{after} bytes of {before}"); // fp32 alone reaches a quarter
        using var session = new InferenceSession(_playground.Output);
        Assert.Equal(["image"], session.InputMetadata.Keys);
        Assert.Equal(["logits"], session.OutputMetadata.Keys);
        var verified = _playground.Json("report.json").GetProperty("verified");
        Assert.Equal("accuracy", verified.GetProperty("metric").GetString());
        Assert.InRange(verified.GetProperty("loss").GetDouble(), -1, 0.01);
    }

    /// <summary>Progress is only shown there, so nothing else would notice what is wrong with it.</summary>
    [Fact]
    public void On_a_terminal_progress_is_shown_and_gone_in_the_end()
    {
        var result = CommandLine.RunOnTerminal(_playground.Folder, "in.onnx", "out.onnx", "--calib", "calib", "--tolerance", "0.2", "-v");
        Assert.SkipWhen(result == null, "no /usr/bin/script, which makes a terminal");

        Assert.True(result.Exit == 0, result.ToString());
        Assert.All(["calibrate", "time", "search", "verify"], stage => Assert.Matches($@"\r\e\[K{stage} +\[#*\.*\] +[0-9]+ ?%", result.Output));
        Assert.True(result.Output.LastIndexOf("\r\e[K", StringComparison.Ordinal) > result.Output.LastIndexOf("\r\e[Kverify", StringComparison.Ordinal));
        Assert.Contains("verified on", result.Output);
        string[] lines = result.Output[(result.Output.LastIndexOf("\e[K", StringComparison.Ordinal) + 3)..].Split('\n');
        Assert.All(lines, line => Assert.True(line.TrimEnd().Length <= 80, line));
        Assert.Contains(lines, line => line.StartsWith(" hidden  ", StringComparison.Ordinal) || line.StartsWith("kept: hidden ", StringComparison.Ordinal));
    }

    [Fact]
    public void Nothing_but_the_output_and_the_report_is_left_and_the_input_is_unchanged()
    {
        string temporary = Directory.CreateDirectory(_playground.PathOf("tmp")).FullName;
        var before = _playground.Contents();

        var result = CommandLine.RunWith(new() { ["TMPDIR"] = temporary, ["HOME"] = temporary }, _playground.Folder,
            "in.onnx", "out.onnx", "--calib", "calib", "--report", "report.json", "--tolerance", "0.2");

        Assert.True(result.Exit == 0, result.ToString());
        var after = _playground.Contents();
        Assert.True(after.Remove("out.onnx") && after.Remove("report.json"));
        Assert.Equal(before, after);
    }

    /// <summary>Ids are no floats: nothing may measure or time them as if they were.</summary>
    [Theory]
    [InlineData("auto")]
    [InlineData("fp32")]
    [InlineData("fp16")]
    public void Tables_and_positions_are_compressed_too(string format)
    {
        var graph = new GraphProto
        {
            Name = "embedder",
            Input = { Playground.Value("ids", TensorProto.Types.DataType.Int32, null, 16) },
            Output = { Playground.Value("y", TensorProto.Types.DataType.Float, null, 16, 8) },
            Initializer = { Playground.Weight("words", 400, 64), Playground.Weight("positions", 16, 64), Playground.Weight("head", 64, 8) },
            Node =
            {
                NodeAttributes.Create("Gather", "look", ["words", "ids"], ["e"]),
                NodeAttributes.Create("Add", "place", ["e", "positions"], ["p"]),
                NodeAttributes.Create("MatMul", "out", ["p", "head"], ["y"]),
            },
        };
        _playground.Save(Playground.Model(graph));
        File.Delete(_playground.PathOf("calib/x.npy"));
        _playground.Npy("calib/ids.npy", [64, 16], [.. Enumerable.Range(0, 64 * 16).Select(i => i * 37 % 800 - 400)]);

        var report = Report("--format", format, "--metric", "cosine", "--objective", "size"); // else a layer that is slower is put back

        var layers = report.GetProperty("layers").EnumerateArray().ToDictionary(layer => layer.GetProperty("name").GetString()!);
        Assert.Equal("Gather", layers["look"].GetProperty("op").GetString());
        Assert.NotEqual("keep", layers["look"].GetProperty("action").GetString());
        Assert.Equal("Constant", layers["positions"].GetProperty("op").GetString());
        Assert.NotEqual("keep", layers["positions"].GetProperty("action").GetString());
        Assert.DoesNotContain(Written().Graph.Initializer, tensor => tensor.Name is "words" or "positions");
        Assert.Equal(64 * 8 * 16, report.GetProperty("before").GetProperty("macs").GetDouble());
        Assert.DoesNotContain(report.GetProperty("notes").EnumerateArray(), note => note.GetString()!.Contains("timed"));
    }

    /// <summary>On the CPU, whose kernels have no halves, what runs is what ran before.</summary>
    [Fact]
    public void In_16_bits_a_model_takes_half_of_its_bytes_and_nothing_else_changes()
    {
        var report = Report("--format", "fp16", "--method", "none", "--objective", "size", "--metric", "relative");

        Assert.All(report.GetProperty("layers").EnumerateArray(), layer =>
        {
            Assert.Equal(("quantize", "fp16", true), (layer.GetProperty("action").GetString(), layer.GetProperty("format").GetString(), layer.GetProperty("weightOnly").GetBoolean()));
            Assert.InRange(layer.GetProperty("bytesAfter").GetDouble() / layer.GetProperty("bytesBefore").GetDouble(), 0.5, 0.6);
        });
        Assert.InRange(report.GetProperty("verified").GetProperty("loss").GetDouble(), 1e-6, 1e-3); // rounded, but not more than that
        Assert.Equal(ModelRuns.Optimized(OnnxModel.Load(_playground.Input)), ModelRuns.Optimized(OnnxModel.Load(_playground.Output)));
    }

    [Fact]
    public void The_report_has_every_field_that_scripts_rely_on()
    {
        var report = Report("--format", "fp32");

        AssertFields(report, "tool", "name", "version");
        AssertFields(report, "source", "path", "sha256", "bytes");
        AssertFields(report, "result", "path", "sha256", "bytes");
        AssertFields(report, "options", "calib", "metric", "tolerance", "format", "method", "dialect", "device", "seed", "threads");
        AssertFields(report, "seconds", "total", "calibrate", "decompose", "time", "search", "verify");
        AssertFields(report, "before", "bytes", "parameters", "macs", "milliseconds");
        AssertFields(report, "after", "bytes", "parameters", "macs", "milliseconds");
        AssertFields(report, "verified", "metric", "samples", "original", "compressed", "loss", "low", "high", "tolerance");
        Assert.True(report.GetProperty("passes").GetDouble() > 0);
        Assert.NotEmpty(report.GetProperty("probes").EnumerateArray());
        Assert.All(report.GetProperty("probes").EnumerateArray(), probe => AssertHas(probe, "step", "bytes", "loss", "accepted"));
        Assert.Equal(2, report.GetProperty("layers").GetArrayLength());
        Assert.All(report.GetProperty("layers").EnumerateArray(), layer => AssertHas(
            layer, "name", "op", "shape", "action", "rank", "format", "scheme", "weightOnly", "bytesBefore", "bytesAfter", "predictedError", "keptEnergy", "reason",
            "kernel", "microsecondsBefore", "microsecondsAfter", "batchMicrosecondsBefore", "batchMicrosecondsAfter"));
        Assert.NotEmpty(report.GetProperty("spectra").EnumerateArray());
        Assert.All(report.GetProperty("spectra").EnumerateArray(), spectrum => AssertHas(spectrum, "layer", "side", "fullRank", "rank", "keptEnergy", "ranks", "values"));
    }

    static void AssertHas(JsonElement element, params string[] names) =>
        Assert.Subset(element.EnumerateObject().Select(property => property.Name).ToHashSet(), names.ToHashSet());

    static void AssertFields(JsonElement report, string record, params string[] names) => AssertHas(report.GetProperty(record), names);

    [Fact]
    public void The_report_tells_the_truth_about_the_files()
    {
        var report = Report("--format", "fp32");

        foreach (var (record, path) in new[] { ("source", _playground.Input), ("result", _playground.Output) })
        {
            byte[] bytes = File.ReadAllBytes(path);
            Assert.Equal(bytes.Length, report.GetProperty(record).GetProperty("bytes").GetInt64());
            Assert.Equal(Convert.ToHexStringLower(System.Security.Cryptography.SHA256.HashData(bytes)), report.GetProperty(record).GetProperty("sha256").GetString());
        }
        long elements = Written().Graph.Initializer.Sum(tensor => tensor.ElementCount());
        Assert.Equal(elements, report.GetProperty("after").GetProperty("parameters").GetInt64());
    }

    [Fact]
    public void A_report_on_standard_output_is_all_there_is()
    {
        var result = _playground.Run("--report", "-", "--tolerance", "0.2");

        Assert.True(result.Exit == 0, result.ToString());
        Assert.Equal("onnx-lowrank", JsonDocument.Parse(result.Output).RootElement.GetProperty("tool").GetProperty("name").GetString());
        Assert.Empty(result.ErrorLines);
    }

    [Fact]
    public void Several_reports_may_be_asked_for()
    {
        var result = _playground.Run("--report", "-", "--report", "a.json", "--report", "b.json", "--tolerance", "0.2");

        Assert.True(result.Exit == 0, result.ToString());
        string text = File.ReadAllText(_playground.PathOf("a.json"));
        Assert.Equal(text, File.ReadAllText(_playground.PathOf("b.json")));
        Assert.Equal(text, result.Output);
    }

    [Theory]
    [InlineData("auto")]
    [InlineData("fp32")]
    [InlineData("int8")]
    public void The_same_job_gives_the_same_bytes(string format)
    {
        var cache = new Dictionary<string, string?> { ["XDG_CACHE_HOME"] = _playground.PathOf("cache") }; // its own: another test may time the same layers
        foreach (string output in new[] { "a.onnx", "b.onnx" })
        {
            var result = CommandLine.RunWith(cache, _playground.Folder,
                CommandLine.Digits, output, "--calib", CommandLine.DigitsCalibration, "--labels", CommandLine.DigitsLabels, "--format", format, "-q");
            Assert.True(result.Exit == 0, result.ToString());
        }

        Assert.Equal(File.ReadAllBytes(_playground.PathOf("a.onnx")), File.ReadAllBytes(_playground.PathOf("b.onnx")));
    }

    [Fact]
    public void Without_timing_the_plan_does_not_depend_on_the_machine()
    {
        string cache = _playground.PathOf("cache");
        foreach (string output in new[] { "a.onnx", "b.onnx" })
        {
            var result = CommandLine.RunWith(new() { ["XDG_CACHE_HOME"] = cache }, _playground.Folder,
                CommandLine.Digits, output, "--calib", CommandLine.DigitsCalibration, "--labels", CommandLine.DigitsLabels, "--format", "int8", "--no-timing", "-q",
                "--report", "report.json");
            Assert.True(result.Exit == 0, result.ToString());
        }

        Assert.Equal(File.ReadAllBytes(_playground.PathOf("a.onnx")), File.ReadAllBytes(_playground.PathOf("b.onnx")));
        Assert.False(Directory.Exists(cache));
        Assert.Equal("true", _playground.Json("report.json").GetProperty("options").GetProperty("no-timing").GetString());
        Assert.All(_playground.Json("report.json").GetProperty("layers").EnumerateArray(), layer => Assert.Equal(JsonValueKind.Null, layer.GetProperty("microsecondsAfter").ValueKind));
    }

    [Fact]
    public void The_report_shows_what_rewritten_layers_became_and_take()
    {
        var result = CommandLine.Run(_playground.Folder, CommandLine.Digits, "out.onnx", "--calib", CommandLine.DigitsCalibration,
            "--labels", CommandLine.DigitsLabels, "--format", "int8", "--report", "report.json");

        Assert.True(result.Exit == 0, result.ToString());
        var rewritten = _playground.Json("report.json").GetProperty("layers").EnumerateArray().Where(layer => layer.GetProperty("action").GetString() != "keep").ToList();
        Assert.NotEmpty(rewritten);
        Assert.All(rewritten, layer =>
        {
            string kernel = layer.GetProperty("op").GetString() == "Conv" ? "QLinearConv" : "DynamicQuantizeMatMul";
            Assert.Equal(string.Join('+', Enumerable.Repeat(kernel, layer.GetProperty("action").GetString() != "factorize" ? 1 : layer.GetProperty("scheme").GetString() == "tucker" ? 3 : 2)), layer.GetProperty("kernel").GetString());
            Assert.All(
                ["microsecondsBefore", "microsecondsAfter", "batchMicrosecondsBefore", "batchMicrosecondsAfter"],
                name => Assert.True(layer.GetProperty(name).GetDouble() >= 0));
        });
    }

    [Fact]
    public void A_cache_folder_that_cannot_be_used_is_a_note()
    {
        _playground.Write("file", []);

        var result = CommandLine.RunWith(new() { ["XDG_CACHE_HOME"] = _playground.PathOf("file") }, _playground.Folder,
            "in.onnx", "out.onnx", "--calib", "calib", "--tolerance", "0.2", "--report", "report.json");

        Assert.True(result.Exit == 0, result.ToString());
        Assert.Contains(_playground.Json("report.json").GetProperty("notes").EnumerateArray(), note => note.GetString()!.Contains("measured times cannot be kept in", StringComparison.Ordinal));
    }

    [Fact]
    public void Quiet_prints_nothing()
    {
        var result = _playground.Run("-q", "--tolerance", "0.2");

        Assert.True(result.Exit == 0, result.ToString());
        Assert.Equal("", result.Output + result.Error);
        Assert.True(File.Exists(_playground.Output));
    }

    [Fact]
    public void Output_to_a_file_has_no_colours_and_progress_is_a_line_per_stage()
    {
        var result = _playground.Run("-v", "--tolerance", "0.2");

        Assert.True(result.Exit == 0, result.ToString());
        Assert.DoesNotContain('\e', result.Output + result.Error);
        Assert.DoesNotContain('\r', result.Output + result.Error);
        Assert.Empty(result.ErrorLines);
        Assert.Equal(["calibrate", "decompose"], result.Stages[..2]);
        Assert.Equal("verify", result.Stages[^1]);
        Assert.Contains("hidden", result.Output);
        Assert.Contains("logits", result.Output);
    }

    [Fact]
    public void Help_lists_every_option_and_its_default()
    {
        var result = CommandLine.Run(_playground.Folder, "--help");

        Assert.Equal(0, result.Exit);
        Assert.All(
            ["--calib", "--labels", "--metric", "--tolerance", "--target-size", "--target-time", "--objective", "--format", "--method", "--dialect", "--device", "--target-cpu", "--only", "--skip", "--report",
                "--best-effort", "--confident", "--constant-inputs", "--no-timing", "--deterministic", "--seed", "--threads", "--batch", "--memory", "--quiet", "--verbose", "--no-color"],
            option => Assert.Contains(option, result.Output));
        Assert.DoesNotContain("[default:", result.Output);
        Assert.Equal("", result.Error);
    }

    [Fact]
    public void Version_works_without_ONNX_Runtime()
    {
        var result = CommandLine.RunWith(new() { ["ONNXRUNTIME_LIB"] = "gone.so" }, _playground.Folder, "--version");

        Assert.Equal(0, result.Exit);
        Assert.Matches(@"^\d+\.\d+\.\d+", result.Output);
    }

    [Theory]
    [InlineData("a Gemm with 4 outputs", null, 4, false, "agreement")]
    [InlineData("a Softmax", "Softmax", 4, false, "agreement")]
    [InlineData("a LogSoftmax", "LogSoftmax", 4, false, "agreement")]
    [InlineData("a Gemm with 1 output", null, 1, false, "relative")]
    [InlineData("a Tanh", "Tanh", 4, false, "relative")]
    [InlineData("labels", null, 4, true, "accuracy")]
    public void The_metric_follows_from_labels_and_outputs(string _, string? last, int classes, bool withLabels, string metric)
    {
        _playground.Save(Playground.Classifier(last, classes));

        var report = Report(withLabels ? ["--labels", "labels.npy"] : []);

        Assert.Equal(metric, report.GetProperty("verified").GetProperty("metric").GetString());
    }

    [Theory]
    [InlineData("cosine")]
    [InlineData("relative")]
    [InlineData("kl")]
    [InlineData("agreement")]
    public void A_metric_can_be_chosen(string metric)
    {
        var report = Report("--metric", metric);

        Assert.Equal(metric, report.GetProperty("verified").GetProperty("metric").GetString());
    }

    [Theory]
    [InlineData("fp32", nameof(TensorProto.Types.DataType.Float))]
    [InlineData("int8", nameof(TensorProto.Types.DataType.Int8))]
    [InlineData("int4", nameof(TensorProto.Types.DataType.Uint8))]
    public void The_format_decides_what_weights_are_stored_as(string format, string type)
    {
        var report = Report("--format", format, "--metric", "relative", "--objective", "size");

        Assert.All(Written().Graph.Initializer.Where(tensor => tensor.Dims.Count == 2 && !tensor.Name.EndsWith("_scale", StringComparison.Ordinal)), tensor => Assert.Equal(type, ((TensorProto.Types.DataType)tensor.DataType).ToString()));
        Assert.Equal(format, report.GetProperty("layers")[0].GetProperty("format").GetString());
    }

    [Fact]
    public void Four_bits_are_smaller_than_eight_and_run_on_the_same_kernels()
    {
        JsonElement Of(string format)
        {
            var result = CommandLine.Run(_playground.Folder, CommandLine.Digits, "out.onnx", "--calib", CommandLine.DigitsCalibration, "--labels", CommandLine.DigitsLabels,
                "--format", format, "--method", "none", "--objective", "size", "--dialect", "onnx", "--no-timing", "--report", "report.json");
            Assert.True(result.Exit == 0, result.ToString());
            return _playground.Json("report.json");
        }

        var (eight, four) = (Of("int8"), Of("int4"));

        double Bytes(JsonElement report) => report.GetProperty("after").GetProperty("bytes").GetDouble();
        Assert.InRange(Bytes(four) / Bytes(eight), 0.4, 0.7);
        Assert.Equal(eight.GetProperty("kernels").ToString(), four.GetProperty("kernels").ToString());
    }

    [Theory]
    [InlineData("output")]
    [InlineData("svd")]
    [InlineData("randomized")]
    [InlineData("utilized")]
    public void Every_method_factorizes_a_weight_of_low_rank(string method)
    {
        var report = Report("--method", method, "--format", "fp32");

        Assert.Contains(report.GetProperty("layers").EnumerateArray(), layer => layer.GetProperty("action").GetString() == "factorize");
        Assert.All(Written().Graph.Initializer, tensor => Assert.Equal((int)TensorProto.Types.DataType.Float, tensor.DataType));
    }

    [Theory]
    [InlineData("--delta is for --method utilized", "--delta", "0.01")]
    [InlineData("--delta -1 is not a number ≥ 0", "--delta", "-1", "--method", "utilized")]
    public void A_delta_is_for_utilized_weights(string message, params string[] options)
    {
        var result = _playground.Run(options);

        Assert.True(result.Exit == 2, result.ToString());
        Assert.Contains(message, Assert.Single(result.ErrorLines));
    }

    [Fact]
    public void Method_none_only_quantizes()
    {
        var report = Report("--method", "none", "--no-timing");

        Assert.All(report.GetProperty("layers").EnumerateArray(), layer => Assert.NotEqual("factorize", layer.GetProperty("action").GetString()));
        Assert.Contains(report.GetProperty("layers").EnumerateArray(), layer => layer.GetProperty("action").GetString() == "quantize");
    }

    [Theory]
    [InlineData("avx2", 64)]
    [InlineData("vnni", 127)]
    [InlineData("arm", 127)]
    public void The_target_decides_how_large_8_bit_weights_are(string target, int largest)
    {
        var report = Report("--method", "none", "--format", "int8", "--no-timing", "--target-cpu", target);

        var weights = Written().Graph.Initializer.Where(tensor => tensor.DataType == (int)TensorProto.Types.DataType.Int8).ToList();
        Assert.Equal(2, weights.Count);
        Assert.All(weights, tensor => Assert.Equal(largest, tensor.RawData.Max(value => Math.Abs((int)(sbyte)value))));
        Assert.Equal(target, report.GetProperty("options").GetProperty("target-cpu").GetString());
    }

    [Theory]
    [InlineData("avx2")]
    [InlineData("arm")]
    public void Times_that_are_not_those_of_the_target_are_noted(string target)
    {
        bool isForeign = Enum.Parse<TargetCpu>(target, ignoreCase: true) != Processor.Native;

        var notes = Report("--target-cpu", target).GetProperty("notes").EnumerateArray();

        Assert.Equal(isForeign, notes.Any(note => note.GetString() == $"times are those of this machine, not of --target-cpu {target}"));
    }

    [Fact]
    public void The_target_is_this_machine_unless_said_otherwise()
    {
        string target = Processor.Native.ToString().ToLowerInvariant();

        Assert.Equal(target, Report().GetProperty("options").GetProperty("target-cpu").GetString());
        Assert.Contains($"--target-cpu {target}", Written().MetadataProps.Single(entry => entry.Key == "onnx_lowrank.options").Value);
    }

    [Theory]
    [InlineData("--only", "^hidden$")]
    [InlineData("--skip", "^logits$")]
    public void Layers_can_be_chosen_by_name(string option, string pattern)
    {
        var report = Report(option, pattern, "--format", "int8", "--method", "none", "--no-timing");

        var logits = report.GetProperty("layers").EnumerateArray().Single(layer => layer.GetProperty("name").GetString() == "logits");
        Assert.Equal("keep", logits.GetProperty("action").GetString());
        Assert.Contains(option, logits.GetProperty("reason").GetString());
        Assert.Equal(pattern, report.GetProperty("options").GetProperty(option[2..]).GetString());
    }

    [Fact]
    public void Best_effort_writes_what_misses_the_tolerance_and_says_so()
    {
        string[] impossible = ["--confident", "--tolerance", "0.1", "--method", "none", "--no-timing"]; // 16 samples never prove 0.1: the interval is wider

        var refused = _playground.Run(impossible);
        bool wasWritten = File.Exists(_playground.Output);
        var written = _playground.Run([.. impossible, "--best-effort", "--report", "report.json"]);

        Assert.True(refused.Exit == 5 && !wasWritten, refused.ToString());
        Assert.True(written.Exit == 5, written.ToString());
        Assert.Equal("onnx-lowrank: written, but the tolerance is missed", Assert.Single(written.ErrorLines));
        Assert.Equal("BestEffort", _playground.Json("report.json").GetProperty("outcome").GetString());
        using var session = new InferenceSession(_playground.Output);
    }

    [Fact]
    public void No_plan_is_tried_twice_though_two_mixtures_come_to_it()
    {
        // 250 samples never prove 0.005, so that the mixture for models whose plans fail is searched, too.
        var result = CommandLine.Run(_playground.Folder, CommandLine.Digits, "out.onnx", "--calib", CommandLine.DigitsCalibration,
            "--labels", CommandLine.DigitsLabels, "--confident", "--tolerance", "0.005", "--objective", "size", "--no-timing", "--report", "report.json");

        Assert.True(result.Exit == 5, result.ToString());
        var probes = _playground.Json("report.json").GetProperty("probes").EnumerateArray().Select(probe => (probe.GetProperty("step").GetString(), probe.GetProperty("bytes").GetDouble())).ToList();
        Assert.Contains(probes, probe => probe.Item1 == "verify");
        Assert.Equal(probes.Distinct(), probes);
    }

    [Theory]
    [InlineData("0.5")]
    [InlineData("0.3")]
    [InlineData("450KB")]
    public void A_target_size_is_used_up_but_not_exceeded(string target)
    {
        long original = new FileInfo(CommandLine.Digits).Length, limit = (long)(target.EndsWith("KB", StringComparison.Ordinal) ? 450e3 : double.Parse(target, CultureInfo.InvariantCulture) * original);

        var result = CommandLine.Run(_playground.Folder, CommandLine.Digits, "out.onnx", "--calib", CommandLine.DigitsCalibration,
            "--labels", CommandLine.DigitsLabels, "--target-size", target, "--format", "fp32", "--report", "report.json");

        Assert.True(result.Exit == 0, result.ToString());
        long bytes = new FileInfo(_playground.Output).Length;
        Assert.InRange(bytes, 0.9 * limit, limit);
        var report = _playground.Json("report.json");
        Assert.Equal(JsonValueKind.Null, report.GetProperty("verified").GetProperty("tolerance").ValueKind);
        Assert.InRange(report.GetProperty("verified").GetProperty("loss").GetDouble(), -1, 0.05); // half of this model is spare
        Assert.StartsWith(target.EndsWith("KB", StringComparison.Ordinal) ? "450000" : $"{target} of", report.GetProperty("options").GetProperty("target-size").GetString());
    }

    [Fact]
    public void A_target_time_that_any_plan_keeps_is_met_with_next_to_no_loss()
    {
        var result = TargetTime("1000ms");

        Assert.True(result.Exit == 0, result.ToString());
        Assert.InRange(_playground.Json("report.json").GetProperty("verified").GetProperty("loss").GetDouble(), -1, 0.01);
        using var session = new InferenceSession(_playground.Output);
    }

    [Fact]
    public void A_target_time_that_no_plan_keeps_is_missed_by_a_factor_that_is_said()
    {
        var result = TargetTime("0.001us");

        Assert.True(result.Exit == 5 && !File.Exists(_playground.Output), result.ToString());
        Assert.Matches(
            "^onnx-lowrank: nothing was written: the target 1E-06 ms cannot be met: the fastest plan takes [0-9.e+]+ times as long$", Assert.Single(result.ErrorLines));
    }

    /// <summary>A run whose plans go by shapes: only whole models are timed, against the target.</summary>
    CommandResult TargetTime(string target) => CommandLine.Run(_playground.Folder, CommandLine.Digits, "out.onnx", "--calib", CommandLine.DigitsCalibration,
        "--labels", CommandLine.DigitsLabels, "--target-time", target, "--format", "fp32", "--no-timing", "--report", "report.json");

    [Fact]
    public void A_target_that_is_missed_is_written_only_when_asked()
    {
        var refused = _playground.Run("--target-size", "10B");
        bool wasWritten = File.Exists(_playground.Output);
        var written = _playground.Run("--target-size", "10B", "--best-effort");

        Assert.True(refused.Exit == 5 && !wasWritten, refused.ToString());
        Assert.True(written.Exit == 5, written.ToString());
        Assert.Equal("onnx-lowrank: written, but the target is missed", Assert.Single(written.ErrorLines));
        using var session = new InferenceSession(_playground.Output);
    }

    [Fact]
    public void Objectives_pull_plans_apart()
    {
        (double Bytes, double Macs) Of(string objective)
        {
            var result = CommandLine.Run(_playground.Folder, CommandLine.Digits, "out.onnx", "--calib", CommandLine.DigitsCalibration,
                "--labels", CommandLine.DigitsLabels, "--objective", objective, "--format", "fp32", "--no-timing", "--report", "report.json");
            Assert.True(result.Exit == 0, result.ToString());
            var after = _playground.Json("report.json").GetProperty("after");
            return (after.GetProperty("bytes").GetDouble(), after.GetProperty("macs").GetDouble());
        }

        var (size, time) = (Of("size"), Of("time"));

        Assert.True(size.Bytes < time.Bytes && size.Macs > time.Macs, $"size {size}, time {time}");
    }

    [Theory]
    [InlineData("fp32")]
    [InlineData("int8")]
    [InlineData("auto")]
    public void Best_effort_writes_what_loses_least_when_nothing_was_accepted(string format)
    {
        var result = _playground.Run("--metric", "relative", "--tolerance", "0", "--format", format, "--no-timing", "--best-effort", "--report", "report.json");

        Assert.True(result.Exit == 5, result.ToString());
        var report = _playground.Json("report.json");
        var probes = report.GetProperty("probes").EnumerateArray()
            .Select(probe => (Step: probe.GetProperty("step").GetString(), Bytes: probe.GetProperty("bytes").GetDouble(), Loss: probe.GetProperty("loss").GetDouble()))
            .ToArray();
        var searches = Enumerable.Range(0, probes.Length).Where(i => probes[i].Step == "verify") // one per mixture of formats
            .Select(verify => (Verified: probes[verify], Searched: probes[..verify].Reverse().TakeWhile(probe => probe.Step != "verify").Where(probe => probe.Step == "search"))).ToArray();
        Assert.NotEmpty(searches);
        Assert.All(searches, search => Assert.Equal(search.Searched.MinBy(probe => probe.Loss).Bytes, search.Verified.Bytes));
        Assert.Equal("BestEffort", report.GetProperty("outcome").GetString());
        Assert.Equal(searches.Min(search => search.Verified.Loss), report.GetProperty("verified").GetProperty("loss").GetDouble());
        Assert.True(new FileInfo(_playground.Output).Length < new FileInfo(_playground.Input).Length);
        using var session = new InferenceSession(_playground.Output);
    }

    [Fact]
    public void A_report_of_a_failed_search_has_no_result()
    {
        var result = _playground.Run("--metric", "relative", "--tolerance", "0", "--report", "report.json");

        Assert.True(result.Exit == 5, result.ToString());
        Assert.Equal(JsonValueKind.Null, _playground.Json("report.json").GetProperty("result").ValueKind);
        Assert.False(File.Exists(_playground.Output));
    }

    [Fact]
    public void An_older_output_is_replaced()
    {
        _playground.Write("out.onnx", "older"u8.ToArray());

        Report();

        Assert.NotEmpty(Written().Graph.Node);
    }
}
