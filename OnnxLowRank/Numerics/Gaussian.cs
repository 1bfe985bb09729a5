using System.Numerics;

namespace OnnxLowRank.Numerics;

/// <summary>
/// Standard normal numbers for randomized algorithms, the same bits for a seed on every platform and .NET version:
/// only integers, + − × ÷ and the square root are used, which IEEE 754 rounds in one way. Not for secrets.
/// </summary>
static class Gaussian
{
    /// <summary>A matrix of independent numbers with mean 0 and variance 1, filled row by row.</summary>
    public static Matrix Random(int rows, int cols, long seed)
    {
        var matrix = new Matrix(rows, cols);
        Fill(matrix.Data, seed);
        return matrix;
    }

    /// <summary>
    /// The polar method: a point (u, v) in the unit circle, s = u² + v², gives the two numbers u·f and v·f, f = √(−2·ln s / s).
    /// Source: Marsaglia and Bray, "A convenient method for generating normal variables" (1964).
    /// </summary>
    public static void Fill(Span<double> numbers, long seed)
    {
        Span<ulong> state = stackalloc ulong[4];
        Seed(state, (ulong)seed);
        for (int i = 0; i < numbers.Length; i += 2)
        {
            double u, v, s;
            do
            {
                (u, v) = (Uniform(state), Uniform(state));
                s = u * u + v * v;
            }
            while (s is >= 1 or 0);

            double f = Math.Sqrt(-2 * Log(s) / s);
            numbers[i] = u * f;
            if (i + 1 < numbers.Length)
            {
                numbers[i + 1] = v * f;
            }
        }
    }

    /// <summary>In [-1, 1), from the upper 53 bits.</summary>
    static double Uniform(Span<ulong> state) => (Next(state) >> 11) * (1.0 / (1L << 52)) - 1;

    /// <summary>xoshiro256++ 1.0, Blackman and Vigna, prng.di.unimi.it/xoshiro256plusplus.c (public domain).</summary>
    internal static ulong Next(Span<ulong> state)
    {
        ulong result = BitOperations.RotateLeft(state[0] + state[3], 23) + state[0];
        ulong t = state[1] << 17;
        state[2] ^= state[0];
        state[3] ^= state[1];
        state[1] ^= state[2];
        state[0] ^= state[3];
        state[2] ^= t;
        state[3] = BitOperations.RotateLeft(state[3], 45);
        return result;
    }

    /// <summary>The state by SplitMix64, as its authors advise, so that near seeds give unrelated numbers: prng.di.unimi.it/splitmix64.c (public domain).</summary>
    internal static void Seed(Span<ulong> state, ulong seed)
    {
        foreach (ref ulong word in state)
        {
            ulong z = seed += 0x9E3779B97F4A7C15;
            z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9;
            z = (z ^ (z >> 27)) * 0x94D049BB133111EB;
            word = z ^ (z >> 31);
        }
    }

    /// <summary>
    /// ln x for a positive, normal x. Math.Log comes from the platform's C library, and these differ in the last bit.
    /// x = m·2ᵉ with m in [√½, √2), and ln m = 2·artanh((m − 1)/(m + 1)) by its series: the ratio is below 0.172,
    /// so the first term left out is below 1e-18 of the sum.
    /// </summary>
    internal static double Log(double x)
    {
        int exponent = Math.ILogB(x);
        double m = Math.ScaleB(x, -exponent);
        if (m > 1.4142135623730951)
        {
            (m, exponent) = (m / 2, exponent + 1);
        }
        double ratio = (m - 1) / (m + 1), square = ratio * ratio, sum = 0;
        for (int k = 21; k >= 1; k -= 2)
        {
            sum = sum * square + 1.0 / k;
        }
        return exponent * 0.6931471805599453 + 2 * ratio * sum;
    }
}
