using System.Numerics.Tensors;
using System.Runtime.InteropServices;
using OnnxLowRank.Numerics;
using OnnxLowRank.Storage;

namespace OnnxLowRank.Calibration;

/// <summary>
/// Moments of vectors with too many channels to keep the products of any two: the products of every channel with some random mixtures of all of them, which
/// tell the directions in which the vectors vary most.
/// </summary>
sealed class SketchedMoments : IMoments, IMomentSums
{
    /// <summary>The same mixtures for every value of a width, so that moments of several values can be pooled.</summary>
    const long Seed = 1;

    readonly double[] _sums;
    readonly Memory<double> _products;
    double _squares;

    /// <param name="size">Channels n.</param>
    /// <param name="width">k.</param>
    /// <param name="spill">Where the large ones of it are.</param>
    public SketchedMoments(int size, int width, Spill spill)
    {
        (Size, Width) = (size, width);
        var random = new byte[checked(size * width * sizeof(float))];
        TensorPrimitives.ConvertTruncating<double, float>(Gaussian.Random(size, width, Seed).Data, MemoryMarshal.Cast<byte, float>(random.AsSpan()));
        TestMatrix = spill.Keep(random);
        (_sums, _products) = (new double[size], spill.Room(checked(size * width)));
    }

    /// <summary>n.</summary>
    public int Size { get; }

    /// <summary>k.</summary>
    public int Width { get; }

    /// <summary>Ω (n, k) in floats: a mixture in every column.</summary>
    public ReadOnlyMemory<byte> TestMatrix { get; }

    /// <inheritdoc/>
    public double Count { get; private set; }

    /// <summary>The same of moments that are known in full.</summary>
    /// <param name="count">Vectors seen.</param>
    /// <param name="sums">Σv (n).</param>
    /// <param name="triangle">The lower triangle of Σv·vᵀ: rows from the first one on, up to the last one's diagonal, with zeros behind their own; they are changed.</param>
    public static SketchedMoments Of(ILinearAlgebra algebra, Spill spill, int width, double count, ReadOnlySpan<double> sums, IEnumerable<(int First, Matrix Rows)> triangle)
    {
        var sketch = new SketchedMoments(sums.Length, width, spill) { Count = count };
        sums.CopyTo(sketch._sums);
        var all = sketch.Widened();
        foreach (var (first, rows) in triangle)
        {
            for (int i = 0; i < rows.Rows; i++)
            {
                sketch._squares += rows[i, first + i];
                rows[i, first + i] /= 2; // it is in both, the triangle and its transpose
            }
            Matrix here = new(rows.Rows, width, all.Data.AsSpan(first * width, rows.Rows * width).ToArray()), before = all.TopRows(rows.Cols);
            sketch.AddProducts(first, algebra.Multiply(rows, before));
            sketch.AddProducts(0, algebra.Multiply(rows, here, transposeLeft: true));
        }
        return sketch;
    }

    void AddProducts(int first, Matrix rows)
    {
        var sums = _products.Span.Slice(first * Width, rows.Data.Length);
        TensorPrimitives.Add<double>(sums, rows.Data, sums);
    }

    Matrix Widened()
    {
        var widened = new Matrix(Size, Width);
        TensorPrimitives.ConvertTruncating<float, double>(MemoryMarshal.Cast<byte, float>(TestMatrix.Span), widened.Data);
        return widened;
    }

    /// <summary>E[v·vᵀ] over several sets of vectors, each about its own mean or, when not <paramref name="centred"/>, about zero.</summary>
    public static Sketch Pooled(SketchedMoments[] moments, bool centred)
    {
        var products = new Matrix(moments[0].Size, moments[0].Width);
        double total = Math.Max(1, moments.Sum(use => use.Count)), trace = 0;
        foreach (var use in moments)
        {
            TensorPrimitives.MultiplyAdd<double>(use._products.Span, 1 / total, products.Data, products.Data);
            trace += use._squares / total;
            if (centred)
            {
                double[] mean = use.Mean();
                double[] mixed = use.Mixed(mean);
                for (int i = 0; i < mean.Length; i++)
                {
                    TensorPrimitives.MultiplyAdd<double>(mixed, -mean[i] * use.Count / total, products.Row(i), products.Row(i));
                    trace -= use.Count / total * mean[i] * mean[i];
                }
            }
        }
        return new(moments[0].Widened(), products, Math.Max(0, trace));
    }

    /// <inheritdoc/>
    public double[] Mean() => Array.ConvertAll(_sums, sum => sum / Math.Max(1, Count));

    /// <summary>Bytes of mixtures and sums, and of what one run adds.</summary>
    public static long Bytes(int size, long width) => (2 * sizeof(float) + sizeof(double)) * size * width;

    /// <inheritdoc/>
    /// <param name="count">Vectors in the run.</param>
    /// <param name="mean">c, and Σ(v − c)² of every channel: (2, n).</param>
    /// <param name="products">Σ(v − c)·(v − c)ᵀ·Ω (n, k).</param>
    public void Add(double count, ReadOnlySpan<float> mean, ReadOnlySpan<float> products)
    {
        Count += count;
        double[] row = new double[Width], about = new double[Size];
        TensorPrimitives.ConvertTruncating<float, double>(mean[..Size], about);
        double[] mixed = Mixed(about);
        var sums = _products.Span;
        for (int i = 0; i < Size; i++)
        {
            var sum = sums.Slice(i * Width, Width);
            TensorPrimitives.ConvertTruncating<float, double>(products.Slice(i * Width, Width), row);
            TensorPrimitives.MultiplyAdd<double>(mixed, count * about[i], row, row);
            TensorPrimitives.Add<double>(sum, row, sum);
            _sums[i] += count * about[i];
            _squares += mean[Size + i] + count * about[i] * about[i];
        }
    }

    /// <summary>Ωᵀ·v.</summary>
    double[] Mixed(ReadOnlySpan<double> vector)
    {
        var factors = MemoryMarshal.Cast<byte, float>(TestMatrix.Span);
        double[] row = new double[Width], mixed = new double[Width];
        for (int i = 0; i < Size; i++)
        {
            TensorPrimitives.ConvertTruncating<float, double>(factors.Slice(i * Width, Width), row);
            TensorPrimitives.MultiplyAdd(row, vector[i], mixed, mixed);
        }
        return mixed;
    }
}
