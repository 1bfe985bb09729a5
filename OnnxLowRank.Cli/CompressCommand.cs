using System.CommandLine;
using System.Text.RegularExpressions;
using OnnxLowRank.Cli.Html;
using OnnxLowRank.Rewriting;
using OnnxLowRank.Runtime;
using OnnxLowRank.Validation;

namespace OnnxLowRank.Cli;

/// <summary>The default verb: <c>onnx-lowrank IN.onnx OUT.onnx --calib PATH [options]</c>.</summary>
sealed class CompressCommand : IVerb
{
    /// <summary>How names of reports for browsers end.</summary>
    const string Page = ".html";

    static readonly Dictionary<string, Metric> s_metrics = CommandOptions.Names<Metric>();
    static readonly Dictionary<string, Method> s_methods = CommandOptions.Names<Method>();
    static readonly Dictionary<string, Dialect> s_dialects = CommandOptions.Names<Dialect>();
    static readonly Dictionary<string, FormatChoice> s_formats = new()
    {
        ["auto"] = FormatChoice.Auto,
        ["fp32"] = FormatChoice.Float32,
        ["fp16"] = FormatChoice.Float16,
        ["int8"] = FormatChoice.Int8,
        ["int4"] = FormatChoice.Int4,
    };

    readonly Argument<string> _input = CommandOptions.Model();
    readonly Argument<string> _output = new("OUT.onnx") { Description = "Where to write; appears whole or not at all." };
    readonly Option<string> _calib = CommandOptions.Calib();
    readonly Option<string[]> _stats = new("--stats")
    {
        Description = "Moments that onnx-lowrank calibrate has measured, one file or one per shard, instead of measuring them.",
        HelpName = "FILE",
        AllowMultipleArgumentsPerToken = true,
    };
    readonly Option<string?> _labels = CommandOptions.Labels();
    readonly Option<Metric?> _metric = CommandOptions.Choice("--metric", "What is measured", "by labels and outputs", s_metrics);
    readonly Option<double?> _tolerance = CommandOptions.Number<double>("--tolerance", "How much worse the metric may get, in its own units [0.01].", "X", "number");
    readonly Option<Objective?> _objective = CommandOptions.Choice("--objective", "What is made small", "balanced", CommandOptions.Names<Objective>());
    readonly Option<Target?> _targetSize = CommandOptions.Limit("--target-size", "Instead of a tolerance: bytes, as a fraction or 5MB.", Target.Size, "a fraction below 1 or a size such as 5MB");
    readonly Option<Target?> _targetTime = CommandOptions.Limit("--target-time", "Instead of a tolerance: time of a run, as a fraction or 3ms.", Target.Time, "a fraction below 1 or a time such as 3ms");
    readonly Option<FormatChoice?> _format = CommandOptions.Choice("--format", "Format of rewritten weights", "auto", s_formats);
    readonly Option<Method?> _method = CommandOptions.Choice("--method", "How weights are factorized", "output", s_methods);
    readonly Option<double?> _delta = CommandOptions.Number<double>("--delta", "With --method utilized: what each projection may lose of the metric [0.001].", "X", "number");
    readonly Option<Dialect?> _dialect = CommandOptions.Choice("--dialect", "Operators to emit", "ort", s_dialects);
    readonly Option<string?> _device = CommandOptions.Device();
    readonly Option<TargetCpu?> _targetCpu = CommandOptions.Choice("--target-cpu", "Processor that the model will run on", "native", CommandOptions.Names<TargetCpu>());
    readonly Option<Regex?> _only = CommandOptions.Pattern("--only", "Rewrite only layers whose node name matches.");
    readonly Option<Regex?> _skip = CommandOptions.Pattern("--skip", "Leave layers alone whose node name matches.");
    readonly Option<bool> _constantInputs = CommandOptions.ConstantInputs();
    readonly Option<bool> _noTiming = CommandOptions.NoTiming();
    readonly Option<bool> _deterministic = new("--deterministic") { Description = "Same bytes on any number of threads and in every run: one thread, no clock; slower." };
    readonly Option<bool> _confident = new("--confident") { Description = "Succeed only if the interval's upper end is within tolerance." };
    readonly Option<bool> _bestEffort = new("--best-effort") { Description = "Write the best plan found even if it misses the tolerance; still exits 5." };
    readonly Option<int?> _seed = CommandOptions.Seed();
    readonly Option<int?> _threads = CommandOptions.Threads();
    readonly Option<int?> _batch = CommandOptions.Batch();
    readonly Option<Target?> _memory = CommandOptions.Memory("For moments of layers in work; larger models keep results on disk [as the weights, 256MiB to 1GiB].");
    readonly Option<string[]> _report = new("--report") { Description = "Write a report, FILE.json or FILE.html, or - for JSON on standard output; may be repeated.", HelpName = "FILE" };
    readonly Option<bool> _quiet = CommandOptions.Quiet();
    readonly Option<bool> _noColor = CommandOptions.NoColor();

    /// <summary>Whether the output is in its place: no interruption undoes that.</summary>
    volatile bool _isWritten;

    public CompressCommand()
    {
        Root = new("Makes a trained ONNX model smaller and faster, and proves what it cost in accuracy.")
        {
            _input, _output, _calib, _stats, _labels, _metric, _tolerance, _targetSize, _targetTime, _objective, _format, _method, _delta, _dialect, _device, _targetCpu, _only, _skip,
            _constantInputs, _noTiming, _deterministic, _confident, _bestEffort, _seed, _threads, _batch, _memory, _report, _quiet, Verbose, _noColor,
        };
        Root.SetAction(_ => 0);
    }

    public RootCommand Root { get; }

    /// <summary>Whether help tells of the two paths.</summary>
    public bool ShowsArguments
    {
        set => _input.Hidden = _output.Hidden = !value;
    }

    /// <inheritdoc/>
    public Command Command => Root;

    /// <inheritdoc/>
    public string Name => "compress";

    /// <inheritdoc/>
    public IReadOnlyList<string> Examples { get; } =
    [
        "onnx-lowrank in.onnx out.onnx --calib data/",
        "onnx-lowrank in.onnx out.onnx --calib x.npy --labels y.npy --tolerance 0.005",
        "onnx-lowrank in.onnx out.onnx --calib data.npz --target-size 0.2",
        "onnx-lowrank in.onnx out.onnx --calib data/ --stats part-1.stats part-2.stats",
        "onnx-lowrank in.onnx out.onnx --calib data/ --skip head --report out.json",
        "onnx-lowrank in.onnx out.onnx --calib data/ --dialect onnx --target-cpu avx2",
    ];

    /// <inheritdoc/>
    public Option<bool> Verbose { get; } = new("--verbose", "-v") { Description = "Print every layer, and the trace of an error." };

    /// <inheritdoc/>
    public int Run(ParseResult parsed, CancellationToken cancellation)
    {
        var defaults = new CompressionOptions { Input = "", Output = "", Calibration = "" };
        var options = defaults with
        {
            Input = InputOf(parsed),
            Output = parsed.GetRequiredValue(_output),
            Calibration = parsed.GetRequiredValue(_calib),
            Stats = parsed.GetValue(_stats) ?? [],
            Labels = parsed.GetValue(_labels),
            Metric = parsed.GetValue(_metric),
            Tolerance = parsed.GetValue(_tolerance) ?? defaults.Tolerance,
            Objective = parsed.GetValue(_objective) ?? defaults.Objective,
            TargetSize = parsed.GetValue(_targetSize),
            TargetTime = parsed.GetValue(_targetTime),
            Format = parsed.GetValue(_format) ?? defaults.Format,
            Method = parsed.GetValue(_method) ?? defaults.Method,
            Delta = parsed.GetValue(_delta) ?? defaults.Delta,
            Dialect = parsed.GetValue(_dialect) ?? defaults.Dialect,
            Device = parsed.GetValue(_device) ?? defaults.Device,
            TargetCpu = parsed.GetValue(_targetCpu) ?? defaults.TargetCpu,
            Only = parsed.GetValue(_only),
            Skip = parsed.GetValue(_skip),
            ConstantInputs = parsed.GetValue(_constantInputs),
            Timing = !parsed.GetValue(_noTiming),
            Deterministic = parsed.GetValue(_deterministic),
            Confident = parsed.GetValue(_confident),
            BestEffort = parsed.GetValue(_bestEffort),
            Seed = parsed.GetValue(_seed) ?? defaults.Seed,
            Threads = parsed.GetValue(_threads) ?? defaults.Threads,
            Batch = parsed.GetValue(_batch),
            Memory = (long?)parsed.GetValue(_memory)?.Value,
        };
        if (parsed.GetValue(_tolerance) != null && (options.TargetSize ?? options.TargetTime) != null)
        {
            throw new OptionException("--tolerance and a target exclude each other");
        }
        if (parsed.GetValue(_delta) != null && options.Method != Method.Utilized)
        {
            throw new OptionException("--delta is for --method utilized");
        }
        string[] reports = parsed.GetValue(_report) ?? [];
        RequireReports(reports, options);
        bool isQuiet = parsed.GetValue(_quiet);
        bool hasColor = Output.HasColor(parsed.GetValue(_noColor));

        CompressionReport report;
        using (var staged = new StagedReports(cancellation))
        {
            using (var progress = new ProgressLine(isQuiet))
            {
                report = Compressor.Run(options, progress, ready => Array.ForEach(reports, path => staged.Add(Text(ready, path, parsed), path)), cancellation);
            }
            _isWritten = report.Result != null;
            staged.Commit();
        }
        if (!isQuiet && !reports.Contains("-"))
        {
            ResultTable.Write(report, parsed.GetValue(Verbose), hasColor);
        }
        if (report.Outcome == Outcome.Written)
        {
            return ExitCode.Success;
        }
        Console.Error.WriteLine($"onnx-lowrank: {(report.Outcome == Outcome.BestEffort ? $"written, but the {((options.TargetSize ?? options.TargetTime) == null ? "tolerance" : "target")} is missed" : $"nothing was written: {report.Notes[^1]}")}");
        return ExitCode.NotMet;
    }

    /// <inheritdoc/>
    public string InputOf(ParseResult parsed) => parsed.GetRequiredValue(_input);

    /// <inheritdoc/>
    public string Interrupted(ParseResult parsed) => _isWritten ? $"interrupted; {parsed.GetValue(_output)} is written" : IVerb.NothingWritten;

    static void RequireReports(string[] reports, CompressionOptions options)
    {
        foreach (string path in reports)
        {
            ReportFile.Require("--report", path, [".json", Page], options.Input, options.Output, options.Labels, options.Calibration);
        }
    }

    static string Text(CompressionReport report, string path, ParseResult parsed) => ReportFile.Ends(path, Page)
        ? CompressionPage.Of(report, CommandOptions.Typed(parsed))
        : JsonFile.Text(report, JsonFile.Context.CompressionReport);
}
