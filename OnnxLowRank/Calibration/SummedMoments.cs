using OnnxLowRank.Storage;

namespace OnnxLowRank.Calibration;

/// <summary>Moments of vectors seen in this process: Σv and Σv·vᵀ, summed in double from each run's mean and products about it.</summary>
/// <param name="groups">Groups of channels, treated apart.</param>
/// <param name="size">Channels per group.</param>
/// <param name="spill">Where large sums are.</param>
sealed class SummedMoments(int groups, int size, Spill spill) : Moments(size), IMomentSums
{
    readonly double[] _sums = new double[groups * size];
    readonly Memory<double> _products = spill.Room(checked(groups * size * size));
    double _count;

    /// <inheritdoc/>
    public override double Count => _count;

    /// <inheritdoc/>
    protected override ReadOnlySpan<double> Sums => _sums;

    /// <inheritdoc/>
    protected override double[] Products(int group) => _products.Span.Slice(group * Size * Size, Size * Size).ToArray();

    /// <summary>Bytes of products, and of those that one run adds.</summary>
    public static long Bytes(int groups, int size) => (sizeof(double) + sizeof(float)) * (long)groups * size * size;

    /// <inheritdoc/>
    public void Add(double count, ReadOnlySpan<float> mean, ReadOnlySpan<float> products)
    {
        _count += count;
        Accumulate(count, mean, _sums);
        for (int g = 0; g < groups; g++)
        {
            int square = Size * Size;
            var part = mean.Slice(g * Size, Size);
            Accumulate(count, part, part, products.Slice(g * square, square), _products.Span.Slice(g * square, square));
        }
    }
}
