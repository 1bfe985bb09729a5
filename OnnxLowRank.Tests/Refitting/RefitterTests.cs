using OnnxLowRank.Onnx;
using OnnxLowRank.Planning;
using OnnxLowRank.Refitting;

namespace OnnxLowRank.Tests.Refitting;

public class RefitterTests
{
    const int Count = 900, Fitted = 600;

    /// <summary>Two layers with a Relu between: what the first one loses reaches the second.</summary>
    static Bench Open(string kind, int count = Count)
    {
        var model = new TinyModel();
        long[] sample = kind switch { "Conv" => [6, 5, 5], "Gemm" => [24], _ => [6, 24] };
        model.Input("x", [null, .. sample.Select(dim => (long?)dim)]);
        switch (kind)
        {
            case "Conv":
                model.Node("Conv", ["x", model.Weight("w1", 16, 6, 3, 3), model.Weight("b1", 16)], "y1", ("pads", new long[] { 1, 1, 1, 1 }));
                model.Node("Relu", ["y1"], "r");
                model.Node("Conv", ["r", model.Weight("w2", 12, 16, 3, 3), model.Weight("b2", 12)], "y2");
                break;
            case "Gemm":
                model.Node("Gemm", ["x", model.Weight("w1", 24, 20), model.Weight("b1", 20)], "y1");
                model.Node("Relu", ["y1"], "r");
                model.Node("Gemm", ["r", model.Weight("w2", 20, 16), model.Weight("b2", 16)], "y2");
                break;
            default:
                model.Node("MatMul", ["x", model.Weight("w1", 24, 20)], "y1");
                model.Node("Relu", ["y1"], "r");
                model.Node("MatMul", ["r", model.Weight("w2", 20, 16)], "y2");
                break;
        }
        model.Outputs("y2");
        return new(model.Build(), new([Feed.Random("x", count, sample)]));
    }

    [Theory]
    [InlineData(1000, 1e8, 8, 512)] // small: all that helps
    [InlineData(64, 1e9, 8, 64)]
    [InlineData(1000, 1.1e10, 6, 30)] // the size of BERT
    [InlineData(1000, 1e13, 6, 16)]
    [InlineData(10, 1e13, 6, 10)]
    public void Large_models_get_fewer_blocks_then_fewer_samples(int samples, double macs, int blocks, int used) =>
        Assert.Equal((blocks, used), Refitter.Effort(samples, macs));

    static LayerPlan[] Plans(Bench bench, WeightFormat format = WeightFormat.Float32) =>
        [.. bench.Found.Layers.Select((layer, i) => new LayerPlan.Factorize(layer, i == 0 ? layer.Out / 5 : layer.Out * 3 / 4, format))];

    static double Error(Bench bench, OnnxModel rewritten, int from)
    {
        float[] Rest(OnnxModel model)
        {
            float[] values = bench.Run(model, "y2")[0].Values;
            return values[(values.Length / Count * from)..];
        }
        return ModelRuns.Distance(Rest(bench.Model), Rest(rewritten));
    }

    [Theory]
    [InlineData("Conv")]
    [InlineData("Gemm")]
    [InlineData("MatMul")]
    public void Outputs_come_nearer_on_samples_that_were_not_fitted(string kind)
    {
        var bench = Open(kind);
        foreach (var format in new[] { WeightFormat.Float32, WeightFormat.Int8 })
        {
            var plans = Plans(bench, format);
            var (refitted, refits) = bench.Refit(plans, Fitted);
            var plain = bench.Rewrite(OnnxLowRank.Rewriting.Dialect.Ort, layer => plans.Single(plan => plan.Layer == layer));

            Assert.Contains(bench.Found.Layers[1], refits.Keys);
            double before = Error(bench, plain.Model, Fitted), after = Error(bench, refitted.Model, Fitted);
            Assert.True(after < 0.99 * before, $"{before:g4} became {after:g4}");
        }
    }

    /// <summary>Against the vectors themselves, fetched from both models: Up·(Cov(h) + λ·I) = Cov(y, h) + λ·Up₀ for one of the λ, and no mean is lost.</summary>
    [Fact]
    public void Up_and_bias_are_the_least_squares_solution()
    {
        var bench = Open("Gemm");
        var plans = Plans(bench);
        var second = (LayerPlan.Factorize)plans[1];

        var (refitted, refits) = bench.Refit(plans, 512);

        const int Used = 384; // a quarter judges
        var (rank, size) = (second.Rank, second.Layer.Out);
        double[][] Centred(float[][] vectors)
        {
            double[] mean = [.. Enumerable.Range(0, vectors[0].Length).Select(i => vectors.Average(vector => (double)vector[i]))];
            return [.. vectors.Select(vector => vector.Select((value, i) => value - mean[i]).ToArray())];
        }
        float[][] h = bench.Run(refitted.Model, refitted.Inner[second.Layer.Uses[0]])[0].Vectors(1)[..Used];
        float[][] y = bench.Run(bench.Model, "y2")[0].Vectors(1)[..Used];
        float[][] fitted = bench.Run(refitted.Model, "y2")[0].Vectors(1)[..Used];
        var (hc, yc) = (Centred(h), Centred(y));
        var decomposition = bench.Decompose(second.Layer);
        float[] old = decomposition.CutUp(rank, decomposition.Scales(rank, balanced: false)), up = refits[second.Layer].Up.Span.ToArray();
        double variance = hc.Average(vector => vector.Sum(value => value * value)) / rank;

        // What is left of the gradient, as a part of what it is at the old Up.
        double Gradient(float[] at, double damping)
        {
            double total = 0;
            for (int o = 0; o < size; o++)
            {
                double[] residual = [.. hc.Zip(yc, (a, b) => b[o] - a.Select((value, k) => value * at[o * rank + k]).Sum())];
                for (int k = 0; k < rank; k++)
                {
                    total += Math.Pow(hc.Zip(residual, (a, r) => a[k] * r).Average() - damping * variance * (at[o * rank + k] - old[o * rank + k]), 2);
                }
            }
            return Math.Sqrt(total);
        }
        double[] dampings = [1e-2, 1e-1, 1, 10];
        Assert.InRange(dampings.Min(damping => Gradient(up, damping) / Gradient(old, damping)), 0, 1e-3);

        for (int o = 0; o < size; o++)
        {
            double spread = Math.Sqrt(yc.Average(vector => vector[o] * vector[o]));
            Assert.InRange(fitted.Zip(y, (a, b) => (double)b[o] - a[o]).Average() / spread, -1e-4, 1e-4);
        }
    }

    [Fact]
    public void What_does_not_carry_over_to_other_samples_is_not_kept()
    {
        var bench = Open("Gemm", count: 24);

        var (_, refits) = bench.Refit(Plans(bench), samples: 8);

        Assert.Empty(refits); // six vectors fit six directions: perfect there, useless elsewhere
    }

    [Fact]
    public void Layers_without_Up_and_those_that_are_kept_are_left_alone()
    {
        var bench = Open("Conv");
        var (first, second) = (bench.Found.Layers[0], bench.Found.Layers[1]);

        var (_, refits) = bench.Refit([new LayerPlan.Keep(first), new LayerPlan.Factorize(second, second.Out, WeightFormat.Float32, InputRank: 5)], Fitted);

        Assert.Empty(refits);
    }

    [Theory]
    [InlineData(10, 1, 512)]
    [InlineData(3, 1, 192)]
    [InlineData(100, 128, 50)]
    [InlineData(4, 1024, 16)]
    public void Layers_that_see_many_vectors_in_a_sample_need_fewer_samples(int rank, double vectors, int samples) =>
        Assert.Equal(samples, Refitter.Enough(rank, vectors));

    [Fact]
    public void Layers_whose_moments_take_too_much_memory_keep_what_was_cut()
    {
        var bench = Open("MatMul");
        var plans = Plans(bench);
        var second = (LayerPlan.Factorize)plans[1];
        double bytes = 16.0 * second.Rank * (second.Rank + second.Layer.Out);

        Assert.Contains(second.Layer, bench.Refit(plans, Fitted, 3.1 * bytes).Refits);
        Assert.DoesNotContain(second.Layer, bench.Refit(plans, Fitted, 2.9 * bytes).Refits);
    }
}
