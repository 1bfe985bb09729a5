using System.Numerics.Tensors;
using OnnxLowRank.Calibration;
using OnnxLowRank.Numerics;

namespace OnnxLowRank.Refitting;

/// <summary>
/// Moments of two vectors seen together, per group: h (r) between the factors of the rewritten model, y (m) the original's
/// output. Summed in double from each run's means and products about them.
/// </summary>
sealed class CrossMoments(int groups, int rank, int size)
{
    readonly double[] _h = new double[groups * rank];
    readonly double[] _y = new double[groups * size];
    readonly double[] _hh = new double[groups * rank * rank];
    readonly double[] _yh = new double[groups * size * rank];

    /// <summary>Numbers of h per vector, all groups together.</summary>
    public int Channels => groups * rank;

    public double Count { get; private set; }

    /// <summary>Adds one run: the means of h and y, and about those Σh·hᵀ and Σy·hᵀ, each with the groups outermost.</summary>
    public void Add(double count, ReadOnlySpan<float> h, ReadOnlySpan<float> y, ReadOnlySpan<float> hh, ReadOnlySpan<float> yh)
    {
        Count += count;
        Moments.Accumulate(count, h, _h);
        Moments.Accumulate(count, y, _y);
        for (int g = 0; g < groups; g++)
        {
            ReadOnlySpan<float> hMean = h.Slice(g * rank, rank), yMean = y.Slice(g * size, size);
            int ofH = rank * rank, ofY = size * rank;
            Moments.Accumulate(count, hMean, hMean, hh.Slice(g * ofH, ofH), _hh.AsSpan(g * ofH, ofH));
            Moments.Accumulate(count, yMean, hMean, yh.Slice(g * ofY, ofY), _yh.AsSpan(g * ofY, ofY));
        }
    }

    public double[] MeanH(int group) => Mean(_h, group, rank);

    public double[] MeanY(int group) => Mean(_y, group, size);

    double[] Mean(double[] sums, int group, int length)
    {
        var mean = new double[length];
        TensorPrimitives.Divide<double>(sums.AsSpan(group * length, length), Count, mean);
        return mean;
    }

    /// <summary>Cov(h), (r, r).</summary>
    public Matrix CovarianceH(int group) => Centred(_hh, group, MeanH(group), MeanH(group));

    /// <summary>Cov(y, h), (m, r).</summary>
    public Matrix CovarianceYH(int group) => Centred(_yh, group, MeanY(group), MeanH(group));

    Matrix Centred(double[] sums, int group, double[] left, double[] right)
    {
        int elements = left.Length * right.Length;
        var matrix = new Matrix(left.Length, right.Length, sums.AsSpan(group * elements, elements).ToArray());
        TensorPrimitives.Divide<double>(matrix.Data, Count, matrix.Data);
        for (int i = 0; i < left.Length; i++)
        {
            TensorPrimitives.MultiplyAdd(right, -left[i], matrix.Row(i), matrix.Row(i));
        }
        return matrix;
    }
}
