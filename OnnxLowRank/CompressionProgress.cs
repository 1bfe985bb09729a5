namespace OnnxLowRank;

/// <summary>Where a compression is.</summary>
/// <param name="Stage">load, calibrate, decompose, search or verify.</param>
/// <param name="Fraction">Share of the stage that is done, 0…1.</param>
public readonly record struct CompressionProgress(string Stage, double Fraction);
