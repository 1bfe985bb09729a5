namespace OnnxLowRank;

/// <summary>Where a compression is.</summary>
/// <param name="Stage">What is being done, in a word or two.</param>
/// <param name="Fraction">Share of the whole work done, 0…1, an estimate.</param>
public readonly record struct CompressionProgress(string Stage, double Fraction);
