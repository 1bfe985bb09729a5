using System.Numerics.Tensors;
using OnnxLowRank.Numerics;

namespace OnnxLowRank.Quantization;

/// <summary>A matrix in 8 bits with one scale per row: element ≈ Scales[row]·Values[row, col].</summary>
/// <param name="Values">−127…127, or less where fewer bits are used.</param>
readonly record struct Int8Rows(sbyte[] Values, float[] Scales)
{
    /// <summary>The values transposed, (cols, rows), as MatMul's second operand wants them.</summary>
    public sbyte[] TransposedValues() => Int8.Transposed(Values, Scales.Length);

    /// <summary>The matrix (rows, cols) that is stored.</summary>
    public Matrix Dequantize()
    {
        var matrix = new Matrix(Scales.Length, Values.Length / Scales.Length);
        for (int i = 0; i < Values.Length; i++)
        {
            matrix.Data[i] = (double)Scales[i / matrix.Cols] * Values[i];
        }
        return matrix;
    }
}

/// <summary>Symmetric 8-bit quantization of weights, and the 8-bit grid of activations.</summary>
static class Int8
{
    /// <summary>Bits of a weight where nothing forbids it.</summary>
    public const int Bits = 8;

    /// <summary>Bits of a weight with which the sum of two products with activations fits 16 bits: 2·255·64 &lt; 2¹⁵.</summary>
    public const int UnsaturatedBits = 7;

    /// <summary>The largest magnitude of a weight.</summary>
    /// <param name="bits">8 or 7.</param>
    public static int Largest(int bits) => Math.Min(127, 1 << (bits - 1));

    /// <summary>Values (rows, cols) as (cols, rows).</summary>
    public static sbyte[] Transposed(sbyte[] values, int rows)
    {
        int cols = values.Length / Math.Max(1, rows);
        var transposed = new sbyte[values.Length];
        for (int i = 0; i < rows; i++)
        {
            for (int j = 0; j < cols; j++)
            {
                transposed[j * rows + i] = values[i * cols + j];
            }
        }
        return transposed;
    }

    /// <summary>Rounds each row to the grid of step max|row|/127; a row of zeros gets step 1. At 8 bits nothing cleverer pays.</summary>
    /// <param name="matrix">(rows, cols), row-major.</param>
    /// <param name="smallestScales">Per row, a lower bound of the step, or empty: see <see cref="SmallestScaleForBias"/>.</param>
    /// <param name="bits">8, or 7 for 64 in the place of 127.</param>
    public static Int8Rows PerRow(ReadOnlySpan<float> matrix, int rows, ReadOnlySpan<float> smallestScales = default, int bits = Bits)
    {
        int end = Largest(bits);
        int cols = rows == 0 ? 0 : matrix.Length / rows;
        var values = new sbyte[matrix.Length];
        var scales = new float[rows];
        for (int i = 0; i < rows; i++)
        {
            var row = matrix.Slice(i * cols, cols);
            float largest = cols == 0 ? 0 : MathF.Abs(TensorPrimitives.MaxMagnitude(row));
            float scale = Math.Max(largest / end, smallestScales.IsEmpty ? 0 : smallestScales[i]);
            scales[i] = scale = scale > float.Epsilon * end ? scale : 1;
            for (int j = 0; j < cols; j++)
            {
                values[i * cols + j] = (sbyte)Math.Clamp(MathF.Round(row[j] / scale), -end, end);
            }
        }
        return new(values, scales);
    }

    /// <summary>
    /// The smallest weight step at which a bias still fits 32 bits: a convolution's bias is stored as an integer in units of
    /// input step · weight step.
    /// </summary>
    public static float SmallestScaleForBias(double bias, float inputScale) => (float)(Math.Abs(bias) / inputScale / (1 << 30));
}

/// <summary>The unsigned 8-bit grid of an activation: x ≈ Scale·(q − ZeroPoint), q in 0…255.</summary>
readonly record struct UInt8Grid(float Scale, byte ZeroPoint)
{
    /// <summary>The grid that covers [min, max] and holds zero exactly, as padding and Relu need.</summary>
    public static UInt8Grid Covering(double min, double max)
    {
        (min, max) = (Math.Min(min, 0), Math.Max(max, 0));
        float scale = (float)((max - min) / 255);
        if (!(scale > float.Epsilon * 255))
        {
            return new(1, 0);
        }
        return new(scale, (byte)Math.Clamp(Math.Round(-min / scale), 0, 255));
    }
}
