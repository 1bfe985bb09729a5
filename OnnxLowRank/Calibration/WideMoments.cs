using System.Numerics.Tensors;
using OnnxLowRank.Storage;

namespace OnnxLowRank.Calibration;

/// <summary>
/// Σv and Σv·vᵀ of vectors that were seen, to be merged with others of the same value: as <see cref="WideSums"/>, of the products the lower
/// triangle. What one run adds depends on that run alone.
/// </summary>
/// <param name="groups">Groups of channels, treated apart.</param>
/// <param name="size">Channels per group.</param>
/// <param name="spill">Where large sums are.</param>
sealed class WideMoments(int groups, int size, Spill spill) : IMomentSums
{
    readonly double[] _row = new double[size], _mean = new double[size];

    /// <summary>Vectors seen.</summary>
    public double Count { get; set; }

    /// <summary>Σv, (groups·size).</summary>
    public Memory<double> SumsHigh { get; } = spill.Room(groups * size);

    /// <inheritdoc cref="SumsHigh"/>
    public Memory<double> SumsLow { get; } = spill.Room(groups * size);

    /// <summary>Σv·vᵀ, (groups, size·(size + 1)/2): row by row up to the diagonal.</summary>
    public Memory<double> ProductsHigh { get; } = spill.Room(checked(groups * Triangle(size)));

    /// <inheritdoc cref="ProductsHigh"/>
    public Memory<double> ProductsLow { get; } = spill.Room(checked(groups * Triangle(size)));

    /// <summary>Bytes of all sums.</summary>
    public static long Bytes(int groups, int size) => 2L * sizeof(double) * groups * (size + (long)Triangle(size));

    /// <summary>Elements of a lower triangle with so many rows; where that row starts.</summary>
    public static int Triangle(int rows) => checked((int)((long)rows * (rows + 1) / 2));

    /// <inheritdoc/>
    public void Add(double count, ReadOnlySpan<float> mean, ReadOnlySpan<float> products)
    {
        Count += count;
        Span<double> sumsHigh = SumsHigh.Span, sumsLow = SumsLow.Span, productsHigh = ProductsHigh.Span, productsLow = ProductsLow.Span;
        for (int g = 0; g < groups; g++)
        {
            TensorPrimitives.ConvertTruncating<float, double>(mean.Slice(g * size, size), _mean);
            TensorPrimitives.Multiply<double>(_mean, count, _row);
            WideSums.Add(_row, sumsHigh.Slice(g * size, size), sumsLow.Slice(g * size, size));
            for (int i = 0; i < size; i++)
            {
                var row = _row.AsSpan(0, i + 1);
                TensorPrimitives.ConvertTruncating<float, double>(products.Slice((g * size + i) * size, i + 1), row);
                TensorPrimitives.MultiplyAdd<double>(_mean.AsSpan(0, i + 1), count * _mean[i], row, row);
                int start = g * Triangle(size) + Triangle(i);
                WideSums.Add(row, productsHigh.Slice(start, i + 1), productsLow.Slice(start, i + 1));
            }
        }
    }
}
