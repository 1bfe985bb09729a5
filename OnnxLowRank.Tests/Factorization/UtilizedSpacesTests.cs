using OnnxLowRank.Factorization;
using OnnxLowRank.Layers;
using OnnxLowRank.Numerics;
using OnnxLowRank.Tests.Rewriting;

namespace OnnxLowRank.Tests.Factorization;

public class UtilizedSpacesTests
{
    /// <summary>Sums of a few dozen products in double.</summary>
    const double Rounding = 1e-10;

    static readonly ILinearAlgebra s_algebra = LinearAlgebra.Create(1);

    static Layer LayerOf(string name) => new Bench(LayerCases.Make(name).Model, LayerCases.Make(name).Samples).Layer;

    /// <summary>Of inputs whose variance falls along random directions, per group.</summary>
    static Matrix[] Moments(Layer layer) => [.. Enumerable.Range(0, layer.Groups).Select(g =>
    {
        var mix = Gaussian.Random(layer.In, layer.In, seed: 5 + g);
        for (int i = 0; i < mix.Rows; i++)
        {
            for (int j = 0; j < mix.Cols; j++)
            {
                mix[i, j] /= 1 + j;
            }
        }
        return s_algebra.Gram(mix);
    })];

    static void Near(Matrix expected, Matrix actual)
    {
        Assert.Equal((expected.Rows, expected.Cols), (actual.Rows, actual.Cols));
        double scale = Math.Max(1, expected.Data.Max(Math.Abs));
        Assert.All(expected.Data.Zip(actual.Data), pair => Assert.Equal(pair.First, pair.Second, Rounding * scale));
    }

    public static TheoryData<string> Cases => ["MatMul", "MatMul widening", "Conv", "Conv with groups"];

    [Theory, MemberData(nameof(Cases))]
    public void At_full_dimension_nothing_changes(string name)
    {
        var layer = LayerOf(name);
        var weight = layer.ReadWeight();
        var inputs = new InputSpace(s_algebra, layer, weight, Moments(layer));

        Near(weight, inputs.Projected(layer.In));
        Near(weight, inputs.Responses(layer.In).Projected(layer.OutPerGroup));
    }

    [Theory, MemberData(nameof(Cases))]
    public void Projecting_again_changes_nothing(string name)
    {
        var layer = LayerOf(name);
        var moments = Moments(layer);
        var once = new InputSpace(s_algebra, layer, layer.ReadWeight(), moments).Projected(4);
        var both = new InputSpace(s_algebra, layer, layer.ReadWeight(), moments).Responses(4).Projected(3);

        Near(once, new InputSpace(s_algebra, layer, once, moments).Projected(4));
        Near(both, new InputSpace(s_algebra, layer, both, moments).Responses(4).Projected(3));
    }

    [Theory, MemberData(nameof(Cases))]
    public void Every_group_has_the_rank_of_the_smaller_space(string name)
    {
        var layer = LayerOf(name);
        var weight = new InputSpace(s_algebra, layer, layer.ReadWeight(), Moments(layer)).Responses(5).Projected(3);

        for (int g = 0; g < layer.Groups; g++)
        {
            double[] values = s_algebra.Svd(layer.GroupOf(weight, g)).S;
            Assert.True(values[2] > 1e-3 * values[0]);
            Assert.All(values[3..], value => Assert.InRange(value, 0, 1e-10 * values[0]));
        }
    }

    /// <summary>PCA keeps most energy: no other subspace of three dimensions loses less of the inputs, nor of the responses.</summary>
    [Fact]
    public void The_spaces_are_those_of_most_energy()
    {
        var layer = LayerOf("MatMul");
        var (weight, moment) = (layer.ReadWeight(), Moments(layer)[0]);
        var inputs = new InputSpace(s_algebra, layer, weight, [moment]);
        var eigen = s_algebra.Eigen(moment);
        var first = eigen.Vectors.LeftCols(3);
        var expected = s_algebra.Multiply(weight, s_algebra.Multiply(first, first, transposeRight: true));
        Near(expected, inputs.Projected(3));

        var responses = s_algebra.Multiply(s_algebra.Multiply(expected, moment), expected, transposeRight: true);
        var second = s_algebra.Eigen(responses).Vectors.LeftCols(2);
        Near(s_algebra.Multiply(s_algebra.Multiply(second, second, transposeRight: true), expected), inputs.Responses(3).Projected(2));
    }

    /// <summary>The reverse of reading, with whatever an operator does to its weight: transposed, scaled, normalized.</summary>
    [Theory]
    [InlineData("MatMul")]
    [InlineData("LeftMatMul")]
    [InlineData("Gemm transB with alpha and beta")]
    [InlineData("Conv with groups then BatchNormalization")]
    public void An_operand_is_what_reading_it_gives(string name)
    {
        var layer = LayerOf(name);
        float[] stored = layer.Weight.Read(), operand = layer.OperandFor(layer.ReadWeight());

        Assert.All(stored.Zip(operand), pair => Assert.Equal(pair.First, pair.Second, 1e-6 * Math.Abs(pair.First)));
    }
}
