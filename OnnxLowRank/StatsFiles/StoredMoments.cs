using System.Numerics.Tensors;
using OnnxLowRank.Calibration;
using OnnxLowRank.Samples;

namespace OnnxLowRank.StatsFiles;

/// <summary>Moments in files, one part in each: products stay there until somebody asks, and are forgotten again.</summary>
sealed class StoredMoments : Moments
{
    readonly IReadOnlyList<(StatsFile File, int Value)> _parts;
    readonly double[] _sums;

    /// <param name="parts">The same value in every file, with its place there.</param>
    /// <exception cref="DataException">No vector was seen.</exception>
    public StoredMoments(IReadOnlyList<(StatsFile File, int Value)> parts) : base(Header(parts[0]).Size)
    {
        _parts = parts;
        Count = parts.Sum(part => Header(part).Count);
        if (Count == 0)
        {
            throw new DataException($"{parts[0].File.Path}: no vector of '{Header(parts[0]).Value}' was seen");
        }
        _sums = Merged(Header(parts[0]).Groups * Size, (part, high, low) => part.File.AddSums(part.Value, high, low));
    }

    /// <inheritdoc/>
    public override double Count { get; }

    /// <inheritdoc/>
    protected override ReadOnlySpan<double> Sums => _sums;

    static StatsValue Header((StatsFile File, int Value) part) => part.File.Header.Values[part.Value];

    /// <inheritdoc/>
    protected override double[] Products(int group)
    {
        double[] triangle = Merged(WideMoments.Triangle(Size), (part, high, low) => part.File.AddProducts(part.Value, group, high, low));
        double[] square = new double[Size * Size];
        for (int i = 0; i < Size; i++)
        {
            var row = triangle.AsSpan(WideMoments.Triangle(i), i + 1);
            row.CopyTo(square.AsSpan(i * Size));
            for (int j = 0; j < i; j++)
            {
                square[j * Size + i] = row[j];
            }
        }
        return square;
    }

    delegate void Adder((StatsFile File, int Value) part, Span<double> high, Span<double> low);

    double[] Merged(int length, Adder add)
    {
        double[] high = new double[length], low = new double[length];
        foreach (var part in _parts)
        {
            add(part, high, low);
        }
        TensorPrimitives.Add<double>(high, low, high);
        return high;
    }
}
