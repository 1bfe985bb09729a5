using System.Text.Json.Serialization;
using OnnxLowRank.Calibration;

namespace OnnxLowRank.StatsFiles;

/// <summary>What a stats file says of itself, as JSON at its start; see docs/stats-format.md.</summary>
/// <param name="Model">SHA-256 of the model's content, as <see cref="Onnx.ModelFiles.ContentHash"/>.</param>
/// <param name="Job">What was asked for.</param>
/// <param name="Samples">How many samples are in; fewer than <see cref="StatsJob.Planned"/> where the job has not ended.</param>
/// <param name="Values">Whose moments the file holds, in its order.</param>
/// <param name="Ranges">Spans of values that may travel as 8 bits.</param>
/// <param name="Rows">Whose histograms of row maxima the file holds, in its order.</param>
sealed record StatsHeader(
    string Model, StatsJob Job, int Samples, IReadOnlyList<StatsValue> Values, IReadOnlyList<StatsRange> Ranges, IReadOnlyList<StatsRows> Rows)
{
    /// <param name="samples">How many are in the tally.</param>
    public static StatsHeader Of(string model, StatsJob job, int samples, Tally<WideMoments> tally) => new(
        model, job, samples,
        [.. tally.Probes.Taps.Zip(tally.Moments, (tap, moments) => new StatsValue(tap.Value, tap.Axis, tap.Rank, tap.Groups, tap.Size, moments.Count)
        {
            Patches = tap.Patches is { } source ? new(source.Use.Output, source.Step) : null,
        })],
        [.. tally.Probes.Ranged.Select((item, i) => new StatsRange(item.Value, tally.Lowest[i], tally.Highest[i]))],
        [.. tally.Probes.Rows.Zip(tally.Maxima, (tap, maxima) => new StatsRows(tap.Value, tap.Axis, tap.Rank, tap.Size, maxima.Largest))]);

    /// <summary>Whether both ask the same of the same values.</summary>
    public bool Measures(StatsHeader other) =>
        Values.Select(value => value with { Count = 0 }).SequenceEqual(other.Values.Select(value => value with { Count = 0 }))
        && Ranges.Select(range => range.Value).SequenceEqual(other.Ranges.Select(range => range.Value))
        && Rows.Select(rows => rows with { Largest = 0 }).SequenceEqual(other.Rows.Select(rows => rows with { Largest = 0 }));

    /// <summary>Why no such file can have been written, or null.</summary>
    [JsonIgnore]
    public string? Defect =>
        Model.Length != 64 || !Model.All(char.IsAsciiHexDigitLower) ? "the model's hash is none"
        : Job.Defect is { } job ? job
        : Samples < 0 || Samples > Job.Planned ? $"{Samples} of {Job.Planned} samples"
        : Values.Concat(Rows.Select(rows => new StatsValue(rows.Value, rows.Axis, rows.Rank, 1, rows.Size, 0))).Any(value => !value.IsPossible) ? "a value's shape or count is impossible"
        : Ranges.Any(range => !(range.Low <= 0 && range.High >= 0 && float.IsFinite((float)range.Low) && float.IsFinite((float)range.High))) ? "a range is impossible"
        : Rows.Any(rows => !(rows.Largest >= 0 && float.IsFinite(rows.Largest))) ? "a row maximum is impossible"
        : Values.DistinctBy(value => value.Key).Count() < Values.Count || Ranges.DistinctBy(range => range.Value).Count() < Ranges.Count
            || Rows.DistinctBy(rows => rows.Key).Count() < Rows.Count ? "a value is listed twice"
        : null;
}

/// <summary>What a calibration was asked for: files of the same job with different shards hold different samples.</summary>
/// <param name="SourceSamples">Samples that there are in the calibration data.</param>
/// <param name="All">Whether all were taken, or those that compress takes for moments.</param>
/// <param name="Seed">Of how samples were shared out; 0 where all were taken.</param>
/// <param name="Run">Samples per run.</param>
/// <param name="Part">The shard, 1 … <paramref name="Parts"/>.</param>
/// <param name="Planned">Samples of this shard.</param>
sealed record StatsJob(int SourceSamples, bool All, int Seed, int Run, int Part, int Parts, int Planned)
{
    /// <summary>Whether both are shards of one division: then they have no sample in common.</summary>
    public bool IsSibling(StatsJob other) => (this with { Part = other.Part, Planned = other.Planned }) == other && Part != other.Part;

    [JsonIgnore]
    public string? Defect =>
        Run < 1 || Part < 1 || Part > Parts || Planned < 1 || Planned > SourceSamples ? $"shard {Part} of {Parts} with {Planned} of {SourceSamples} samples" : null;

    public override string ToString() =>
        $"shard {Part}/{Parts} of {SourceSamples} samples{(All ? ", all of them" : $" with seed {Seed}")}{(Run == 1 ? "" : $", {Run} per run")}";
}

/// <summary>Vectors whose moments a file holds; axes as <see cref="Tap"/> has them.</summary>
/// <param name="Count">Vectors seen.</param>
sealed record StatsValue(string Value, int Axis, int Rank, int Groups, int Size, double Count)
{
    /// <summary>Whose patches the vectors are; null where they are the value's own.</summary>
    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    public StatsPatches? Patches { get; init; }

    /// <summary>What a layer asks for: of patches, at whatever step they are.</summary>
    [JsonIgnore]
    public (string, int, int, int, int, string?) Key => (Value, Axis, Rank, Groups, Size, Patches?.Output);

    [JsonIgnore]
    public bool IsPossible => Patches is null or { Step: >= 1 } && Axis >= 0 && Axis < Rank && Groups >= 1 && Size >= 1 && Count >= 0 && Math.Floor(Count) == Count && double.IsFinite(Count);

    /// <inheritdoc cref="Key"/>
    public static (string, int, int, int, int, string?) KeyOf(Tap tap) => (tap.Value, tap.Axis, tap.Rank, tap.Groups, tap.Size, tap.Patches?.Use.Output);
}

/// <summary>Patches that the kernel of a Conv reads.</summary>
/// <param name="Output">The value that the Conv makes.</param>
/// <param name="Step">Of so many places along each axis one was taken.</param>
sealed record StatsPatches(string Output, int Step);

/// <summary>Smallest and largest element of a value, 0 included.</summary>
sealed record StatsRange(string Value, double Low, double High);

/// <summary>Vectors whose largest magnitudes a file holds as a histogram.</summary>
/// <param name="Largest">The largest of them.</param>
sealed record StatsRows(string Value, int Axis, int Rank, int Size, float Largest)
{
    [JsonIgnore]
    public (string, int, int, int, int, string?) Key => (Value, Axis, Rank, 1, Size, null);
}

/// <summary>Compile-time serializer: no reflection, so that trimming and AOT work.</summary>
[JsonSourceGenerationOptions(PropertyNamingPolicy = JsonKnownNamingPolicy.CamelCase, RespectNullableAnnotations = true, RespectRequiredConstructorParameters = true)]
[JsonSerializable(typeof(StatsHeader))]
sealed partial class StatsContext : JsonSerializerContext;
