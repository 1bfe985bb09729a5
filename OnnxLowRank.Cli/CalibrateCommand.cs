using System.CommandLine;
using System.Text.RegularExpressions;

namespace OnnxLowRank.Cli;

/// <summary><c>onnx-lowrank calibrate IN.onnx --calib PATH --stats FILE [options]</c>: moments only, in files that merge.</summary>
sealed class CalibrateCommand : IVerb
{
    static readonly Dictionary<string, (double From, double To)> s_stages = new() { ["load"] = (0, 0.05), ["calibrate"] = (0.05, 1) };

    readonly Argument<string> _input = CommandOptions.Model();
    readonly Option<string> _calib = CommandOptions.Calib();
    readonly Option<string> _stats = new("--stats")
    {
        Description = "Where to write; an unfinished file of the same job is gone on with.",
        HelpName = "FILE",
        Required = true,
    };
    readonly Option<string?> _shard = new("--shard")
    {
        Description = "Take every N-th run of samples, beginning with the I-th, I/N; env: as SLURM_ARRAY_TASK_* say; env/N: as SLURM_ARRAY_TASK_ID or JOB_COMPLETION_INDEX, 0 to N - 1, says.",
        HelpName = "I/N",
    };
    readonly Option<bool> _all = new("--all") { Description = "Take every sample, not those that compress takes for moments: for samples that compress will not get." };
    readonly Option<double?> _checkpoint = CommandOptions.Number<double>("--checkpoint", "Seconds after which what is done is written [60].", "S", "number");
    readonly Option<string?> _json = CommandOptions.Json();
    readonly Option<string?> _device = CommandOptions.Device();
    readonly Option<Regex?> _only = CommandOptions.Pattern("--only", "Measure only layers whose node name matches.");
    readonly Option<Regex?> _skip = CommandOptions.Pattern("--skip", "Leave out layers whose node name matches.");
    readonly Option<bool> _constantInputs = CommandOptions.ConstantInputs();
    readonly Option<int?> _seed = CommandOptions.Number<int>("--seed", "Seed that compress will share out samples with [0].", "N", "whole number");
    readonly Option<int?> _threads = CommandOptions.Threads();
    readonly Option<int?> _batch = CommandOptions.Number<int>("--batch", "Samples per run [1 to 8, by how many there are and by memory].", "N", "whole number");
    readonly Option<Target?> _memory = CommandOptions.Memory("For what one run of all layers measures; sums that take more are on disk until they are written [1GiB].");
    readonly Option<bool> _quiet = CommandOptions.Quiet();
    readonly Option<bool> _noColor = CommandOptions.NoColor();

    public CalibrateCommand()
    {
        Command = new("calibrate", "Measures what compress needs to know of activations, in files that add up: for jobs in parts.")
        {
            _input, _calib, _stats, _shard, _all, _checkpoint, _json, _device, _only, _skip, _constantInputs, _seed, _threads, _batch, _memory, _quiet, Verbose, _noColor,
        };
        Command.SetAction(_ => 0);
    }

    /// <inheritdoc/>
    public Command Command { get; }

    /// <inheritdoc/>
    public IReadOnlyList<string> Examples { get; } =
    [
        "onnx-lowrank calibrate in.onnx --calib data/ --stats in.stats",
        "onnx-lowrank calibrate in.onnx --calib data/ --stats 3.stats --shard 3/16",
        "onnx-lowrank calibrate in.onnx --calib corpus/ --all --stats in.stats",
    ];

    /// <inheritdoc/>
    public Option<bool> Verbose { get; } = CommandOptions.Verbose();

    /// <summary>Time to write what is done: Slurm and Kubernetes wait 30 seconds before they kill.</summary>
    public TimeSpan Grace => TimeSpan.FromSeconds(25);

    /// <inheritdoc/>
    public int Run(ParseResult parsed, CancellationToken cancellation)
    {
        var defaults = new CalibrationOptions { Input = "", Calibration = "", Stats = "" };
        var options = defaults with
        {
            Input = InputOf(parsed),
            Calibration = parsed.GetRequiredValue(_calib),
            Stats = parsed.GetRequiredValue(_stats),
            Shard = parsed.GetValue(_shard) is { } shard ? Shard.Parse(shard) : defaults.Shard,
            All = parsed.GetValue(_all),
            Seed = parsed.GetValue(_seed) ?? defaults.Seed,
            Checkpoint = parsed.GetValue(_checkpoint) ?? defaults.Checkpoint,
            Device = parsed.GetValue(_device) ?? defaults.Device,
            Only = parsed.GetValue(_only),
            Skip = parsed.GetValue(_skip),
            ConstantInputs = parsed.GetValue(_constantInputs),
            Threads = parsed.GetValue(_threads) ?? defaults.Threads,
            Batch = parsed.GetValue(_batch),
            Memory = (long?)parsed.GetValue(_memory)?.Value ?? defaults.Memory,
        };
        string? json = parsed.GetValue(_json);
        if (json != null)
        {
            JsonFile.Require("--json", json, options.Input, options.Calibration, options.Stats);
        }
        bool isQuiet = parsed.GetValue(_quiet), hasColor = Output.HasColor(parsed.GetValue(_noColor));
        CalibrationReport report;
        using (var progress = new ProgressLine(isQuiet, s_stages))
        {
            report = CalibrationJob.Run(options, progress, cancellation);
        }
        if (json != null)
        {
            JsonFile.Write(report, JsonFile.Context.CalibrationReport, json);
        }
        if (json != "-" && !isQuiet)
        {
            CalibrationTable.Write(report, hasColor);
        }
        return ExitCode.Success;
    }

    /// <inheritdoc/>
    public string Interrupted(ParseResult parsed) => parsed.GetValue(_stats) is { } stats && File.Exists(stats)
        ? $"interrupted; {stats} holds the samples that are done, and the same command goes on"
        : IVerb.NothingWritten;

    /// <inheritdoc/>
    public string InputOf(ParseResult parsed) => parsed.GetRequiredValue(_input);
}
