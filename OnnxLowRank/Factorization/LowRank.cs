namespace OnnxLowRank.Factorization;

/// <summary>
/// Two thin matrices that stand in for a weight, W ≈ Up·Down per group, as they are written: float, row-major.
/// </summary>
/// <param name="Rank">r, per group.</param>
/// <param name="Up">(out, r): row o belongs to output channel o and mixes the r numbers of its group.</param>
/// <param name="Down">(groups·r, in): r rows per group.</param>
/// <param name="Scales">
/// (groups·r): the factor each inner number was multiplied by, relative to the orthonormal form; 1 unless balanced.
/// </param>
sealed record LowRank(int Rank, float[] Up, float[] Down, double[] Scales);
