using System.Numerics.Tensors;
using OnnxLowRank.Calibration;
using OnnxLowRank.Numerics;
using OnnxLowRank.Samples;
using OnnxLowRank.Storage;

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
        var square = new Matrix(Size, Size);
        foreach (var (first, rows) in Triangle(group))
        {
            for (int i = 0; i < rows.Rows; i++)
            {
                for (int j = 0; j <= first + i; j++)
                {
                    square[first + i, j] = square[j, first + i] = rows[i, j];
                }
            }
        }
        return square.Data;
    }

    /// <summary>What <see cref="SketchedMoments"/> would have summed of the same vectors; products are read a few rows at a time.</summary>
    public SketchedMoments Sketch(ILinearAlgebra algebra, Spill spill, int width) => SketchedMoments.Of(algebra, spill, width, Count, _sums, Triangle(group: 0));

    /// <summary>The lower triangle of Σv·vᵀ of one group, in pieces of consecutive rows up to the last one's diagonal.</summary>
    IEnumerable<(int First, Matrix Rows)> Triangle(int group)
    {
        int most = Matrix.RowsOfPiece(Size);
        for (int first = 0; first < Size; first += most)
        {
            int end = Math.Min(Size, first + most), start = WideMoments.Triangle(first);
            double[] stored = Merged(WideMoments.Triangle(end) - start, (part, high, low) => part.File.AddProducts(part.Value, group, high, low, start));
            var rows = new Matrix(end - first, end);
            for (int i = first; i < end; i++)
            {
                stored.AsSpan(WideMoments.Triangle(i) - start, i + 1).CopyTo(rows.Row(i - first));
            }
            yield return (first, rows);
        }
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
