using System.Text.RegularExpressions;
using OnnxLowRank.Layers;

namespace OnnxLowRank;

/// <summary>Everything a calibration of its own can be told.</summary>
public sealed record CalibrationOptions
{
    /// <summary>The model to read. It is never changed.</summary>
    public required string Input { get; init; }

    /// <summary>Samples as for <see cref="CompressionOptions.Calibration"/>.</summary>
    public required string Calibration { get; init; }

    /// <summary>The file to write. An incomplete one of the same job is continued, any other one is left as it is.</summary>
    public required string Stats { get; init; }

    /// <summary>Which of several jobs this is.</summary>
    public Shard Shard { get; init; } = Shard.Whole;

    /// <summary>
    /// Whether every sample is taken: for data that compress will not get. Otherwise those that compress, with the same samples and seed, takes
    /// for moments, so that it verifies on others.
    /// </summary>
    public bool All { get; init; }

    /// <summary>Seed of how compress shares out samples.</summary>
    public int Seed { get; init; }

    /// <summary>auto, cpu, cuda or cuda:N.</summary>
    public string Device { get; init; } = "auto";

    /// <summary>Layers to consider, by node name; null for all.</summary>
    public Regex? Only { get; init; }

    /// <summary>Layers to leave alone, by node name; null for none.</summary>
    public Regex? Skip { get; init; }

    /// <summary>Whether initializers that are also graph inputs are constants from IR version 4 on.</summary>
    public bool ConstantInputs { get; init; }

    /// <summary>Threads for models, ≥ 1.</summary>
    public int Threads { get; init; } = Environment.ProcessorCount;

    /// <summary>
    /// Samples per run, or null for one in 128 of all, 8 at most and fewer where memory is short; a model's fixed batch wins. Samples are put into runs
    /// before runs are given to shards, so that it does not depend on shards what is computed together.
    /// </summary>
    public int? Batch { get; init; }

    /// <summary>
    /// Bytes that the products of one run may take, ≥ 1 MiB: where those of all layers take more, every run is made several times. Sums that take more in all, and what
    /// is made of a model with a quarter of it in weights, are on disk, beside <see cref="Stats"/>.
    /// </summary>
    public long Memory { get; init; } = 1 << 30;

    /// <summary>Seconds after which what is done so far is written, ≥ 0; longer where writing takes more than a twentieth of the time.</summary>
    public double Checkpoint { get; init; } = 60;

    internal LayerFilter Layers => new(Only, Skip, ConstantInputs);

    /// <exception cref="OptionException">A value is out of range; the message names the option.</exception>
    internal void Validate()
    {
        CompressionOptions.Require(Input.Length > 0 && Stats.Length > 0, "an empty path names no file");
        CompressionOptions.Require(Path.GetFileName(Stats).Length > 0, $"--stats {Stats}: names a folder, not a file");
        CompressionOptions.Require(Shard.Number >= 1 && Shard.Number <= Shard.Count, $"--shard {Shard}: shards are 1/N … N/N");
        CompressionOptions.Require(Threads >= 1, $"--threads {Threads} is not ≥ 1");
        CompressionOptions.Require(Batch is null or >= 1, $"--batch {Batch} is not ≥ 1");
        CompressionOptions.RequireMemory(Memory);
        CompressionOptions.Require(Checkpoint >= 0, FormattableString.Invariant($"--checkpoint {Checkpoint} is not a number ≥ 0"));
    }
}
