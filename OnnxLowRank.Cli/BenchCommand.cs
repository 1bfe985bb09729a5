using System.CommandLine;

namespace OnnxLowRank.Cli;

/// <summary><c>onnx-lowrank bench A.onnx [B.onnx …] [options]</c>: latency, throughput and memory, in turns in one process.</summary>
sealed class BenchCommand : IVerb
{
    readonly Argument<string[]> _models = new("A.onnx")
    {
        Description = "The models; times of the others are told in units of the first one's.",
        Arity = ArgumentArity.OneOrMore,
    };
    readonly Option<string?> _calib = CommandOptions.OptionalCalib("Samples to run on", " [numbers of the models' shapes]");
    readonly Option<int[]?> _batch = CommandOptions.Numbers("--batch", "Samples per run, with commas between several [1,32].");
    readonly Option<int[]?> _threads = CommandOptions.Numbers("--threads", "Threads, with commas between several [all cores].");
    readonly Option<double?> _seconds = CommandOptions.Number<double>("--seconds", "How long to measure per model and setting [2].", "S", "number");
    readonly Option<string?> _json = CommandOptions.Json();
    readonly Option<string?> _device = CommandOptions.Device();
    readonly Option<bool> _noColor = CommandOptions.NoColor();

    public BenchCommand()
    {
        Command = new("bench", "Times models in turns: latency, throughput and memory, and ratios to the first with their intervals.")
        {
            _models, _calib, _batch, _threads, _seconds, _json, _device, Verbose, _noColor,
        };
        Command.SetAction(_ => 0);
        _models.Validators.Add(result => UsageError.RefuseOptions(result, Command));
    }

    /// <inheritdoc/>
    public Command Command { get; }

    /// <inheritdoc/>
    public IReadOnlyList<string> Examples { get; } =
    [
        "onnx-lowrank bench in.onnx out.onnx",
        "onnx-lowrank bench in.onnx out.onnx --calib data/ --batch 1,32 --threads 1,2",
        "onnx-lowrank bench in.onnx int8.onnx out.onnx --seconds 10 --json times.json",
    ];

    /// <inheritdoc/>
    public Option<bool> Verbose { get; } = CommandOptions.Verbose();

    /// <inheritdoc/>
    public int Run(ParseResult parsed, CancellationToken cancellation)
    {
        var defaults = new BenchmarkOptions { Models = [] };
        var options = defaults with
        {
            Models = parsed.GetRequiredValue(_models),
            Calibration = parsed.GetValue(_calib),
            Batches = CommandOptions.Given(parsed, _batch),
            Threads = CommandOptions.Given(parsed, _threads) ?? defaults.Threads,
            Seconds = parsed.GetValue(_seconds) ?? defaults.Seconds,
            Device = parsed.GetValue(_device) ?? defaults.Device,
        };
        string? json = parsed.GetValue(_json);
        if (json != null)
        {
            JsonFile.Require("--json", json, [.. options.Models, options.Calibration]);
        }
        bool hasColor = Output.HasColor(parsed.GetValue(_noColor));

        var report = Benchmark.Run(options, cancellation);
        if (json != null)
        {
            JsonFile.Write(report, JsonFile.Context.BenchmarkReport, json);
        }
        if (json != "-")
        {
            BenchmarkTable.Write(report, hasColor);
        }
        return ExitCode.Success;
    }

    /// <inheritdoc/>
    public string InputOf(ParseResult parsed) => "";
}
