using System.Numerics.Tensors;
using OnnxLowRank.Layers;
using OnnxLowRank.Numerics;

namespace OnnxLowRank.Factorization;

/// <summary>
/// A layer's weight confined to the subspace where it meets the data: W·P_S with P_S the projector on the leading eigenvectors of the
/// input's second moment. Source: Garg et al. 2024 (arXiv 2407.04797).
/// </summary>
/// <remarks>
/// Moments are about zero, not about the mean: the layer's bias stays as it is, so W·P_S·x stands for W·x only if the mean of x is in S.
/// Groups of a Conv have subspaces of their own, of the same dimension.
/// </remarks>
sealed class InputSpace
{
    readonly ILinearAlgebra _algebra;
    readonly Layer _layer;
    readonly SymmetricEigen[] _groups;

    /// <summary>Per group W·V (out, in): the weight in the coordinates of the eigenvectors.</summary>
    readonly Matrix[] _images;

    /// <param name="weight">W (out, in), as <see cref="Layer.ReadWeight"/> gives it.</param>
    /// <param name="moments">E[x·xᵀ] (in, in) of every group.</param>
    public InputSpace(ILinearAlgebra algebra, Layer layer, Matrix weight, IReadOnlyList<Matrix> moments)
    {
        (_algebra, _layer) = (algebra, layer);
        _groups = [.. moments.Select(algebra.Eigen)];
        _images = [.. _groups.Select((group, g) => algebra.Multiply(layer.GroupOf(weight, g), group.Vectors))];
    }

    /// <summary>W·P_S (out, in), rows of group 0 first.</summary>
    /// <param name="dimension">k_S, 1 … in.</param>
    public Matrix Projected(int dimension) => Stacked(_layer, _images.Select((image, g) =>
        _algebra.Multiply(image.LeftCols(dimension), _groups[g].Vectors.LeftCols(dimension), transposeRight: true)));

    /// <summary>The subspaces of what W·P_S answers to the same inputs.</summary>
    public OutputSpace Responses(int dimension) => new(_algebra, _layer, Projected(dimension), [.. _images.Select((image, g) =>
    {
        // W·P_S·E[x·xᵀ]·P_S·Wᵀ = Y·Yᵀ, since P_S and the moment have the same eigenvectors.
        var root = image.LeftCols(dimension);
        double[] deviations = Array.ConvertAll(_groups[g].Values[..dimension], value => Math.Sqrt(Math.Max(0, value)));
        for (int o = 0; o < root.Rows; o++)
        {
            TensorPrimitives.Multiply(root.Row(o), deviations, root.Row(o));
        }
        return _algebra.Gram(root);
    })]);

    /// <summary>Groups' rows, one below the other.</summary>
    internal static Matrix Stacked(Layer layer, IEnumerable<Matrix> groups) => new(layer.Out, layer.In, [.. groups.SelectMany(group => group.Data)]);
}

/// <summary>P_T·W·P_S, with P_T the projector on the leading eigenvectors of the second moment of W·P_S·x.</summary>
sealed class OutputSpace
{
    readonly ILinearAlgebra _algebra;
    readonly Layer _layer;
    readonly Matrix[] _vectors;

    /// <summary>Per group Uᵀ·W·P_S.</summary>
    readonly Matrix[] _images;

    /// <param name="weight">W·P_S (out, in).</param>
    /// <param name="moments">Of its responses, (out/groups, out/groups) of every group.</param>
    public OutputSpace(ILinearAlgebra algebra, Layer layer, Matrix weight, IReadOnlyList<Matrix> moments)
    {
        (_algebra, _layer) = (algebra, layer);
        _vectors = [.. moments.Select(moment => algebra.Eigen(moment).Vectors)];
        _images = [.. _vectors.Select((vectors, g) => algebra.Multiply(vectors, layer.GroupOf(weight, g), transposeLeft: true))];
    }

    /// <summary>P_T·W·P_S (out, in), rows of group 0 first.</summary>
    /// <param name="dimension">k_T, 1 … out/groups.</param>
    public Matrix Projected(int dimension) => InputSpace.Stacked(_layer, _images.Select((image, g) =>
        _algebra.Multiply(_vectors[g].LeftCols(dimension), image.TopRows(dimension))));
}
