using OnnxLowRank.Numerics;
using OnnxLowRank.Quantization;

namespace OnnxLowRank.Factorization;

/// <summary>A low-rank part in 8 bits beside a dense weight in 4: W ≈ Q + Up·Down.</summary>
/// <param name="Up">(out, r).</param>
/// <param name="Down">Whole numbers (r, in). They have no scales, which Up's columns take over.</param>
/// <param name="Largest">Per row, the largest magnitude in Q + Up·Down.</param>
sealed record Correction(Int8Rows Up, sbyte[] Down, float[] Largest)
{
    public int Rank => Up.Values.Length / Up.Scales.Length;

    /// <summary>Ranks that are worth their nodes; beyond, 8 bits for all of the weight are not much larger.</summary>
    static readonly int[] s_ranks = [8, 16, 32];

    /// <summary>The ranks for a weight: at most a quarter of its smaller side.</summary>
    public static IEnumerable<int> Ranks(int rows, int cols) => s_ranks.Where(rank => 4 * rank <= Math.Min(rows, cols));

    /// <summary>Bytes of values and scales.</summary>
    public static double Bytes(int rows, int cols, int rank) => (double)rank * (rows + cols) + sizeof(float) * (double)rows;

    /// <summary>Down's numbers (r, in) to compute with.</summary>
    public static Matrix DownOf(sbyte[] values, int rank) => new(rank, values.Length / rank, Array.ConvertAll(values, value => (double)value));
}
