using System.CommandLine;
using System.Text.RegularExpressions;

namespace OnnxLowRank.Cli;

/// <summary><c>onnx-lowrank inspect IN.onnx [options]</c>: what the layers hold, and what could be gained.</summary>
sealed class InspectCommand : IVerb
{
    /// <summary>Where stages start and end with samples; without, there is no calibration.</summary>
    static readonly Dictionary<string, (double From, double To)> s_stages = new()
    {
        ["load"] = (0, 0.05),
        ["calibrate"] = (0.05, 0.5),
        ["decompose"] = (0.5, 1),
    };
    static readonly Dictionary<string, (double From, double To)> s_stagesWithoutSamples = new() { ["load"] = (0, 0.1), ["decompose"] = (0.1, 1) };

    readonly Argument<string> _input = CommandOptions.Model();
    readonly Option<string?> _calib = CommandOptions.OptionalCalib("Samples, to look at what layers put out and not at weights alone");
    readonly Option<string?> _json = CommandOptions.Json();
    readonly Option<int?> _top = CommandOptions.Number<int>("--top", "Layers to show, those that gain most first [all].", "N", "whole number");
    readonly Option<string?> _device = CommandOptions.Device();
    readonly Option<Regex?> _only = CommandOptions.Pattern("--only", "Look only at layers whose node name matches.");
    readonly Option<Regex?> _skip = CommandOptions.Pattern("--skip", "Leave out layers whose node name matches.");
    readonly Option<bool> _constantInputs = CommandOptions.ConstantInputs();
    readonly Option<int?> _threads = CommandOptions.Threads();
    readonly Option<int?> _batch = CommandOptions.Batch();
    readonly Option<bool> _quiet = CommandOptions.Quiet();
    readonly Option<bool> _noColor = CommandOptions.NoColor();

    public InspectCommand()
    {
        Command = new("inspect", "Tells per layer how much of its weight is used, what a cut would lose, and what is left alone and why.")
        {
            _input, _calib, _json, _top, _device, _only, _skip, _constantInputs, _threads, _batch, _quiet, Verbose, _noColor,
        };
        Command.SetAction(_ => 0);
    }

    /// <inheritdoc/>
    public Command Command { get; }

    /// <inheritdoc/>
    public IReadOnlyList<string> Examples { get; } =
    [
        "onnx-lowrank inspect in.onnx",
        "onnx-lowrank inspect in.onnx --calib data/ --top 20",
        "onnx-lowrank inspect in.onnx --calib x.npy --json - | jq .layers",
    ];

    /// <inheritdoc/>
    public Option<bool> Verbose { get; } = CommandOptions.Verbose();

    /// <inheritdoc/>
    public int Run(ParseResult parsed, CancellationToken cancellation)
    {
        var defaults = new InspectionOptions { Input = "" };
        var options = defaults with
        {
            Input = InputOf(parsed),
            Calibration = parsed.GetValue(_calib),
            Device = parsed.GetValue(_device) ?? defaults.Device,
            Only = parsed.GetValue(_only),
            Skip = parsed.GetValue(_skip),
            ConstantInputs = parsed.GetValue(_constantInputs),
            Threads = parsed.GetValue(_threads) ?? defaults.Threads,
            Batch = parsed.GetValue(_batch),
        };
        int top = CommandOptions.Top(parsed, _top, int.MaxValue);
        string? json = parsed.GetValue(_json);
        if (json != null)
        {
            JsonFile.Require("--json", json, options.Input, options.Calibration);
        }
        bool hasColor = Output.HasColor(parsed.GetValue(_noColor));

        bool isQuiet = parsed.GetValue(_quiet);
        InspectionReport report;
        using (var progress = new ProgressLine(isQuiet, options.Calibration == null ? s_stagesWithoutSamples : s_stages))
        {
            report = Inspector.Run(options, progress, cancellation);
        }
        if (json != null)
        {
            JsonFile.Write(report, JsonFile.Context.InspectionReport, json);
        }
        if (json != "-" && !isQuiet)
        {
            InspectionTable.Write(report, top, hasColor);
        }
        return ExitCode.Success;
    }

    /// <inheritdoc/>
    public string InputOf(ParseResult parsed) => parsed.GetRequiredValue(_input);
}
