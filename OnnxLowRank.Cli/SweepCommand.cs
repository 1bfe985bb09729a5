using System.CommandLine;
using System.Text.RegularExpressions;
using OnnxLowRank.Cli.Html;
using OnnxLowRank.Validation;

namespace OnnxLowRank.Cli;

/// <summary><c>onnx-lowrank sweep IN.onnx --calib PATH [options]</c>: size against what it costs, over a range of settings.</summary>
sealed class SweepCommand : IVerb
{
    static readonly double[] s_usualTolerances = [0.001, 0.0025, 0.005, 0.01, 0.02];

    readonly Argument<string[]> _inputs = new("IN.onnx") { Description = "The trained models; several share one chart.", Arity = ArgumentArity.OneOrMore };
    readonly Option<string> _calib = CommandOptions.Calib();
    readonly Option<string?> _labels = CommandOptions.Labels();
    readonly Option<Metric?> _metric = CommandOptions.Choice("--metric", "What is measured", "by labels and outputs", CommandOptions.Names<Metric>());
    readonly Option<double[]?> _tolerances = CommandOptions.Values("--tolerances", "Whole compressions at these tolerances [0.001,0.0025,0.005,0.01,0.02].");
    readonly Option<double[]?> _sizes = CommandOptions.Values("--sizes", "Whole compressions to these fractions of the original's bytes.");
    readonly Option<double[]?> _errors = CommandOptions.Values("--errors", "Every layer as small as it can be with this relative error of its output.");
    readonly Option<double[]?> _ranks = CommandOptions.Values("--ranks", "One layer at these ranks: 1,2,4 or 1..500 or 1..500:10.");
    readonly Option<Regex?> _layer = CommandOptions.Pattern("--layer", "The layer of --ranks, by node name.");
    readonly Option<Method[]?> _methods = CommandOptions.Choices("--methods", "How weights are factorized", "output", MethodsByName());
    readonly Option<int?> _repeats = CommandOptions.Number<int>("--repeats", "How often randomized is drawn anew [1].", "N", "whole number");
    readonly Option<double?> _tolerance = CommandOptions.Number<double>("--tolerance", "Loss up to which a rank is good enough [0.005].", "X", "number");
    readonly Option<string?> _out = new("--out") { Description = "Folder for sweep.json, sweep.csv, sweep.html, and the models that are written.", HelpName = "DIR" };
    readonly Option<string?> _json = CommandOptions.Json();
    readonly Option<string?> _device = CommandOptions.Device();
    readonly Option<bool> _noTiming = CommandOptions.NoTiming();
    readonly Option<int?> _seed = CommandOptions.Seed();
    readonly Option<int?> _threads = CommandOptions.Threads();
    readonly Option<int?> _batch = CommandOptions.Batch();
    readonly Option<bool> _quiet = CommandOptions.Quiet();
    readonly Option<bool> _noColor = CommandOptions.NoColor();

    public SweepCommand()
    {
        Command = new("sweep", "Tries a range of settings: size against accuracy, a layer's rank against accuracy, or factors against few bits.")
        {
            _inputs, _calib, _labels, _metric, _tolerances, _sizes, _errors, _ranks, _layer, _methods, _repeats, _tolerance, _out, _json, _device, _noTiming,
            _seed, _threads, _batch, _quiet, Verbose, _noColor,
        };
        _inputs.Validators.Add(result => UsageError.RefuseOptions(result, Command));
        Command.SetAction(_ => 0);
    }

    static Dictionary<string, Method> MethodsByName()
    {
        var names = CommandOptions.Names<Method>();
        names.Remove("none");
        return names;
    }

    /// <inheritdoc/>
    public Command Command { get; }

    /// <inheritdoc/>
    public IReadOnlyList<string> Examples { get; } =
    [
        "onnx-lowrank sweep in.onnx --calib data/ --labels y.npy --out found/",
        "onnx-lowrank sweep in.onnx --calib data/ --errors 0.02,0.05,0.1,0.2",
        "onnx-lowrank sweep a.onnx b.onnx --calib x.npy --layer fc2 --ranks 1..99",
    ];

    /// <inheritdoc/>
    public Option<bool> Verbose { get; } = CommandOptions.Verbose();

    /// <inheritdoc/>
    public int Run(ParseResult parsed, CancellationToken cancellation)
    {
        var (kind, settings) = Varied(parsed);
        string? folder = parsed.GetValue(_out), json = parsed.GetValue(_json);
        var defaults = new SweepOptions { Inputs = [], Calibration = "", Settings = [] };
        var options = defaults with
        {
            Inputs = parsed.GetRequiredValue(_inputs),
            Calibration = parsed.GetRequiredValue(_calib),
            Kind = kind,
            Settings = settings,
            Folder = folder,
            Labels = parsed.GetValue(_labels),
            Metric = parsed.GetValue(_metric),
            Layer = parsed.GetValue(_layer),
            Methods = CommandOptions.Given(parsed, _methods) ?? defaults.Methods,
            Repeats = parsed.GetValue(_repeats) ?? defaults.Repeats,
            Tolerance = parsed.GetValue(_tolerance) ?? defaults.Tolerance,
            Device = parsed.GetValue(_device) ?? defaults.Device,
            Timing = !parsed.GetValue(_noTiming),
            Seed = parsed.GetValue(_seed) ?? defaults.Seed,
            Threads = parsed.GetValue(_threads) ?? defaults.Threads,
            Batch = parsed.GetValue(_batch),
        };
        if (json != null)
        {
            JsonFile.Require("--json", json, [.. options.Inputs, options.Calibration, options.Labels]);
        }
        bool isQuiet = parsed.GetValue(_quiet), hasColor = Output.HasColor(parsed.GetValue(_noColor));

        SweepReport report;
        using (var progress = new ProgressLine(isQuiet))
        {
            report = Sweep.Run(options, progress, cancellation);
        }
        if (folder != null)
        {
            using var staged = new StagedReports(cancellation);
            staged.Add(JsonFile.Text(report, JsonFile.Context.SweepReport), Path.Combine(folder, "sweep.json"));
            staged.Add(SweepTable.Csv(report), Path.Combine(folder, "sweep.csv"));
            staged.Add(SweepPage.Of(report, CommandOptions.Typed(parsed)), Path.Combine(folder, "sweep.html"));
            staged.Commit();
        }
        if (json != null)
        {
            JsonFile.Write(report, JsonFile.Context.SweepReport, json);
        }
        if (!isQuiet && json != "-")
        {
            SweepTable.Write(report, hasColor);
        }
        return ExitCode.Success;
    }

    /// <summary>What is varied: one thing at a time.</summary>
    (SweepKind Kind, double[] Settings) Varied(ParseResult parsed)
    {
        (SweepKind Kind, double[]? Settings)[] given =
        [
            (SweepKind.Tolerances, CommandOptions.Given(parsed, _tolerances)), (SweepKind.Sizes, CommandOptions.Given(parsed, _sizes)),
            (SweepKind.Errors, CommandOptions.Given(parsed, _errors)), (SweepKind.Ranks, CommandOptions.Given(parsed, _ranks)),
        ];
        var wanted = given.Where(item => item.Settings != null).ToList();
        return wanted.Count switch
        {
            0 => (SweepKind.Tolerances, s_usualTolerances),
            1 => (wanted[0].Kind, wanted[0].Settings!),
            _ => throw new OptionException($"--{Name(wanted[0].Kind)} and --{Name(wanted[1].Kind)} exclude each other"),
        };
    }

    static string Name(SweepKind kind) => kind.ToString().ToLowerInvariant();

    /// <inheritdoc/>
    public string Interrupted(ParseResult parsed) =>
        parsed.GetValue(_out) is { } folder ? $"interrupted; models that were written are in {folder}" : IVerb.NothingWritten;

    /// <inheritdoc/>
    public string InputOf(ParseResult parsed) => parsed.GetRequiredValue(_inputs)[0];
}
