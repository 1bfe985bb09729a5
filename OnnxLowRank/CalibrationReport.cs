namespace OnnxLowRank;

/// <summary>What a calibration measured; the JSON report is this record.</summary>
/// <param name="Model">SHA-256 of the model's content, which the file is bound to.</param>
/// <param name="Stats">The file.</param>
/// <param name="Shard">I/N.</param>
/// <param name="Samples">Samples in the file.</param>
/// <param name="Resumed">Of these, samples that an earlier run had brought in.</param>
/// <param name="Seconds">Wall-clock time of this run.</param>
/// <param name="Values">Whose moments are in the file.</param>
/// <param name="Notes">What a careful user wants to know.</param>
public sealed record CalibrationReport(
    ToolInfo Tool, FileFacts Source, string Model, FileFacts Stats, RuntimeInfo Runtime, string Shard, int Samples, int Resumed, double Seconds,
    IReadOnlyList<MeasuredValue> Values, IReadOnlyList<string> Notes);

/// <summary>A value of the model whose moments are in the file.</summary>
/// <param name="Layers">Layers that need them, by node name.</param>
/// <param name="Groups">Groups that channels are split into.</param>
/// <param name="Channels">Channels per group.</param>
/// <param name="Vectors">Vectors seen: one per position of all axes but the channels'.</param>
/// <param name="Rms">Root mean square of the elements.</param>
/// <param name="Bytes">What it takes in the file.</param>
public sealed record MeasuredValue(string Name, IReadOnlyList<string> Layers, int Groups, int Channels, double Vectors, double Rms, long Bytes);
