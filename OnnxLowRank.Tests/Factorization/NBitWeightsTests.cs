using OnnxLowRank.Factorization;
using OnnxLowRank.Numerics;
using OnnxLowRank.Quantization;
using OnnxLowRank.Tests.Rewriting;
using static OnnxLowRank.Tests.Numerics.DenseMath;

namespace OnnxLowRank.Tests.Factorization;

public class NBitWeightsTests
{
    static readonly ILinearAlgebra s_algebra = LinearAlgebra.Create(1);

    static Bench Open(string name)
    {
        var (model, samples) = LayerCases.Make(name);
        return new(model, samples);
    }

    /// <summary>E‖(y − ŷ) − its mean‖² / E‖y − E[y]‖² over the samples, for the weight that was stored.</summary>
    static double Measured(Bench bench, Matrix stored)
    {
        var weight = bench.Layer.ReadWeight();
        var covariance = bench.Measured.Moments[bench.Layer][0].Second(0, centred: true);
        double Energy(Matrix matrix) => s_algebra.Multiply(matrix, covariance).Data.Zip(matrix.Data, (left, right) => left * right).Sum();
        return Energy(new(weight.Rows, weight.Cols, [.. weight.Data.Zip(stored.Data, (left, right) => left - right)])) / Energy(weight);
    }

    static Matrix Product(NBitPair pair) => s_algebra.Multiply(pair.Up.Dequantize(), pair.Down.Dequantize());

    [Theory]
    [InlineData("MatMul", 0)]
    [InlineData("MatMul widening", 32)]
    [InlineData("Gemm transB", 16)]
    public void The_error_is_the_share_of_the_output_that_is_lost_on_the_samples(string name, int block)
    {
        var bench = Open(name);
        var int4 = bench.InFewBits(bench.Layer);

        Assert.Equal(Measured(bench, int4.Dense(new NBitGrid(4, block)).Weight.Dequantize()), int4.DenseError(new NBitGrid(4, block)), 3);
        foreach (int rank in new[] { 1, 4, 8 })
        {
            Assert.Equal(Measured(bench, Product(int4.Pair(rank, new NBitGrid(4, block)))), int4.ErrorOfPair(rank, new NBitGrid(4, block)), 3);
        }
    }

    [Theory]
    [InlineData("MatMul", 4, 0)]
    [InlineData("Gemm widening", 4, 32)]
    [InlineData("MatMul", 3, 0)]
    [InlineData("MatMul", 5, 0)]
    [InlineData("Gemm widening", 6, 0)]
    public void The_predicted_error_of_a_pair_is_near_the_real_one_at_every_rank(string name, int bits, int block)
    {
        var bench = Open(name);
        var weights = bench.InFewBits(bench.Layer);
        var grid = new NBitGrid(bits, block);
        for (int rank = 1; rank <= Bench.FullRank(bench.Layer); rank++)
        {
            double predicted = bench.Decompose(bench.Layer).Error(rank) + weights.PairRounding(rank, grid);
            Assert.InRange(predicted / weights.ErrorOfPair(rank, grid), 0.7, 1.5);
        }
    }

    [Theory]
    [InlineData(3)]
    [InlineData(4)]
    [InlineData(5)]
    [InlineData(6)]
    public void The_predicted_error_of_a_dense_weight_is_near_the_real_one(int bits)
    {
        var bench = Open("MatMul widening");
        var weights = bench.InFewBits(bench.Layer);
        var grid = new NBitGrid(bits);

        // Rows as short as these have no extremes that finer steps would leave out.
        Assert.InRange(weights.DenseError(grid) / weights.ErrorOfDense(grid), 0.8, 1.4);
    }

    [Fact]
    public void What_is_asked_for_again_is_the_same_whatever_was_asked_for_between()
    {
        var bench = Open("MatMul");
        var int4 = bench.InFewBits(bench.Layer);
        var (dense, pair) = (int4.Dense(new NBitGrid(4)), int4.Pair(4, new NBitGrid(4, 32)));
        Assert.Same(pair, int4.Pair(4, new NBitGrid(4, 32)));
        Assert.NotEqual(pair.Down.Rows, int4.Pair(3, new NBitGrid(4, 32)).Down.Rows);

        var againPair = int4.Pair(4, new NBitGrid(4, 32));

        Assert.Same(dense, int4.Dense(new NBitGrid(4)));
        Assert.Equal(pair.Up.Packed.ToArray(), againPair.Up.Packed.ToArray());
        Assert.Equal(pair.Down.Packed.ToArray(), againPair.Down.Packed.ToArray());
        Assert.NotEqual(int4.DenseError(new NBitGrid(4)), int4.DenseError(new NBitGrid(4, 16)));
    }

    [Fact]
    public void A_large_weight_is_rounded_in_pieces_and_some_rows_tell_its_error()
    {
        const int inputs = 16, outputs = 600_000; // five pieces; every ninth row is looked at
        var random = new Random(1);
        var tiny = new TinyModel();
        tiny.Input("x", null, inputs);
        tiny.Node("MatMul", ["x", tiny.Weight("w", inputs, outputs)], "y");
        tiny.Outputs("y");
        var layer = new Bench(tiny.Build(), new MemorySamples([Feed.Random("x", 8, inputs)])).Layer;
        var mixing = Gaussian.Random(inputs, inputs, seed: 2);
        var covariance = s_algebra.Gram(mixing);
        var moment = new InputMoment(covariance, [1]);
        double[] mean = [.. Enumerable.Range(0, inputs).Select(_ => random.NextDouble())];
        var basis = OutputMethod.FromInput(s_algebra, covariance, layer.ReadRows(), shrinkage: 0, 2);
        var decomposition = new Decomposition(s_algebra, layer, [basis], [null]);
        var int4 = new NBitWeights(s_algebra, layer, decomposition, moment, [mean]);

        var dense = int4.Dense(new NBitGrid(4, 16));

        Assert.Equal(5, layer.ReadRows().Count());
        var whole = moment.Rounded(s_algebra, moment.Feedback(s_algebra), layer.ReadWeight(), new NBitGrid(4, 16));
        Assert.Equal(whole.Packed.ToArray(), dense.Weight.Packed.ToArray());
        Assert.Equal(whole.Scales, dense.Weight.Scales);
        var lost = s_algebra.Multiply(new(outputs, inputs, [.. layer.ReadWeight().Data.Zip(whole.Dequantize().Data, (left, right) => left - right)]), new Matrix(inputs, 1, mean));
        AssertClose(lost, new(outputs, 1, dense.Gains[0]!), 1e-12, Norm(lost));
        double Lost(Matrix value)
        {
            var weight = layer.ReadWeight();
            var lost = new Matrix(outputs, inputs, [.. weight.Data.Zip(value.Data, (left, right) => left - right)]);
            double Energy(Matrix matrix) => moment.Times(s_algebra, matrix).Data.Zip(matrix.Data, (left, right) => left * right).Sum();
            return Energy(lost) / Energy(weight);
        }
        double all = Lost(whole.Dequantize()), pair = Lost(Product(int4.Pair(2, new NBitGrid(4, 16))));
        Assert.NotEqual(all, int4.DenseError(new NBitGrid(4, 16))); // some rows told it
        Assert.Equal(all, int4.DenseError(new NBitGrid(4, 16)), 0.02 * all);
        Assert.Equal(pair, decomposition.Error(2) + int4.PairRounding(2, new NBitGrid(4, 16)), 0.02 * pair);
    }

    [Fact]
    public void What_outputs_do_counts_in_dense_weights_and_in_pairs()
    {
        var tiny = new TinyModel();
        tiny.Input("x", null, 48);
        tiny.Node("MatMul", ["x", tiny.Weight("w", 48, 40)], "y");
        tiny.Outputs("y");
        var bench = new Bench(tiny.Build(), new MemorySamples([Feed.Random("x", 400, 48)]));
        var layer = bench.Layer;
        var moment = new InputMoment(s_algebra.Gram(Gaussian.Random(48, 60, seed: 2)), [1]);
        var matters = s_algebra.Gram(Gaussian.Random(40, 10, seed: 3));
        matters.AddToDiagonal(1);
        NBitWeights Of(StoredMoment? outputs) => new(s_algebra, layer, bench.Decompose(layer), moment, [new double[48]], outputs: outputs);
        double Lost(Matrix value)
        {
            var weight = layer.ReadWeight();
            var lost = new Matrix(40, 48, [.. weight.Data.Zip(value.Data, (left, right) => left - right)]);
            return s_algebra.Multiply(matters, moment.Times(s_algebra, lost)).Data.Zip(lost.Data, (left, right) => left * right).Sum();
        }
        var (alike, known) = (Of(null), Of(new(matters)));
        var grid = new NBitGrid(3, 48);

        double dense = Lost(known.Dense(grid).Weight.Dequantize()) / Lost(alike.Dense(grid).Weight.Dequantize());

        Assert.InRange(dense, 0, 0.6);
        Assert.Equal(known.Dense(grid).Weight.Packed.ToArray(), known.Behind(layer, bench.Decompose(layer), [new double[48]]).Dense(grid).Weight.Packed.ToArray());
        var (before, after) = (alike.Pair(12, new(3, 48)), known.Pair(12, new(3, 48)));
        Assert.Equal(before.Down.Packed.ToArray(), after.Down.Packed.ToArray()); // between the factors there are no outputs
        double RoundingOf(NBitPair pair) => Lost(Product(pair));
        Assert.InRange(RoundingOf(after) / RoundingOf(before), 0, 0.99);
    }

    /// <summary>Inputs of 24 numbers that are mixtures of 8, so that what one rounded weight does, others can make good.</summary>
    static Bench Correlated()
    {
        const int inputs = 24, hidden = 8, samples = 256;
        var mixed = s_algebra.Multiply(Gaussian.Random(samples, hidden, seed: 5), Gaussian.Random(hidden, inputs, seed: 6));
        var noise = Gaussian.Random(samples, inputs, seed: 7);
        var tiny = new TinyModel();
        tiny.Input("x", null, inputs);
        tiny.Node("Tanh", [tiny.Node("MatMul", ["x", tiny.Weight("w", inputs, 40)], "y")], "out");
        tiny.Outputs("out");
        return new(tiny.Build(), new([new("x", [.. mixed.Data.Zip(noise.Data, (value, added) => (float)(value + 0.1 * added))], inputs)]));
    }

    [Fact]
    public void Up_is_fitted_to_the_rounded_Down()
    {
        var bench = Correlated();
        const int rank = 7;
        var int4 = bench.InFewBits(bench.Layer);
        var pair = int4.Pair(rank, new NBitGrid(4));
        var cut = bench.Decompose(bench.Layer).Cut(rank, balanced: true);
        var unfitted = OnnxLowRank.Quantization.NBit.Nearest(new(bench.Layer.Out, rank, Array.ConvertAll(cut.Up, value => (double)value)), new NBitGrid(4, rank));

        double withoutFit = Measured(bench, s_algebra.Multiply(unfitted.Dequantize(), pair.Down.Dequantize()));

        Assert.InRange(int4.ErrorOfPair(rank, new NBitGrid(4)) / withoutFit, 0, 0.97);
    }

    /// <summary>With H = Down·G·Downᵀ, tr((W − Up·Down)·G·(W − Up·Down)ᵀ) is least where (W − Up·Down)·G·Downᵀ is zero.</summary>
    [Fact]
    public void What_is_left_by_the_fitted_Up_is_unrelated_to_what_Down_passes()
    {
        var bench = Correlated();
        var covariance = bench.Measured.Moments[bench.Layer][0].Second(0, centred: true);
        var weight = bench.Layer.ReadWeight();
        var down = bench.InFewBits(bench.Layer).Pair(5, new NBitGrid(4)).Down.Dequantize();

        var up = s_algebra.Multiply(weight, NBitWeights.Solved(s_algebra, new(covariance, [1]), down, out var gram), transposeRight: true);

        double Energy(Matrix factor)
        {
            var product = s_algebra.Multiply(factor, down);
            Matrix lost = new(weight.Rows, weight.Cols, [.. weight.Data.Zip(product.Data, (left, right) => left - right)]);
            return s_algebra.Multiply(lost, covariance).Data.Zip(lost.Data, (left, right) => left * right).Sum();
        }
        double best = Energy(up);
        Assert.Equal(5, gram.Rows);
        for (int i = 0; i < up.Data.Length; i += 7)
        {
            foreach (double step in new[] { -0.05, 0.05 })
            {
                var moved = up.Copy();
                moved.Data[i] += step;
                Assert.True(Energy(moved) > best);
            }
        }
    }

    /// <summary>Inputs of 128 numbers whose variances fall off, mixed, as those of trained models do.</summary>
    static Bench Graded(int outputs)
    {
        const int inputs = 128, samples = 512;
        var graded = Gaussian.Random(samples, inputs, seed: 5).WithColumnsTimes([.. Enumerable.Range(1, inputs).Select(i => 1 / (double)i)]);
        var mixed = s_algebra.Multiply(graded, s_algebra.Orthonormalize(Gaussian.Random(inputs, inputs, seed: 6)));
        var tiny = new TinyModel();
        tiny.Input("x", null, inputs);
        tiny.Node("Tanh", [tiny.Node("MatMul", ["x", tiny.Weight("w", inputs, outputs)], "y")], "out");
        tiny.Outputs("out");
        return new(tiny.Build(), new([new("x", Array.ConvertAll(mixed.Data, value => (float)value), inputs)]));
    }

    [Fact]
    public void A_correction_makes_good_most_of_what_rounding_loses_and_more_of_it_at_a_larger_rank()
    {
        var bench = Graded(outputs: 160);
        var int4 = bench.InFewBits(bench.Layer);

        double[] errors = [int4.DenseError(new NBitGrid(4)), .. int4.CorrectionRanks.Select(int4.CorrectedError)];

        Assert.Equal([8, 16, 32], int4.CorrectionRanks);
        for (int i = 1; i < errors.Length; i++)
        {
            Assert.True(errors[i] < 0.75 * errors[i - 1]);
        }
        Assert.InRange(errors[^1] / errors[0], 0, 0.2);
    }

    [Theory]
    [InlineData(8)]
    [InlineData(32)]
    public void The_error_of_a_corrected_weight_is_what_the_samples_lose(int rank)
    {
        var bench = Graded(outputs: 130);
        var int4 = bench.InFewBits(bench.Layer);
        var dense = int4.Corrected(rank);
        var sum = Matrix.Sum([dense.Weight.Dequantize(), Times(dense.Correction!.Up.Dequantize(), Correction.DownOf(dense.Correction.Down, dense.Correction.Rank))]);

        // Damping the moment adds errors in directions that samples hardly have.
        Assert.InRange(int4.CorrectedError(rank) / Measured(bench, sum), 1, 1.3);
        for (int o = 0; o < sum.Rows; o++)
        {
            Assert.Equal(sum.Row(o).ToArray().Max(Math.Abs), dense.Correction.Largest[o], 1e-6);
        }
        double[] mean = bench.Measured.Moments[bench.Layer][0].Mean();
        var weight = bench.Layer.ReadWeight();
        double Lost(int o) => Enumerable.Range(0, mean.Length).Sum(i => (weight[o, i] - sum[o, i]) * mean[i]);
        Assert.All(Enumerable.Range(0, sum.Rows), o => Assert.Equal(Lost(o), dense.Gains[0]![o], 9));
    }

    [Fact]
    public void Only_matrices_whose_inputs_are_known_exactly_are_corrected()
    {
        var bench = Graded(outputs: 130);
        var unknown = new NBitWeights(s_algebra, bench.Layer, bench.Decompose(bench.Layer), null, new double[1][]);
        var uncut = new NBitWeights(s_algebra, bench.Layer, null, new(Matrix.Identity(bench.Layer.In), [1]), new double[1][]);

        Assert.Empty(unknown.CorrectionRanks);
        Assert.Empty(uncut.CorrectionRanks);
        var (narrow, wider) = (Graded(outputs: 31), Graded(outputs: 32));
        Assert.Empty(narrow.InFewBits(narrow.Layer).CorrectionRanks); // a quarter of it is below every rank
        Assert.Equal([8], wider.InFewBits(wider.Layer).CorrectionRanks);
    }

    [Fact]
    public void The_gains_restore_the_mean()
    {
        var bench = Open("Gemm");
        var dense = bench.InFewBits(bench.Layer).Dense(new NBitGrid(4));
        double[] mean = bench.Measured.Moments[bench.Layer][0].Mean();
        var (weight, stored) = (bench.Layer.ReadWeight(), dense.Weight.Dequantize());
        for (int o = 0; o < weight.Rows; o++)
        {
            double wanted = Enumerable.Range(0, mean.Length).Sum(i => weight[o, i] * mean[i]);
            double got = dense.Gains[0]![o] + Enumerable.Range(0, mean.Length).Sum(i => stored[o, i] * mean[i]);
            Assert.Equal(wanted, got, 9);
        }
    }
}
