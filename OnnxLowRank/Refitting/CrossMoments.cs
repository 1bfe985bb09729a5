using System.Numerics.Tensors;
using OnnxLowRank.Calibration;
using OnnxLowRank.Numerics;

namespace OnnxLowRank.Refitting;

/// <summary>
/// Moments of two vectors seen together: h (n) in the rewritten model, y (n) at the same place of the original. Summed in double from each run's
/// means and products about them.
/// </summary>
sealed class CrossMoments(int size)
{
    readonly double[] _h = new double[size], _y = new double[size];
    readonly double[] _hh = new double[size * size], _yh = new double[size * size];

    /// <summary>n.</summary>
    public int Size => size;

    public double Count { get; private set; }

    /// <summary>Adds one run: the means of h and y, and about those Σh·hᵀ and Σy·hᵀ.</summary>
    public void Add(double count, ReadOnlySpan<float> h, ReadOnlySpan<float> y, ReadOnlySpan<float> hh, ReadOnlySpan<float> yh)
    {
        Count += count;
        Moments.Accumulate(count, h, _h);
        Moments.Accumulate(count, y, _y);
        Moments.Accumulate(count, h, h, hh, _hh);
        Moments.Accumulate(count, y, h, yh, _yh);
    }

    public double[] MeanH() => Mean(_h);

    public double[] MeanY() => Mean(_y);

    double[] Mean(double[] sums)
    {
        var mean = new double[size];
        TensorPrimitives.Divide<double>(sums, Count, mean);
        return mean;
    }

    /// <summary>E[h·hᵀ], (n, n), about the mean or, when not <paramref name="centred"/>, about zero.</summary>
    public Matrix SecondH(bool centred) => Second(_hh, _h, centred);

    /// <summary>The same of E[y·hᵀ].</summary>
    public Matrix SecondYH(bool centred) => Second(_yh, _y, centred);

    Matrix Second(double[] products, double[] left, bool centred)
    {
        var matrix = new Matrix(size, size);
        TensorPrimitives.Divide<double>(products, Count, matrix.Data);
        double[] rows = Mean(left), cols = MeanH();
        for (int i = 0; centred && i < size; i++)
        {
            TensorPrimitives.MultiplyAdd(cols, -rows[i], matrix.Row(i), matrix.Row(i));
        }
        return matrix;
    }
}
