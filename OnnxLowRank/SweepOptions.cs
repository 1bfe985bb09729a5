using System.Text.RegularExpressions;
using OnnxLowRank.Validation;

namespace OnnxLowRank;

/// <summary>What is varied.</summary>
public enum SweepKind
{
    /// <summary>The rank of one layer: what the model's metric does as it falls.</summary>
    Ranks,

    /// <summary>The error that every layer is allowed: factors, few bits, and both at once.</summary>
    Errors,

    /// <summary>The tolerance of whole compressions.</summary>
    Tolerances,

    /// <summary>The size of whole compressions.</summary>
    Sizes,
}

/// <summary>Everything a sweep can be told.</summary>
public sealed record SweepOptions
{
    /// <summary>The models to read; several share the axes of one chart.</summary>
    public required IReadOnlyList<string> Inputs { get; init; }

    /// <summary>Samples as for <see cref="CompressionOptions.Calibration"/>; all models read the same.</summary>
    public required string Calibration { get; init; }

    /// <summary>What is varied.</summary>
    public SweepKind Kind { get; init; } = SweepKind.Tolerances;

    /// <summary>
    /// The settings: ranks ≥ 1; ε of ‖Δy‖/‖y‖ per layer; tolerances in the metric's units; or sizes as fractions of the original's bytes.
    /// </summary>
    public required IReadOnlyList<double> Settings { get; init; }

    /// <summary>Folder of the models that whole compressions write; null for sweeps that write none.</summary>
    public string? Folder { get; init; }

    /// <summary>A .npy of integer labels, one per sample or token, or null.</summary>
    public string? Labels { get; init; }

    /// <summary>What is measured; null chooses by labels and outputs.</summary>
    public Metric? Metric { get; init; }

    /// <summary>Node name of the layer whose rank is varied: it must match one layer of each model.</summary>
    public Regex? Layer { get; init; }

    /// <summary>How weights are factorized; one series each.</summary>
    public IReadOnlyList<Method> Methods { get; init; } = [Method.Output];

    /// <summary>How often <see cref="Method.Randomized"/> is drawn anew.</summary>
    public int Repeats { get; init; } = 1;

    /// <summary>How much worse the metric may get where the smallest rank that is good enough is told.</summary>
    public double Tolerance { get; init; } = 0.005;

    /// <summary>auto, cpu, cuda or cuda:N.</summary>
    public string Device { get; init; } = "auto";

    /// <summary>Seed of everything random.</summary>
    public int Seed { get; init; }

    /// <summary>Threads for models and algebra, ≥ 1.</summary>
    public int Threads { get; init; } = Environment.ProcessorCount;

    /// <summary>Samples per run, or null to choose by a memory limit.</summary>
    public int? Batch { get; init; }

    /// <summary>Whether plans of whole compressions go by times measured on this machine.</summary>
    public bool Timing { get; init; } = true;

    /// <summary>A whole compression of one of the models, or the part of it that other sweeps share.</summary>
    internal CompressionOptions Compression(string input, string output) => new()
    {
        Input = input,
        Output = output,
        Calibration = Calibration,
        Labels = Labels,
        Metric = Metric,
        Method = Methods[0],
        Device = Device,
        Seed = Seed,
        Threads = Threads,
        Batch = Batch,
        Timing = Timing,
        Only = Layer,
    };

    /// <exception cref="OptionException">A value is out of range; the message names the option.</exception>
    internal void Validate()
    {
        CompressionOptions.Require(Inputs.Count > 0 && Inputs.All(input => input.Length > 0), "an empty path names no file");
        CompressionOptions.Require(Inputs.Select(NameOf).Distinct().Count() == Inputs.Count, "two models have the same file name, by which reports tell them apart");
        CompressionOptions.Require(Settings.Count > 0, $"--{Name}: no values");
        CompressionOptions.Require(Settings.All(value => value > 0 && double.IsFinite(value)), $"--{Name}: values must be > 0");
        CompressionOptions.Require(Kind != SweepKind.Ranks || Settings.All(double.IsInteger), "--ranks: values must be whole numbers");
        CompressionOptions.Require(Kind != SweepKind.Sizes || Settings.All(value => value < 1), "--sizes: values must be fractions below 1");
        CompressionOptions.Require(Kind != SweepKind.Ranks || Layer != null, "--ranks needs --layer");
        CompressionOptions.Require(Folder != null || Kind is SweepKind.Ranks or SweepKind.Errors, $"--{Name} needs --out, a folder for the models");
        CompressionOptions.Require(Methods.Count > 0 && !Methods.Contains(Method.None), "--methods none leaves nothing to vary");
        CompressionOptions.Require(Kind == SweepKind.Ranks || Methods.Count == 1, $"--{Name} takes one of --methods");
        CompressionOptions.Require(Repeats >= 1, $"--repeats {Repeats} is not ≥ 1");
        CompressionOptions.Require(Tolerance >= 0 && double.IsFinite(Tolerance), $"--tolerance {Tolerance} is not a number ≥ 0");
        CompressionOptions.Require(Threads >= 1, $"--threads {Threads} is not ≥ 1");
        CompressionOptions.Require(Batch is null or >= 1, $"--batch {Batch} is not ≥ 1");
        CompressionOptions.Require(Metric != Validation.Metric.Accuracy || Labels != null, "--metric accuracy needs --labels");
    }

    /// <summary>What a model is called in reports.</summary>
    internal static string NameOf(string input) => Path.GetFileNameWithoutExtension(input);

    string Name => Kind.ToString().ToLowerInvariant();
}
