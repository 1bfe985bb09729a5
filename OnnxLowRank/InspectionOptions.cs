using System.Text.RegularExpressions;

namespace OnnxLowRank;

/// <summary>Everything an inspection can be told.</summary>
public sealed record InspectionOptions
{
    /// <summary>The model to read. It is never changed.</summary>
    public required string Input { get; init; }

    /// <summary>Samples as for <see cref="CompressionOptions.Calibration"/>, or null: then only weights are looked at.</summary>
    public string? Calibration { get; init; }

    /// <summary>auto, cpu, cuda or cuda:N.</summary>
    public string Device { get; init; } = "auto";

    /// <summary>Layers to consider, by node name; null for all.</summary>
    public Regex? Only { get; init; }

    /// <summary>Layers to leave alone, by node name; null for none.</summary>
    public Regex? Skip { get; init; }

    /// <summary>Whether initializers that are also graph inputs are constants from IR version 4 on.</summary>
    public bool ConstantInputs { get; init; }

    /// <summary>Threads for models and algebra, ≥ 1.</summary>
    public int Threads { get; init; } = Environment.ProcessorCount;

    /// <summary>Samples per run, or null to choose by a memory limit.</summary>
    public int? Batch { get; init; }

    /// <exception cref="OptionException">A value is out of range; the message names the option.</exception>
    internal void Validate()
    {
        CompressionOptions.Require(Input.Length > 0, "an empty path names no file");
        CompressionOptions.Require(Threads >= 1, $"--threads {Threads} is not ≥ 1");
        CompressionOptions.Require(Batch is null or >= 1, $"--batch {Batch} is not ≥ 1");
    }
}
