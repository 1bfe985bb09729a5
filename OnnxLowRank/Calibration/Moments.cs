using System.Numerics.Tensors;
using OnnxLowRank.Numerics;

namespace OnnxLowRank.Calibration;

/// <summary>
/// First and second moments of vectors that were seen: per group of channels Σv and Σv·vᵀ, summed in double from per-run sums.
/// </summary>
/// <param name="groups">Groups of channels, treated apart.</param>
/// <param name="size">Channels per group.</param>
sealed class Moments(int groups, int size)
{
    readonly double[] _sums = new double[groups * size];
    readonly double[] _products = new double[checked(groups * size * size)];

    public int Size => size;

    /// <summary>Vectors seen.</summary>
    public double Count { get; private set; }

    /// <summary>Adds the sums of one run.</summary>
    /// <param name="count">Vectors in the run.</param>
    /// <param name="sums">Σv, (groups·size).</param>
    /// <param name="products">Σv·vᵀ, (groups, size, size).</param>
    /// <returns>Whether everything added was finite.</returns>
    public bool Add(double count, ReadOnlySpan<float> sums, ReadOnlySpan<float> products)
    {
        Count += count;
        // The largest magnitude is NaN or infinite exactly when an element is; the diagonal alone would miss infinities that cancel.
        bool isFinite = float.IsFinite(TensorPrimitives.MaxMagnitude(sums)) && float.IsFinite(TensorPrimitives.MaxMagnitude(products));
        Accumulate(sums, _sums);
        Accumulate(products, _products);
        return isFinite;
    }

    /// <summary>Adds floats to doubles.</summary>
    public static void Accumulate(ReadOnlySpan<float> values, Span<double> totals)
    {
        Span<double> wide = stackalloc double[512];
        for (int start = 0; start < values.Length; start += wide.Length)
        {
            int count = Math.Min(wide.Length, values.Length - start);
            TensorPrimitives.ConvertTruncating<float, double>(values.Slice(start, count), wide);
            var part = totals.Slice(start, count);
            TensorPrimitives.Add<double>(part, wide[..count], part);
        }
    }

    /// <summary>E[v], (groups·size).</summary>
    public double[] Mean() => Array.ConvertAll(_sums, sum => sum / Count);

    /// <summary>E[v·vᵀ] of one group, (size, size), about the mean or, when not <paramref name="centred"/>, about zero.</summary>
    public Matrix Second(int group, bool centred)
    {
        var second = new Matrix(size, size, _products.AsSpan(group * size * size, size * size).ToArray());
        TensorPrimitives.Divide<double>(second.Data, Count, second.Data);
        if (centred)
        {
            var mean = new double[size];
            TensorPrimitives.Divide<double>(_sums.AsSpan(group * size, size), Count, mean);
            for (int i = 0; i < size; i++)
            {
                TensorPrimitives.MultiplyAdd(mean, -mean[i], second.Row(i), second.Row(i));
            }
        }
        return second;
    }
}
