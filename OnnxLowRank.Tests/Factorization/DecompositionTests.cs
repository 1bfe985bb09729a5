using OnnxLowRank.Factorization;
using OnnxLowRank.Layers;
using OnnxLowRank.Numerics;
using OnnxLowRank.Tests.Rewriting;
using static OnnxLowRank.Tests.Numerics.DenseMath;

namespace OnnxLowRank.Tests.Factorization;

public class DecompositionTests
{
    static Bench Open(string name)
    {
        var (model, samples) = LayerCases.Make(name);
        return new(model, samples);
    }

    static Matrix Matrix(float[] values, int rows) => new(rows, values.Length / rows, Array.ConvertAll(values, value => (double)value));

    /// <summary>Up·Down of all groups, (out, in).</summary>
    static Matrix Product(Layer layer, LowRank factors)
    {
        var product = new Matrix(layer.Out, layer.In);
        var (up, down) = (Matrix(factors.Up, layer.Out), Matrix(factors.Down, layer.Groups * factors.Rank));
        for (int o = 0; o < layer.Out; o++)
        {
            for (int k = 0; k < factors.Rank; k++)
            {
                for (int i = 0; i < layer.In; i++)
                {
                    product[o, i] += up[o, k] * down[o / layer.OutPerGroup * factors.Rank + k, i];
                }
            }
        }
        return product;
    }

    public static TheoryData<string> Cases => [.. LayerCases.Names.Where(name => !name.Contains("computed", StringComparison.Ordinal))];

    [Theory, MemberData(nameof(Cases))]
    public void Factors_at_full_rank_multiply_to_the_weight(string name)
    {
        var bench = Open(name);
        var decomposition = bench.Decompose(bench.Layer);
        var weight = bench.Layer.ReadWeight();

        foreach (bool balanced in new[] { false, true })
        {
            var factors = decomposition.Cut(decomposition.MaxRank, balanced);

            AssertClose(weight, Product(bench.Layer, factors), 1e-5, Norm(weight)); // floats
        }
    }

    [Fact]
    public void Layers_with_very_many_outputs_are_multiplied_in_pieces()
    {
        const int In = 100, Out = 50_000; // two whole pieces and a part of one
        var model = new TinyModel();
        model.Input("x", null, In);
        model.Node("Gemm", ["x", model.Weight("w", Out, In)], "y", ("transB", 1), ("alpha", 2f));
        model.Outputs("y");
        var layer = new Bench(model.Build(), new MemorySamples([Feed.Random("x", 8, In)])).Layer;
        var algebra = LinearAlgebra.Create(1);
        var weight = layer.ReadWeight();
        var decomposition = new Decomposition(algebra, layer, [SvdMethod.Of(algebra, weight, In)], [null]);

        Assert.Equal(3, layer.ReadRows().Count());
        Assert.Equal([.. layer.ReadRows().SelectMany(rows => rows.Data)], weight.Data);
        Assert.Equal(Array.ConvertAll(weight.Data, value => (float)value), layer.ReadFloats());
        AssertClose(weight, Product(layer, decomposition.Cut(In, balanced: false)), 1e-5, Norm(weight)); // floats
    }

    [Theory]
    [InlineData("MatMul")]
    [InlineData("Conv with groups")]
    public void Factors_may_stand_for_another_weight(string name)
    {
        var layer = Open(name).Layer;
        var algebra = LinearAlgebra.Create(1);
        var other = Gaussian.Random(layer.Out, layer.In, seed: 9);
        var groups = Enumerable.Range(0, layer.Groups).Select(g => SvdMethod.Of(algebra, layer.GroupOf(other, g), layer.OutPerGroup));
        var decomposition = new Decomposition(algebra, layer, [.. groups], new double[layer.Uses.Count][], substitute: other);

        var product = Product(layer, decomposition.Cut(decomposition.MaxRank, balanced: true));

        AssertClose(other, product, 1e-5, Norm(other)); // floats
    }

    [Theory]
    [InlineData("MatMul")]
    [InlineData("Conv with groups")]
    [InlineData("Gemm widening")]
    public void Balancing_changes_the_factors_but_not_their_product(string name)
    {
        var bench = Open(name);
        var decomposition = bench.Decompose(bench.Layer);

        foreach (int rank in new[] { 1, 3, decomposition.MaxRank })
        {
            var plain = decomposition.Cut(rank, balanced: false);
            var balanced = decomposition.Cut(rank, balanced: true);

            AssertClose(Product(bench.Layer, plain), Product(bench.Layer, balanced), 1e-6, 10);
            Assert.All(plain.Scales, scale => Assert.Equal(1, scale));
            Assert.Equal(bench.Layer.Groups * rank, balanced.Scales.Length);
            for (int k = 0; k < balanced.Scales.Length; k++)
            {
                Assert.Equal(plain.Down[k * bench.Layer.In] * balanced.Scales[k], balanced.Down[k * bench.Layer.In], 1e-5);
            }
        }
    }

    [Fact]
    public void Balanced_inner_numbers_all_vary_alike()
    {
        // h'ᵢ = hᵢ/σᵢ^½: its deviation is σᵢ^½, and so is the length of Up's column.
        var bench = Open("MatMul");
        var decomposition = bench.Decompose(bench.Layer);
        var factors = decomposition.Cut(decomposition.MaxRank, balanced: true);
        var x = bench.Run(bench.Model, "x")[0].Vectors(1);
        var down = Matrix(factors.Down, factors.Rank);

        for (int k = 0; k < factors.Rank; k++)
        {
            double[] inner = [.. x.Select(vector => vector.Select((value, i) => value * down[k, i]).Sum())];
            double deviation = Math.Sqrt(inner.Select(value => Math.Pow(value - inner.Average(), 2)).Average());
            double column = Math.Sqrt(Enumerable.Range(0, bench.Layer.Out).Sum(o => Math.Pow(factors.Up[o * factors.Rank + k], 2)));

            Assert.Equal(1, deviation / column, 1e-3);
        }
    }

    [Theory]
    [InlineData("MatMul")]
    [InlineData("MatMul widening")]
    [InlineData("Conv with groups")]
    [InlineData("Conv then BatchNormalization")]
    public void The_predicted_error_is_the_measured_one_at_every_rank(string name)
    {
        var bench = Open(name);
        var layer = bench.Layer;
        var decomposition = bench.Decompose(layer);
        string output = layer.Uses[0].Output;
        int axis = layer.Kind == LayerKind.Conv ? 1 : bench.Shapes[output].Length - 1;
        var original = bench.Run(bench.Model, output)[0];
        double energy = Variance(original.Vectors(axis));
        double before = 1;

        for (int rank = 1; rank <= decomposition.MaxRank; rank++)
        {
            var candidate = bench.Projected(layer, original, axis, rank);
            var lost = original with { Values = [.. original.Values.Zip(candidate.Values, (y, z) => y - z)] };
            double measured = Variance(lost.Vectors(axis)) / energy;

            Assert.Equal(measured, decomposition.Error(rank), 1e-5);
            Assert.True(decomposition.Error(rank) <= before);
            before = decomposition.Error(rank);
        }
        Assert.Equal((1.0, 0.0), (decomposition.Error(0), Math.Round(decomposition.Error(decomposition.MaxRank), 5)));
    }

    static double Variance(float[][] vectors) => Enumerable.Range(0, vectors[0].Length).Sum(i =>
    {
        double mean = vectors.Average(vector => (double)vector[i]);
        return vectors.Average(vector => Math.Pow(vector[i] - mean, 2));
    });

    [Fact]
    public void The_corrected_bias_restores_the_mean()
    {
        var bench = Open("Conv with groups");
        var layer = bench.Layer;
        var decomposition = bench.Decompose(layer);
        double[] mean = decomposition.Means[0]!;

        foreach (int rank in new[] { 1, 4 })
        {
            double[] correction = decomposition.BiasCorrection(rank, 0)!;

            // E[W·x] = U_r·U_rᵀ·E[W·x] + correction, and the correction lies outside the directions that are kept.
            float[] basisT = decomposition.ProjectionT();
            for (int g = 0; g < layer.Groups; g++)
            {
                double[] kept = new double[layer.OutPerGroup];
                for (int k = 0; k < rank; k++)
                {
                    var direction = basisT.AsSpan((g * decomposition.MaxRank + k) * layer.OutPerGroup, layer.OutPerGroup).ToArray();
                    double inMean = direction.Select((u, o) => u * mean[g * layer.OutPerGroup + o]).Sum();
                    Assert.Equal(0, direction.Select((u, o) => u * correction[g * layer.OutPerGroup + o]).Sum(), 1e-5);
                    for (int o = 0; o < kept.Length; o++)
                    {
                        kept[o] += inMean * direction[o];
                    }
                }
                Assert.All(Enumerable.Range(0, kept.Length), o => Assert.Equal(mean[g * layer.OutPerGroup + o], kept[o] + correction[g * layer.OutPerGroup + o], 1e-4));
            }
        }
    }

    [Fact]
    public void Without_a_measured_mean_there_is_no_correction()
    {
        var bench = Open("MatMul");
        var weight = bench.Layer.ReadWeight();
        var algebra = new ManagedAlgebra(1);

        var decomposition = new Decomposition(algebra, bench.Layer, [SvdMethod.Of(algebra, weight, 4)], [null]);

        Assert.Null(decomposition.BiasCorrection(2, 0));
        Assert.Equal(4, decomposition.MaxRank);
        Assert.Equal(Norm(weight) * Norm(weight), decomposition.Energy, 1e-9 * decomposition.Energy);
    }

    [Fact]
    public void The_projected_bias_is_that_of_the_use()
    {
        var bench = Open("Conv with bias then BatchNormalization");
        var decomposition = bench.Decompose(bench.Layer);
        double[] bias = bench.Layer.Uses[0].Bias!;
        float[] basisT = decomposition.ProjectionT();

        double[] projected = decomposition.ProjectedBias(0);

        for (int k = 0; k < decomposition.MaxRank; k++)
        {
            Assert.Equal(bias.Select((b, o) => b * basisT[k * bias.Length + o]).Sum(), projected[k], 1e-5);
        }
    }
}
