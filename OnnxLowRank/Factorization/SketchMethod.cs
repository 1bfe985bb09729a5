using System.Numerics.Tensors;
using System.Runtime.CompilerServices;
using OnnxLowRank.Numerics;
using OnnxLowRank.Storage;

namespace OnnxLowRank.Factorization;

/// <summary>
/// <see cref="OutputMethod"/> for layers so wide that the moments of their channels are only known as a sketch. The output's covariance K, with the
/// weight-only objective mixed in, is known by Nyström's approximation, which gives directions near the best ones, except for the last of them.
/// </summary>
static class SketchMethod
{
    /// <summary>From the output's covariance.</summary>
    /// <param name="covariance">K (m, m), in squared units of y; it is changed.</param>
    /// <param name="rows">W (m, n) in pieces of consecutive rows.</param>
    /// <param name="columns">Wᵀ (n, m) likewise.</param>
    /// <param name="inputs">n.</param>
    /// <param name="shrinkage">As for <see cref="OutputMethod.FromOutput"/>.</param>
    /// <param name="rank">How many directions are wanted, fewer than the sketch is wide.</param>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)] // unoptimized code keeps every local alive to its end
    public static OutputBasis FromOutput(ILinearAlgebra algebra, Sketch covariance, IEnumerable<Matrix> rows, IEnumerable<Matrix> columns, int inputs, double shrinkage, int rank)
    {
        double total = covariance.Trace;
        if (shrinkage > 0)
        {
            var (back, traceOfGram) = Times(algebra, columns, covariance.TestMatrix, inputs);
            var gram = OutputMethod.Times(algebra, rows, back, covariance.TestMatrix.Rows);
            double factor = traceOfGram > 0 ? shrinkage * covariance.Trace / traceOfGram : 0;
            TensorPrimitives.MultiplyAdd(gram.Data, factor, covariance.Products.Data, covariance.Products.Data);
            total += factor * traceOfGram;
        }
        Garbage.Collect(covariance.Products.Data.Length); // what mixing took
        var (vectors, energy) = Principal(algebra, covariance.Root(algebra), rank);
        return new(vectors, energy, total);
    }

    /// <summary>From the input's covariance: K = W·(G + ρ'·I)·Wᵀ, with the part of G that the sketch does not show taken as even over all channels.</summary>
    /// <param name="covariance">G (n, n), in squared units of x; it is changed.</param>
    /// <param name="rows">W (m, n) in pieces of consecutive rows.</param>
    /// <param name="columns">Wᵀ (n, m) likewise.</param>
    /// <param name="outputs">m.</param>
    /// <param name="shrinkage">ρ: share of the weight-only objective mixed in, W·Wᵀ times the inputs' mean variance.</param>
    /// <param name="rank">As for <see cref="FromOutput"/>.</param>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)] // unoptimized code keeps every local alive to its end
    public static OutputBasis FromInput(ILinearAlgebra algebra, Sketch covariance, IEnumerable<Matrix> rows, IEnumerable<Matrix> columns, int outputs, double shrinkage, int rank)
    {
        int channels = covariance.TestMatrix.Rows;
        double ridge = shrinkage * covariance.Trace / channels;
        TensorPrimitives.MultiplyAdd(covariance.TestMatrix.Data, ridge, covariance.Products.Data, covariance.Products.Data);
        covariance = covariance with { Trace = covariance.Trace + ridge * channels };
        var root = covariance.Root(algebra);
        double unseen = Unseen(covariance, root);

        var (output, traceOfGram) = Times(algebra, rows, root, outputs);
        double total = TensorPrimitives.SumOfSquares<double>(output.Data) + unseen * traceOfGram;
        var (vectors, energy) = Principal(algebra, output, rank);
        TensorPrimitives.MultiplyAdd<double>(OutputMethod.Times(algebra, columns, vectors, channels).ColumnSquares(), unseen, energy, energy);
        return new(vectors, energy, total);
    }

    /// <summary>A·B, A in pieces of consecutive rows, and the sum of A's squares.</summary>
    static (Matrix Product, double SumOfSquares) Times(ILinearAlgebra algebra, IEnumerable<Matrix> pieces, Matrix right, int rows)
    {
        double sum = 0;
        var product = OutputMethod.Times(algebra, pieces.Select(piece =>
        {
            sum += TensorPrimitives.SumOfSquares<double>(piece.Data);
            return piece;
        }), right, rows);
        return (product, sum);
    }

    /// <summary>The largest eigenvectors of F·Fᵀ (n, rank) and their eigenvalues, from the smaller FᵀF.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)] // unoptimized code keeps every local alive to its end
    static (Matrix Vectors, double[] Energy) Principal(ILinearAlgebra algebra, Matrix root, int rank)
    {
        Garbage.Collect(root.Data.Length); // what the root was made of
        var eigen = algebra.Eigen(algebra.Gram(root, transpose: true));
        // Orthogonal already, up to the rounding of the weakest, which the one orthonormalization takes away, with the lengths.
        return (algebra.Orthonormalize(algebra.Multiply(root, eigen.Vectors.LeftCols(rank))), [.. eigen.Values.Take(rank).Select(value => Math.Max(0, value))]);
    }

    /// <summary>What directions that were chosen without samples carry; as <see cref="OutputMethod.Along"/>.</summary>
    public static OutputBasis Along(ILinearAlgebra algebra, Matrix vectors, Sketch covariance, Matrix? weight)
    {
        var root = covariance.Root(algebra);
        double unseen = Unseen(covariance, root);
        var directions = weight == null ? vectors : algebra.Multiply(weight, vectors, transposeLeft: true);
        var images = algebra.Multiply(root, directions, transposeLeft: true);
        double[] energy = images.ColumnSquares();
        TensorPrimitives.MultiplyAdd<double>(directions.ColumnSquares(), unseen, energy, energy);
        return new(vectors, energy, weight == null
            ? covariance.Trace
            : TensorPrimitives.SumOfSquares<double>(algebra.Multiply(weight, root).Data) + unseen * TensorPrimitives.SumOfSquares<double>(weight.Data));
    }

    /// <summary>What the root lacks of a covariance, taken as even over all channels: of one channel.</summary>
    static double Unseen(Sketch covariance, Matrix root) => Math.Max(0, covariance.Trace - TensorPrimitives.SumOfSquares<double>(root.Data)) / root.Rows;
}
