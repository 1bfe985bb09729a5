namespace OnnxLowRank;

/// <summary>Everything a benchmark can be told.</summary>
public sealed record BenchmarkOptions
{
    /// <summary>The models; times of the others are told in units of the first one's.</summary>
    public required IReadOnlyList<string> Models { get; init; }

    /// <summary>Samples as for <see cref="CompressionOptions.Calibration"/>, or null to make numbers of the models' shapes.</summary>
    public string? Calibration { get; init; }

    /// <summary>Samples per run, one setting each; null for 1 and 32, or the models' own where they are fixed.</summary>
    public IReadOnlyList<int>? Batches { get; init; }

    /// <summary>Threads for models, one setting each.</summary>
    public IReadOnlyList<int> Threads { get; init; } = [Environment.ProcessorCount];

    /// <summary>About how long to measure per model and setting, &gt; 0.</summary>
    public double Seconds { get; init; } = 2;

    /// <summary>auto, cpu, cuda or cuda:N.</summary>
    public string Device { get; init; } = "auto";

    /// <exception cref="OptionException">A value is out of range; the message names the option.</exception>
    internal void Validate()
    {
        const double Longest = 86400;
        CompressionOptions.Require(Models.Count > 0 && Models.All(path => path.Length > 0) && Calibration?.Length != 0, "an empty path names no file");
        CompressionOptions.Require(Batches is null or { Count: > 0 } && (Batches?.All(batch => batch >= 1) ?? true), $"--batch {Text(Batches)} has a number that is not ≥ 1");
        CompressionOptions.Require(Threads.Count > 0 && Threads.All(threads => threads >= 1), $"--threads {Text(Threads)} has a number that is not ≥ 1");
        CompressionOptions.Require(Seconds is > 0 and <= Longest, $"--seconds {Seconds} is not between 0 and {Longest}");
    }

    static string Text(IReadOnlyList<int>? numbers) => string.Join(',', numbers ?? []);
}
