using System.Text.Json;
using System.Text.RegularExpressions;
using Microsoft.ML.OnnxRuntime;
using OnnxLowRank;
using OnnxLowRank.Calibration;
using OnnxLowRank.Cli;
using OnnxLowRank.Factorization;
using OnnxLowRank.Layers;
using OnnxLowRank.Onnx;
using OnnxLowRank.Onnx.Proto;
using OnnxLowRank.Planning;
using OnnxLowRank.Rewriting;

namespace Coverage;

/// <summary>Tries cases that it is sent, one per line, and answers each with a line.</summary>
sealed partial class Worker(string folder, Case item)
{
    const double Tolerance = 0.01;

    /// <summary>Beyond what was verified on other samples: those of the case are not the program's.</summary>
    const double Slack = 2;

    /// <summary>What one sample may lose more than samples do on average.</summary>
    const double OneSample = 3;

    /// <summary>The program cuts longer lines itself, paths included.</summary>
    const int LongestMessage = 160;

    readonly List<string> _defects = [];
    readonly List<Trial> _trials = [];
    readonly List<Fate> _fates = [];
    Answer?[]? _expected;
    double _originalDistance;
    bool _runs;
    bool _hasLayers;

    public static int Serve(string work)
    {
        while (Console.In.ReadLine() is { } line)
        {
            string folder = Path.Combine(work, "case");
            if (Directory.Exists(folder))
            {
                Directory.Delete(folder, recursive: true); // of a worker that died
            }
            Directory.CreateDirectory(folder);
            var result = new Worker(folder, JsonSerializer.Deserialize<Case>(line)!).Try();
            Console.Out.WriteLine(JsonSerializer.Serialize(result, s_options));
            Console.Out.Flush();
        }
        return 0;
    }

    static readonly JsonSerializerOptions s_options = new() { NumberHandling = System.Text.Json.Serialization.JsonNumberHandling.AllowNamedFloatingPointLiterals };

    string PathOf(string name) => Path.Combine(folder, name);

    Result Try()
    {
        string roundTrip = RoundTrip(out int opset);
        string original = Original();
        if (_runs && roundTrip == "equal" && _expected != null)
        {
            Unchanged();
        }
        Inspect();
        if (item.IsVariant)
        {
            TryVariant();
        }
        else
        {
            TryModel();
        }
        return new(item.Group, item.Name, roundTrip, original, opset, _trials, _fates, _defects);
    }

    string RoundTrip(out int opset)
    {
        opset = 0;
        try
        {
            var model = OnnxModel.Load(item.Model);
            opset = model.Opset;
            string saved = PathOf("saved.onnx");
            model.Save(saved);
            if (Parsed(item.Model).Equals(Parsed(saved)))
            {
                return "equal";
            }
            _defects.Add("saved otherwise than loaded");
            return "differs";
        }
        catch (ModelException e)
        {
            return Short(e.Message);
        }
    }

    static ModelProto Parsed(string path) => ModelProto.Parser.ParseFrom(File.ReadAllBytes(path));

    /// <summary>Whether ONNX Runtime can run the model and, where there is data, what comes out.</summary>
    string Original()
    {
        try
        {
            if (item.Data == null)
            {
                using var session = new InferenceSession(item.Model);
                _runs = true;
                return "loads";
            }
            string set = Path.Combine(item.Data, "test_data_set_0");
            var said = Answers.Of(item.Model, set);
            _runs = true;
            if (item.IsVariant)
            {
                return "runs";
            }
            _expected = Answers.Expected(set, said);
            _originalDistance = Answers.Distance(_expected, said);
            return _originalDistance < 1e-3 ? "as expected" : "otherwise than expected";
        }
        catch (NotSupportedException e)
        {
            return $"not run here: {e.Message}";
        }
        catch (OnnxRuntimeException)
        {
            return "not run by ONNX Runtime";
        }
    }

    /// <summary>A plan that keeps every layer: layers that read the same value are stacked, and everything is written and read again.</summary>
    void Unchanged()
    {
        var model = OnnxModel.Load(item.Model);
        var found = LayerFinder.Find(model, new());
        var stacked = Siblings.Stacked(model, found.Layers);
        var rewriter = new Rewriter(stacked, new Dictionary<Layer, Decomposition>(), new Dictionary<Layer, NBitWeights>(), ActivationRanges.None, Dialect.Ort, new Dictionary<string, string>());
        var kept = LayerFinder.Find(stacked, new()).Layers.Select(layer => new LayerPlan.Keep(layer));
        string path = PathOf("kept.onnx");
        rewriter.Apply(kept).Model.Save(path);
        if (stacked == model && !Parsed(item.Model).Equals(Parsed(path)))
        {
            _defects.Add("a plan that keeps every layer changes the model");
        }
        RequireNear("kept", path, 1e-4);
    }

    /// <summary>How far a written model is from what the case expects; adds a defect where that is beyond the tolerance.</summary>
    double? RequireNear(string label, string path, double tolerance)
    {
        if (_expected == null)
        {
            return null;
        }
        try
        {
            double distance = Answers.Distance(_expected, Answers.Of(path, Path.Combine(item.Data!, "test_data_set_0")));
            if (!(distance <= tolerance + _originalDistance))
            {
                _defects.Add($"{label}: {distance:g3} from what is expected, tolerance {tolerance}");
            }
            return distance;
        }
        catch (OnnxRuntimeException e)
        {
            _defects.Add($"{label}: what was written cannot be run: {Short(e.Message)}");
            return double.PositiveInfinity;
        }
    }

    void Inspect()
    {
        string json = PathOf("inspect.json");
        var (exit, error) = Tool.Run("inspect", item.Model, "--json", json, "-q", "--threads", "1");
        Note("inspect", exit, error, null);
        if (exit == ExitCode.Success)
        {
            var report = JsonDocument.Parse(File.ReadAllText(json)).RootElement;
            _hasLayers = report.GetProperty("layers").GetArrayLength() > 0;
            _fates.AddRange(report.GetProperty("layers").EnumerateArray().Select(layer => new Fate("inspect", Text(layer, "op"), "rewrite", "")));
            _fates.AddRange(report.GetProperty("leftAlone").EnumerateArray().Select(node => new Fate("inspect", Text(node, "op"), "keep", Text(node, "reason"))));
        }
    }

    static string Text(JsonElement element, string name) => element.GetProperty(name).GetString() ?? "";

    void Note(string label, int exit, string error, double? distance)
    {
        _defects.AddRange(Tool.Oddities(label, exit, error));
        if (exit == ExitCode.Model && _runs && !error.Contains("which samples cannot be given for", StringComparison.Ordinal) && !error.Contains("no output of floats to compare", StringComparison.Ordinal))
        {
            _defects.Add($"{label}: ONNX Runtime runs the model, but: {error}");
        }
        _trials.Add(new(label, exit, Short(error), distance));
    }

    /// <summary>The start of a message without paths, the same wherever files lie.</summary>
    string Short(string message)
    {
        string text = message.Replace(item.Model, "MODEL", StringComparison.Ordinal).Replace("onnx-lowrank: ", "", StringComparison.Ordinal).ReplaceLineEndings(" ");
        text = Paths().Replace(text, "…");
        return text.Length <= LongestMessage ? text : text[..LongestMessage] + "…";
    }

    [GeneratedRegex(@"(?:/[^/\s:']+){2,}")]
    private static partial Regex Paths();

    /// <summary>Runs the program; what it writes is left at the returned path, null where nothing was.</summary>
    (int Exit, string Error, string? Written) Compress(string label, string samples, params string[] options)
    {
        string written = PathOf($"{label}.onnx"), report = PathOf($"{label}.json");
        var (exit, error) = Tool.Run([item.Model, written, "--calib", samples, "--metric", "relative", "--report", report, "-q", "--threads", "1", "--device", "cpu", .. options]);
        if (File.Exists(written) != (exit == ExitCode.Success))
        {
            _defects.Add($"{label}: exit {exit}, but the output is {(File.Exists(written) ? "" : "not ")}there");
        }
        string[] left = [.. Directory.EnumerateFileSystemEntries(folder, ".*").Select(path => Path.GetFileName(path))];
        if (left.Length > 0)
        {
            _defects.Add($"{label}: left behind: {string.Join(", ", left)}");
        }
        if (File.Exists(report))
        {
            _fates.AddRange(JsonDocument.Parse(File.ReadAllText(report)).RootElement.GetProperty("layers").EnumerateArray().Select(layer =>
                new Fate(label, Text(layer, "op"), Action(layer), Text(layer, "reason"))));
        }
        return (exit, error, File.Exists(written) ? written : null);
    }

    /// <summary>"factorize conv kernel-first int8", say.</summary>
    static string Action(JsonElement layer)
    {
        string[] parts = [Text(layer, "action"), Text(layer, "scheme"), Text(layer, "format"), layer.GetProperty("weightOnly").GetBoolean() ? "weight-only" : ""];
        return string.Join(' ', parts.Where(text => text.Length > 0));
    }

    void TryModel()
    {
        string tolerance = $"{Tolerance}";
        if (item.Data != null)
        {
            var (exit, error, written) = Compress("as-is", item.Data, "--no-timing", "--tolerance", tolerance);
            Note("as-is", exit, error, written == null ? null : RequireNear("as-is", written, Tolerance));
            (exit, error, written) = Compress("repeated", TestData.Repeated(PathOf("repeated"), item.Data, 8), "--no-timing", "--tolerance", tolerance);
            Note("repeated", exit, error, written == null ? null : RequireNear("repeated", written, Tolerance));
        }
        if (!_hasLayers && item.Data != null)
        {
            return;
        }
        try
        {
            string made = item.Data != null ? TestData.Varied(PathOf("made"), item.Data, 32) : TestData.Made(PathOf("made"), item, item.Group == "zoo" ? 64 : 8);
            var (exit, error, written) = Compress("made", made, item.Data == null ? ["--no-timing", "--tolerance", tolerance] : ["--tolerance", tolerance]);
            Note("made", exit, error, written == null ? null : _expected != null ? RequireNear("made", written, Slack * Tolerance) : FromOriginal(written, made));
        }
        catch (Exception e) when (e is NotSupportedException or OnnxRuntimeException)
        {
            _trials.Add(new("made", -1, $"no samples were made: {Short(e.Message)}", null));
        }
    }

    /// <summary>How far a written model is from the original on one of the samples.</summary>
    double FromOriginal(string written, string samples)
    {
        string set = Path.Combine(samples, "test_data_set_0");
        return Answers.Distance(Answers.Of(item.Model, set), Answers.Of(written, set));
    }

    /// <summary>Every way of rewriting, as far as it goes: what an error costs is no question here, but what comes out must still be verified by the program.</summary>
    void TryVariant()
    {
        foreach (var (label, options) in s_ways)
        {
            var (exit, error, written) = Compress(label, item.Samples!, [.. options, "--no-timing", "--objective", "size"]);
            double? distance = written == null ? null : FromOriginal(written, item.Data!);
            double tolerance = double.Parse(options[Array.IndexOf(options, "--tolerance") + 1]);
            if (distance > OneSample * tolerance)
            {
                _defects.Add($"{label}: {distance:g3} from the original on one sample, tolerance {tolerance}");
            }
            Note(label, exit, error, distance);
        }
    }

    static readonly (string Label, string[] Options)[] s_ways =
    [
        ("low rank", ["--format", "fp32", "--tolerance", "3"]),
        ("int8", ["--method", "none", "--format", "int8", "--tolerance", "1"]),
        ("int4", ["--method", "none", "--format", "int4", "--tolerance", "1"]),
        ("fp16", ["--method", "none", "--format", "fp16", "--tolerance", "0.01"]),
        ("auto", ["--tolerance", "0.05"]),
        ("auto, onnx", ["--tolerance", "0.05", "--dialect", "onnx"]),
    ];
}
