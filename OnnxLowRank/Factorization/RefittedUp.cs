using OnnxLowRank.Storage;

namespace OnnxLowRank.Factorization;

/// <summary>An Up and biases that were fitted to what a layer really gets inside a rewritten model.</summary>
/// <param name="Up">(out, r), for inner numbers that are not scaled.</param>
/// <param name="Biases">Per use, (out).</param>
sealed record RefittedUp(Kept Up, double[][] Biases);
