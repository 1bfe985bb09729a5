using System.CommandLine;

namespace OnnxLowRank.Cli;

/// <summary><c>onnx-lowrank compare A.onnx B.onnx --calib PATH [options]</c>: every metric of B against A on the same data.</summary>
sealed class CompareCommand : IVerb
{
    readonly Argument<string> _first = new("A.onnx") { Description = "The model that the other is measured against." };
    readonly Argument<string> _second = new("B.onnx") { Description = "The model that is judged." };
    readonly Option<string> _calib = CommandOptions.Calib();
    readonly Option<string?> _labels = CommandOptions.Labels();
    readonly Option<int?> _worst = CommandOptions.Number<int>("--worst", "Samples to tell of, those that moved most first [10].", "N", "whole number");
    readonly Option<int?> _top = CommandOptions.Number<int>("--top", "Classes to show, those that lose most first [20].", "N", "whole number");
    readonly Option<string?> _json = CommandOptions.Json();
    readonly Option<string?> _device = CommandOptions.Device();
    readonly Option<int?> _threads = CommandOptions.Threads();
    readonly Option<int?> _batch = CommandOptions.Batch();
    readonly Option<bool> _noColor = CommandOptions.NoColor();

    public CompareCommand()
    {
        Command = new("compare", "Tells how B differs from A on the same samples: every metric with its interval, per output and class, and the worst samples.")
        {
            _first, _second, _calib, _labels, _worst, _top, _json, _device, _threads, _batch, Verbose, _noColor,
        };
        Command.SetAction(_ => 0);
    }

    /// <inheritdoc/>
    public Command Command { get; }

    /// <inheritdoc/>
    public IReadOnlyList<string> Examples { get; } =
    [
        "onnx-lowrank compare in.onnx out.onnx --calib data/",
        "onnx-lowrank compare in.onnx out.onnx --calib x.npy --labels y.npy --worst 20",
        "onnx-lowrank compare in.onnx out.onnx --calib data/ --json - | jq .metrics",
    ];

    /// <inheritdoc/>
    public Option<bool> Verbose { get; } = CommandOptions.Verbose();

    /// <inheritdoc/>
    public int Run(ParseResult parsed, CancellationToken cancellation)
    {
        const int Classes = 20;
        var defaults = new ComparisonOptions { First = "", Second = "", Calibration = "" };
        var options = defaults with
        {
            First = parsed.GetRequiredValue(_first),
            Second = parsed.GetRequiredValue(_second),
            Calibration = parsed.GetRequiredValue(_calib),
            Labels = parsed.GetValue(_labels),
            Worst = parsed.GetValue(_worst) ?? defaults.Worst,
            Device = parsed.GetValue(_device) ?? defaults.Device,
            Threads = parsed.GetValue(_threads) ?? defaults.Threads,
            Batch = parsed.GetValue(_batch),
        };
        int top = CommandOptions.Top(parsed, _top, Classes);
        string? json = parsed.GetValue(_json);
        if (json != null)
        {
            JsonFile.Require("--json", json, options.First, options.Second, options.Calibration, options.Labels);
        }
        bool hasColor = Output.HasColor(parsed.GetValue(_noColor));

        var report = Comparer.Run(options, cancellation);
        if (json != null)
        {
            JsonFile.Write(report, JsonFile.Context.ComparisonReport, json);
        }
        if (json != "-")
        {
            ComparisonTable.Write(report, top, options.Worst, hasColor);
        }
        return ExitCode.Success;
    }

    /// <inheritdoc/>
    public string InputOf(ParseResult parsed) => "";
}
