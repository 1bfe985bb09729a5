using System.Text.RegularExpressions;

namespace OnnxLowRank;

/// <summary>Everything a search for layers' utilization can be told.</summary>
public sealed record UtilizationOptions
{
    /// <summary>The model to read. It is never changed.</summary>
    public required string Input { get; init; }

    /// <summary>Samples as for <see cref="CompressionOptions.Calibration"/>.</summary>
    public required string Calibration { get; init; }

    /// <summary>A .npy of integer labels, one per sample or token, for accuracy; null for agreement with the original.</summary>
    public string? Labels { get; init; }

    /// <summary>What each projection may lose of accuracy or agreement, as a fraction, 0…1: 0.001 are 0.1 percentage points.</summary>
    public double Delta { get; init; } = 0.001;

    /// <summary>A file that remembers finished layers, so that an interrupted search goes on where it was; null for none.</summary>
    public string? State { get; init; }

    /// <summary>auto, cpu, cuda or cuda:N.</summary>
    public string Device { get; init; } = "auto";

    /// <summary>Layers to consider, by node name; null for all.</summary>
    public Regex? Only { get; init; }

    /// <summary>Layers to leave alone, by node name; null for none.</summary>
    public Regex? Skip { get; init; }

    /// <summary>Whether initializers that are also graph inputs are constants from IR version 4 on.</summary>
    public bool ConstantInputs { get; init; }

    /// <summary>Seed of how samples are shared out and in what order probes run them.</summary>
    public int Seed { get; init; }

    /// <summary>Threads for models and algebra, ≥ 1.</summary>
    public int Threads { get; init; } = Environment.ProcessorCount;

    /// <summary>Samples per run, or null to choose by a memory limit.</summary>
    public int? Batch { get; init; }

    /// <summary>What the result depends on beside model and data.</summary>
    internal string Signature => FormattableString.Invariant(
        $"delta {Delta}, seed {Seed}, metric {(Labels == null ? "agreement" : "accuracy")}, only '{Only}', skip '{Skip}', constant inputs {ConstantInputs}, batch {Batch?.ToString() ?? "chosen"}");

    /// <exception cref="OptionException">A value is out of range; the message names the option.</exception>
    internal void Validate()
    {
        CompressionOptions.Require(Input.Length > 0, "an empty path names no file");
        CompressionOptions.Require(Delta is >= 0 and < 1, FormattableString.Invariant($"--delta {Delta} is not a fraction ≥ 0 and < 1"));
        CompressionOptions.Require(Threads >= 1, $"--threads {Threads} is not ≥ 1");
        CompressionOptions.Require(Batch is null or >= 1, $"--batch {Batch} is not ≥ 1");
    }
}
