namespace OnnxLowRank;

/// <summary>Where a job is.</summary>
/// <param name="Stage">load, calibrate, decompose, time, search or verify; one may come again, as search and verify do.</param>
/// <param name="Fraction">Share of the stage that is done, 0…1.</param>
public readonly record struct StageProgress(string Stage, double Fraction);
