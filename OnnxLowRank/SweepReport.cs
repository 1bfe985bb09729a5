namespace OnnxLowRank;

/// <summary>What a sweep found; the JSON report is this record.</summary>
/// <param name="Metric">Of the losses.</param>
/// <param name="Tolerance">For <paramref name="GoodEnough"/>.</param>
/// <param name="Points">By model, series and setting.</param>
/// <param name="GoodEnough">For ranks, per series where it is good enough for good.</param>
/// <param name="Notes">What a careful user wants to know.</param>
public sealed record SweepReport(
    ToolInfo Tool, RuntimeInfo Runtime, SweepKind Kind, string Metric, double Tolerance, IReadOnlyList<SweptModel> Models, IReadOnlyList<SweepPoint> Points,
    IReadOnlyList<GoodRank> GoodEnough, IReadOnlyList<string> Notes);

/// <summary>A model that was swept, as it was.</summary>
/// <param name="Original">Its metric on the samples measured: 0 for metrics that compare outputs.</param>
/// <param name="Nll">Mean negative log-likelihood of the labels, in nats; null without labels, and for whole compressions.</param>
/// <param name="Layer">The layer whose rank was varied, or null.</param>
/// <param name="Rank">The largest rank there is of it.</param>
/// <param name="EffectiveRank">exp of the entropy of σᵢ/Σσ of its weight.</param>
public sealed record SweptModel(string Name, FileFacts Source, double Original, double? Nll = null, string? Layer = null, int? Rank = null, double? EffectiveRank = null);

/// <summary>One setting that was tried.</summary>
/// <param name="Series">The method, or what layers were allowed.</param>
/// <param name="Setting">Rank, ε, tolerance or size; 0 for plans that have none.</param>
/// <param name="Repeat">Which draw of a random method.</param>
/// <param name="Bytes">Of the model.</param>
/// <param name="Size">The same as a fraction of the original's.</param>
/// <param name="Milliseconds">Of a run of one sample; null where it was not measured.</param>
/// <param name="Time">The same as a fraction of the original's.</param>
/// <param name="Value">The metric; 0 for metrics that compare outputs.</param>
/// <param name="Loss">How much worse than the original, on samples that shaped no factor and, for whole compressions, no decision.</param>
/// <param name="Low">Lower end of its 95 % interval.</param>
/// <param name="High">Upper end.</param>
/// <param name="Samples">Of the measurement.</param>
/// <param name="Nll">As for the model.</param>
/// <param name="File">The written model, or null.</param>
public sealed record SweepPoint(
    string Model, string Series, double Setting, int Repeat, long Bytes, double Size, double? Milliseconds, double? Time, double Value,
    double Loss, double Low, double High, int Samples, double? Nll = null, string? File = null);

/// <summary>The smallest rank tried from which on every rank tried loses no more than the tolerance; null where the largest does too.</summary>
public sealed record GoodRank(string Model, string Series, int Repeat, int? Rank);
