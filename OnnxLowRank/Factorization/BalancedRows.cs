using System.Numerics.Tensors;

namespace OnnxLowRank.Factorization;

/// <summary>The first of two factors with a row per direction of a spectrum, cut at a rank.</summary>
static class BalancedRows
{
    /// <summary>The first rows (r, n) and the factors that they were multiplied by, which the second factor undoes.</summary>
    /// <param name="rows">(k, n), most important first.</param>
    /// <param name="balanced">As in <see cref="Decomposition.Scales"/>.</param>
    public static (float[] Weight, double[] Scales) Cut(float[] rows, Spectrum spectrum, int rank, bool balanced)
    {
        double floor = 1e-12 * Math.Max(spectrum.Energy[0], double.Epsilon);
        var scales = new double[rank];
        int size = rows.Length / spectrum.Energy.Length;
        var weight = new float[rank * size];
        for (int i = 0; i < rank; i++)
        {
            scales[i] = balanced ? Math.Pow(Math.Max(spectrum.Energy[i], floor), -0.25) : 1;
            TensorPrimitives.Multiply(rows.AsSpan(i * size, size), (float)scales[i], weight.AsSpan(i * size));
        }
        return (weight, scales);
    }
}
