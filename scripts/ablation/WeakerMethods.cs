using System.Numerics.Tensors;
using OnnxLowRank;
using OnnxLowRank.Calibration;
using OnnxLowRank.Factorization;
using OnnxLowRank.Layers;
using OnnxLowRank.Numerics;

namespace Ablation;

/// <summary>Decompositions that know less than those of the library: nothing of data, or nothing of means. Neither corrects biases.</summary>
static class WeakerMethods
{
    /// <summary>The best for the weight, whatever it is applied to.</summary>
    public static Decomposition PlainSvd(ILinearAlgebra algebra, Layer layer) =>
        Decompose(algebra, layer, (_, part) => SvdMethod.Of(algebra, part, layer.BreakEvenRank));

    /// <summary>The best for W·x on the samples when the bias stays as it is, so that the mean of W·x is part of what must be kept.</summary>
    /// <param name="moments">Per use, of the value that <see cref="Tap"/> chose.</param>
    public static Decomposition Uncentred(ILinearAlgebra algebra, Layer layer, Moments[] moments)
    {
        double total = moments.Sum(use => use.Count);
        return Decompose(algebra, layer, (group, part) =>
        {
            var second = new Matrix(layer.OutPerGroup, layer.OutPerGroup);
            for (int i = 0; i < moments.Length; i++)
            {
                TensorPrimitives.MultiplyAdd(Product(algebra, layer, i, moments[i], group, part).Data, moments[i].Count / total, second.Data, second.Data);
            }
            return OutputMethod.FromOutput(algebra, second, [part.Transposed()], Decomposing.Shrinkage(total, layer.OutPerGroup), layer.BreakEvenRank);
        });
    }

    /// <summary>E[W·x·(W·x)ᵀ] of one use and group, without the bias that moments at the output hold.</summary>
    static Matrix Product(ILinearAlgebra algebra, Layer layer, int use, Moments moments, int group, Matrix weight)
    {
        if (Tap.IsAtInput(layer))
        {
            return algebra.Multiply(algebra.Multiply(weight, moments.Second(group, centred: false)), weight, transposeRight: true);
        }
        var product = moments.Second(group, centred: true);
        int rows = layer.OutPerGroup;
        var mean = moments.Mean().AsSpan(group * rows, rows);
        if (layer.Uses[use].Bias is { } bias)
        {
            TensorPrimitives.Subtract(mean, bias.AsSpan(group * rows, rows), mean);
        }
        for (int o = 0; o < rows; o++)
        {
            TensorPrimitives.MultiplyAdd(mean, mean[o], product.Row(o), product.Row(o));
        }
        return product;
    }

    static Decomposition Decompose(ILinearAlgebra algebra, Layer layer, Func<int, Matrix, OutputBasis> basisOf)
    {
        var weight = layer.ReadWeight();
        var groups = Enumerable.Range(0, layer.Groups).Select(group => basisOf(group, layer.GroupOf(weight, group)));
        return new(algebra, layer, [.. groups], new double[layer.Uses.Count][]);
    }
}
