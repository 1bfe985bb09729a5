using System.Numerics.Tensors;
using OnnxLowRank.Numerics;

namespace OnnxLowRank.Calibration;

/// <summary>First and second moments of vectors that were seen, per group of channels.</summary>
/// <param name="size">Channels per group.</param>
abstract class Moments(int size) : IMoments
{
    public int Size => size;

    /// <inheritdoc/>
    public abstract double Count { get; }

    /// <summary>What sums are divided by; without vectors, all averages are zero.</summary>
    double Divisor => Math.Max(1, Count);

    /// <summary>Σv, (groups·size).</summary>
    protected abstract ReadOnlySpan<double> Sums { get; }

    /// <summary>Σv·vᵀ of one group, (size, size), for the caller to change.</summary>
    protected abstract double[] Products(int group);

    /// <summary>Adds count times a mean to sums.</summary>
    public static void Accumulate(double count, ReadOnlySpan<float> mean, Span<double> sums)
    {
        for (int i = 0; i < mean.Length; i++)
        {
            sums[i] += count * mean[i];
        }
    }

    /// <summary>Adds Σa·bᵀ to totals, from the sum about the means of a and b.</summary>
    /// <param name="products">Σ(a − left)·(b − right)ᵀ, (left's length, right's length).</param>
    public static void Accumulate(double count, ReadOnlySpan<float> left, ReadOnlySpan<float> right, ReadOnlySpan<float> products, Span<double> totals)
    {
        double[] mean = new double[right.Length], row = new double[right.Length];
        TensorPrimitives.ConvertTruncating<float, double>(right, mean);
        for (int i = 0; i < left.Length; i++)
        {
            var total = totals.Slice(i * row.Length, row.Length);
            TensorPrimitives.ConvertTruncating<float, double>(products.Slice(i * row.Length, row.Length), row);
            TensorPrimitives.MultiplyAdd<double>(mean, count * left[i], row, row);
            TensorPrimitives.Add<double>(total, row, total);
        }
    }

    /// <inheritdoc/>
    public double[] Mean() => Array.ConvertAll(Sums.ToArray(), sum => sum / Divisor);

    /// <summary>E[v·vᵀ] of one group, (size, size), about the mean or, when not <paramref name="centred"/>, about zero.</summary>
    public Matrix Second(int group, bool centred)
    {
        var second = new Matrix(size, size, Products(group));
        TensorPrimitives.Divide<double>(second.Data, Divisor, second.Data);
        if (centred)
        {
            var mean = new double[size];
            TensorPrimitives.Divide(Sums.Slice(group * size, size), Divisor, mean);
            for (int i = 0; i < size; i++)
            {
                TensorPrimitives.MultiplyAdd(mean, -mean[i], second.Row(i), second.Row(i));
            }
        }
        return second;
    }

    /// <summary>The second moment of one group over several sets of vectors, each about its own mean or, when not <paramref name="centred"/>, about zero.</summary>
    public static Matrix Pooled(Moments[] moments, int group, bool centred)
    {
        if (moments.Length == 1)
        {
            return moments[0].Second(group, centred);
        }
        var pooled = new Matrix(moments[0].Size, moments[0].Size);
        double total = Math.Max(1, moments.Sum(use => use.Count));
        foreach (var use in moments)
        {
            TensorPrimitives.MultiplyAdd(use.Second(group, centred).Data, use.Count / total, pooled.Data, pooled.Data);
        }
        return pooled;
    }
}
