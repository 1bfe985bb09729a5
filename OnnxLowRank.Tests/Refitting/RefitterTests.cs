using OnnxLowRank.Layers;
using OnnxLowRank.Onnx;
using OnnxLowRank.Planning;
using OnnxLowRank.Refitting;
using OnnxLowRank.Rewriting;

namespace OnnxLowRank.Tests.Refitting;

public class RefitterTests
{
    const int Count = 900, Fitted = 600;

    /// <summary>Two layers with a Relu between: what the first one loses reaches the second.</summary>
    static Bench Open(string kind, int count = Count)
    {
        var model = new TinyModel();
        long[] sample = kind switch { "Conv" => [6, 5, 5], "Gemm" => [24], "left" => [20, 24], _ => [6, 24] };
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
                model.Node("Gemm", ["r", model.Weight("w2", 20, 16), model.Weight("b2", 16)], "y2", ("alpha", 0.5f));
                break;
            case "left":
                model.Node("MatMul", ["x", model.Weight("w1", 24, 20)], "y1");
                model.Node("Relu", ["y1"], "r");
                model.Node("MatMul", [model.Weight("w2", 16, 20), "r"], "y2");
                break;
            case "twice":
                model.Node("MatMul", ["x", model.Weight("w1", 24, 20)], "y1");
                model.Node("Relu", ["y1"], "r");
                model.Node("Neg", ["y1"], "negative");
                model.Node("Relu", ["negative"], "n");
                model.Node("MatMul", ["r", model.Weight("w2", 20, 16)], "a");
                model.Node("MatMul", ["n", "w2"], "b");
                model.Node("Add", ["a", "b"], "y2");
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
    [InlineData(20, 512, 600, 1e7, 20, 600)] // small: all that helps
    [InlineData(20, 512, 64, 1e8, 20, 64)]
    [InlineData(20, 64, 1000, 3e8, 13, 64)] // then fewer blocks
    [InlineData(72, 48, 1000, 1.1e10, 6, 16)] // the size of BERT
    [InlineData(4, 48, 1000, 1.1e10, 4, 16)]
    [InlineData(20, 512, 10, 1e13, 6, 10)]
    public void Large_models_get_fewer_blocks_then_fewer_samples(int layers, int enough, int samples, double macs, int blocks, int used) =>
        Assert.Equal((blocks, used), Refitter.Effort([.. Enumerable.Repeat(enough, layers)], samples, macs));

    static LayerPlan[] Plans(Bench bench, Func<Layer, LayerPlan> second) =>
        [new LayerPlan.Factorize(bench.Found.Layers[0], bench.Found.Layers[0].Out / 5, WeightFormat.Float32), second(bench.Found.Layers[1])];

    static LayerPlan[] Pairs(Bench bench, WeightFormat format = WeightFormat.Float32) => Plans(bench, layer => new LayerPlan.Factorize(layer, layer.Out * 3 / 4, format));

    static double Error(Bench bench, OnnxModel rewritten, int from)
    {
        float[] Rest(OnnxModel model)
        {
            float[] values = bench.Run(model, "y2")[0].Values;
            return values[(values.Length / Count * from)..];
        }
        return ModelRuns.Distance(Rest(bench.Model), Rest(rewritten));
    }

    public static TheoryData<string, WeightFormat, bool> Ways()
    {
        var ways = new TheoryData<string, WeightFormat, bool>();
        foreach (string kind in new[] { "Conv", "Gemm", "MatMul", "twice" })
        {
            foreach (var format in new[] { WeightFormat.Float32, WeightFormat.Int8, WeightFormat.Int4 })
            {
                ways.Add(kind, format, true);
                if (format != WeightFormat.Float32)
                {
                    ways.Add(kind, format, false);
                }
            }
        }
        ways.Add("left", WeightFormat.Float32, true);
        return ways;
    }

    [Theory]
    [MemberData(nameof(Ways))]
    public void Outputs_come_nearer_on_samples_that_were_not_fitted(string kind, WeightFormat format, bool isCut)
    {
        var bench = Open(kind);
        var plans = isCut ? Pairs(bench, format) : Plans(bench, layer => new LayerPlan.Quantize(layer, format));

        var (refitted, refits) = bench.Refit(plans, Fitted);

        var plain = bench.Rewrite(Dialect.Ort, layer => plans.Single(plan => plan.Layer == layer));
        Assert.Equal([bench.Found.Layers[1]], refits.Keys); // what the first one reads is what it was
        double before = Error(bench, plain.Model, Fitted), after = Error(bench, refitted.Model, Fitted);
        Assert.True(after < 0.99 * before, $"{before:g4} became {after:g4}");
    }

    /// <summary>The weight of a layer that reads the original's values is fitted as well to those as they are: nothing but M and c can make the difference.</summary>
    [Fact]
    public void A_refitted_layer_is_as_large_as_before()
    {
        var bench = Open("Gemm");
        var plans = Plans(bench, layer => new LayerPlan.Quantize(layer, WeightFormat.Int8));

        var (refitted, _) = bench.Refit(plans, Fitted);

        var plain = bench.Rewrite(Dialect.Ort, layer => plans.Single(plan => plan.Layer == layer));
        Assert.Equal(plain.Model.Graph.Node.Select(node => node.OpType), refitted.Model.Graph.Node.Select(node => node.OpType));
        Assert.Equal(plain.Model.ToBytes().Length, refitted.Model.ToBytes().Length);
    }

    [Fact]
    public void What_does_not_carry_over_to_other_samples_is_not_kept()
    {
        var bench = Open("Gemm", count: 24);

        var (_, refits) = bench.Refit(Pairs(bench), samples: 5);

        Assert.Empty(refits);
    }

    [Fact]
    public void Layers_that_are_kept_are_left_alone()
    {
        var bench = Open("Conv");

        var (_, refits) = bench.Refit(Plans(bench, layer => new LayerPlan.Keep(layer)), Fitted);

        Assert.Empty(refits);
    }

    [Theory]
    [InlineData(10, 1, 320)]
    [InlineData(3, 1, 96)]
    [InlineData(100, 1, 512)]
    [InlineData(100, 128, 25)]
    [InlineData(4, 1024, 16)]
    public void Layers_that_see_many_vectors_in_a_sample_need_fewer_samples(int channels, double vectors, int samples) =>
        Assert.Equal(samples, Refitter.Enough(channels, vectors));

    [Fact]
    public void Layers_whose_moments_take_too_much_memory_stay_as_they_are()
    {
        var bench = Open("MatMul");
        var plans = Pairs(bench);
        double bytes = 32.0 * 20 * 20;

        Assert.Contains(plans[1].Layer, bench.Refit(plans, Fitted, 3.1 * bytes).Refits);
        Assert.DoesNotContain(plans[1].Layer, bench.Refit(plans, Fitted, 2.9 * bytes).Refits);
    }
}
