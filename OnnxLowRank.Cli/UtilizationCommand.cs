using System.CommandLine;
using System.Text.RegularExpressions;
using OnnxLowRank.Cli.Html;

namespace OnnxLowRank.Cli;

/// <summary><c>onnx-lowrank utilization IN.onnx --calib PATH [options]</c>: how much of their weights' space the layers use.</summary>
sealed class UtilizationCommand : IVerb
{
    readonly Argument<string> _input = CommandOptions.Model();
    readonly Option<string> _calib = CommandOptions.Calib();
    readonly Option<string?> _labels = CommandOptions.Labels();
    readonly Option<double?> _delta = CommandOptions.Number<double>("--delta", "Accuracy, or agreement without labels, that each projection may lose, as a fraction [0.001].", "X", "number");
    readonly Option<string?> _state = new("--state") { Description = "Remember finished layers in FILE.json, and go on from there.", HelpName = "FILE" };
    readonly Option<string?> _report = new("--report") { Description = "Write a page, FILE.html.", HelpName = "FILE" };
    readonly Option<string?> _json = CommandOptions.Json();
    readonly Option<string?> _device = CommandOptions.Device();
    readonly Option<Regex?> _only = CommandOptions.Pattern("--only", "Search only layers whose node name matches.");
    readonly Option<Regex?> _skip = CommandOptions.Pattern("--skip", "Leave out layers whose node name matches.");
    readonly Option<bool> _constantInputs = CommandOptions.ConstantInputs();
    readonly Option<int?> _seed = CommandOptions.Seed();
    readonly Option<int?> _threads = CommandOptions.Threads();
    readonly Option<int?> _batch = CommandOptions.Batch();
    readonly Option<bool> _quiet = CommandOptions.Quiet();
    readonly Option<bool> _noColor = CommandOptions.NoColor();

    public UtilizationCommand()
    {
        Command = new("utilization", "Tells how much of the space that its weights have each layer uses on the samples, and what two factors of that rank would save.")
        {
            _input, _calib, _labels, _delta, _state, _report, _json, _device, _only, _skip, _constantInputs, _seed, _threads, _batch, _quiet, Verbose, _noColor,
        };
        Command.SetAction(_ => 0);
    }

    /// <inheritdoc/>
    public Command Command { get; }

    /// <inheritdoc/>
    public IReadOnlyList<string> Examples { get; } =
    [
        "onnx-lowrank utilization in.onnx --calib data/ --labels y.npy",
        "onnx-lowrank utilization in.onnx --calib x.npy --report used.html",
        "onnx-lowrank utilization in.onnx --calib data/ --state layers.json",
    ];

    /// <inheritdoc/>
    public Option<bool> Verbose { get; } = CommandOptions.Verbose();

    /// <inheritdoc/>
    public int Run(ParseResult parsed, CancellationToken cancellation)
    {
        var defaults = new UtilizationOptions { Input = "", Calibration = "" };
        var options = defaults with
        {
            Input = InputOf(parsed),
            Calibration = parsed.GetRequiredValue(_calib),
            Labels = parsed.GetValue(_labels),
            Delta = parsed.GetValue(_delta) ?? defaults.Delta,
            State = parsed.GetValue(_state),
            Device = parsed.GetValue(_device) ?? defaults.Device,
            Only = parsed.GetValue(_only),
            Skip = parsed.GetValue(_skip),
            ConstantInputs = parsed.GetValue(_constantInputs),
            Seed = parsed.GetValue(_seed) ?? defaults.Seed,
            Threads = parsed.GetValue(_threads) ?? defaults.Threads,
            Batch = parsed.GetValue(_batch),
        };
        string? json = parsed.GetValue(_json), page = parsed.GetValue(_report);
        RequireFiles(options, json, page);
        bool isQuiet = parsed.GetValue(_quiet), hasColor = Output.HasColor(parsed.GetValue(_noColor));

        UtilizationReport report;
        using (var progress = new ProgressLine(isQuiet))
        {
            report = Utilizer.Run(options, progress, cancellation);
        }
        if (page != null)
        {
            ReportFile.Write(UtilizationPage.Of(report, CommandOptions.Typed(parsed)), page);
        }
        if (json != null)
        {
            JsonFile.Write(report, JsonFile.Context.UtilizationReport, json);
        }
        if (json != "-" && !isQuiet)
        {
            UtilizationTable.Write(report, hasColor);
        }
        return ExitCode.Success;
    }

    static void RequireFiles(UtilizationOptions options, string? json, string? page)
    {
        if (options.State == "-")
        {
            throw new OptionException("--state -: a state is a file");
        }
        if (options.State != null)
        {
            JsonFile.Require("--state", options.State, options.Input, options.Calibration, options.Labels, json);
        }
        if (json != null)
        {
            JsonFile.Require("--json", json, options.Input, options.Calibration, options.Labels);
        }
        if (page == "-")
        {
            throw new OptionException("--report -: a page is a file");
        }
        if (page != null)
        {
            ReportFile.Require("--report", page, [".html"], options.Input, options.Calibration, options.Labels, options.State, json);
        }
    }

    /// <inheritdoc/>
    public string InputOf(ParseResult parsed) => parsed.GetRequiredValue(_input);

    /// <inheritdoc/>
    public string Interrupted(ParseResult parsed) =>
        parsed.GetValue(_state) is { } state ? $"interrupted; {state} holds the layers that are done" : IVerb.NothingWritten;
}
