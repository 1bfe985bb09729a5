namespace OnnxLowRank;

/// <summary>Everything a comparison can be told.</summary>
public sealed record ComparisonOptions
{
    /// <summary>The model that the other is measured against.</summary>
    public required string First { get; init; }

    /// <summary>The model that is judged. It takes the same inputs and gives the same outputs.</summary>
    public required string Second { get; init; }

    /// <summary>Samples as for <see cref="CompressionOptions.Calibration"/>.</summary>
    public required string Calibration { get; init; }

    /// <summary>A .npy of integer labels for the first float output, one per sample or token, or null.</summary>
    public string? Labels { get; init; }

    /// <summary>How many of the samples that moved most are told, ≥ 0.</summary>
    public int Worst { get; init; } = 10;

    /// <summary>auto, cpu, cuda or cuda:N.</summary>
    public string Device { get; init; } = "auto";

    /// <summary>Threads for models, ≥ 1.</summary>
    public int Threads { get; init; } = Environment.ProcessorCount;

    /// <summary>Samples per run, or null to choose by a memory limit.</summary>
    public int? Batch { get; init; }

    /// <exception cref="OptionException">A value is out of range; the message names the option.</exception>
    internal void Validate()
    {
        CompressionOptions.Require(First.Length > 0 && Second.Length > 0 && Calibration.Length > 0, "an empty path names no file");
        CompressionOptions.Require(Worst >= 0, $"--worst {Worst} is not ≥ 0");
        CompressionOptions.Require(Threads >= 1, $"--threads {Threads} is not ≥ 1");
        CompressionOptions.Require(Batch is null or >= 1, $"--batch {Batch} is not ≥ 1");
    }
}
