using System.Numerics.Tensors;
using OnnxLowRank.Numerics;
using OnnxLowRank.Storage;

namespace OnnxLowRank.Factorization;

/// <summary>
/// The kernel that makes the best of what a first convolution leaves of its input, at every rank. The first one, D (k, n), reads every slot of a patch alike
/// (see <see cref="PatchMoment.Between"/>), so that the second one reads F·x, F = D ⊗ I (k·slots, in), and its best weight is W·C·Fᵀ·(F·C·Fᵀ)⁻¹. With the rows of
/// F in the order of D's and F·C·Fᵀ = L·Lᵀ, all of that at rank r is the beginning of what it is at rank k: the weight is Y_r·L_r⁻¹ with
/// Y = W·C·Fᵀ·L⁻ᵀ, and the squares of Y's columns are the output energy that each adds.
/// </summary>
sealed class FittedKernel
{
    /// <summary>What every row of F counts beside others that tell nearly the same.</summary>
    const double Ridge = 1e-9;

    readonly ILinearAlgebra _algebra;
    readonly int _slots;
    readonly Kept _inverse, _image;
    (int Rank, Matrix Weight)? _last;

    /// <param name="weight">W (C_out, in).</param>
    /// <param name="down">D (k, in/slots), most important row first.</param>
    /// <param name="spill">Where it waits; in memory when null.</param>
    public FittedKernel(ILinearAlgebra algebra, Matrix weight, Matrix down, int slots, PatchMoment patches, Spill? spill)
    {
        (_algebra, _slots) = (algebra, slots);
        var seen = algebra.Multiply(weight, patches.Covariance);
        double total = TensorPrimitives.Dot<double>(seen.Data, weight.Data);
        var gram = patches.Through(algebra, down, slots);
        double[] scales = Normalize(gram);
        var inverse = algebra.SolveTransposed(algebra.Cholesky(gram), Matrix.Identity(gram.Rows)); // L⁻ᵀ
        for (int i = 0; i < inverse.Rows; i++)
        {
            TensorPrimitives.Multiply<double>(inverse.Row(i), scales[i], inverse.Row(i));
        }
        var image = algebra.Multiply(PatchMoment.Project(algebra, seen, down, slots), inverse);
        double[] squares = image.ColumnSquares();
        Spectrum = new([.. Enumerable.Range(0, down.Rows).Select(k => TensorPrimitives.Sum<double>(squares.AsSpan(k * slots, slots)))], total);
        spill ??= Spill.None;
        (_inverse, _image) = (spill.Keep(inverse.ToFloats()), spill.Keep(image.ToFloats()));
        Means = PairMeans.Of(algebra, patches.Means, weight, down, slots);
    }

    int Size => Means.Inputs[0].Length;

    public PairMeans Means { get; }

    /// <summary>The output's energy through each row of D, given those before it.</summary>
    public Spectrum Spectrum { get; }

    /// <summary>The second convolution's weight beside the first r rows of D, (C_out, r·slots).</summary>
    public Matrix Weight(int rank)
    {
        if (_last is not { } last || last.Rank != rank)
        {
            int used = rank * _slots;
            var inverse = Matrix.LeftOf(_inverse.Span[..(used * Size)], Size, used);
            _last = last = (rank, _algebra.Multiply(Matrix.LeftOf(_image.Span, Size, used), inverse, transposeRight: true));
        }
        return last.Weight;
    }

    /// <summary>A weight of this size that takes no time to find.</summary>
    public static float[] Any(int rows, int cols)
    {
        var weight = new float[rows * cols];
        Array.Fill(weight, 1f / cols);
        return weight;
    }

    /// <summary>Gives every row of F the variance 1, and those without any a row of their own.</summary>
    /// <returns>What the rows were multiplied by; 0 for those without variance.</returns>
    static double[] Normalize(Matrix gram)
    {
        double largest = Enumerable.Range(0, gram.Rows).Max(i => gram[i, i]);
        double[] scales = [.. Enumerable.Range(0, gram.Rows).Select(i => gram[i, i] > Ridge * Ridge * largest ? 1 / Math.Sqrt(gram[i, i]) : 0)];
        for (int i = 0; i < gram.Rows; i++)
        {
            TensorPrimitives.Multiply<double>(gram.Row(i), scales, gram.Row(i));
            TensorPrimitives.Multiply<double>(gram.Row(i), scales[i], gram.Row(i));
            gram[i, i] = 1 + Ridge;
        }
        return scales;
    }
}
