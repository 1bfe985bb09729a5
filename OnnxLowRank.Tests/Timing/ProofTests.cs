using OnnxLowRank.Layers;
using OnnxLowRank.Planning;
using OnnxLowRank.Tests.Rewriting;
using OnnxLowRank.Timing;

namespace OnnxLowRank.Tests.Timing;

public class ProofTests
{
    /// <summary>A cache that is not on disk.</summary>
    static TimingCache Forgotten => new("", new("", "", "", "", 1), _ => { });

    static LayerProof Times(double one, double each, double oneAfter, double eachAfter, string kernelAfter = "DynamicQuantizeMatMul") =>
        new(new(one, each, ["MatMul"]), new(oneAfter, eachAfter, [kernelAfter]));

    [Fact]
    public void Slower_layers_are_those_that_take_more_time_in_both_kinds_of_runs_together()
    {
        var (model, samples) = LayerCases.Make("Conv");
        var layer = new Bench(model, samples).Layer;
        Layer Named(string name) => layer with { Name = name };

        var proof = new Proof(new Dictionary<Layer, LayerProof>
        {
            [Named("faster")] = Times(100, 10, 50, 5),
            [Named("slower")] = Times(100, 10, 120, 12),
            [Named("slower on the same kernel")] = Times(100, 10, 120, 12, "MatMul"),
            [Named("as fast")] = Times(100, 10, 101, 10.1),
            [Named("tiny, slower by less than a clock's tick")] = Times(1, 0.1, 1.5, 0.15),
            [Named("slower for one, faster for many")] = Times(100, 10, 120, 5),
            [Named("faster for one, slower for many")] = Times(100, 10, 90, 15),
        });

        Assert.Equal(["faster for one, slower for many", "slower"], proof.Slower.Select(slower => slower.Name).Order());
    }

    [Fact]
    public void Layers_whose_own_times_mislead_are_not_slower()
    {
        var (model, samples) = LayerCases.Make("Conv");
        var layer = new Bench(model, samples).Layer;
        var other = layer with { Name = "other" };

        var proof = new Proof(new Dictionary<Layer, LayerProof> { [layer] = Times(100, 10, 120, 12), [other] = Times(100, 10, 120, 12) }, new HashSet<Layer> { layer });

        Assert.Equal([other], proof.Slower);
    }

    [Fact]
    public void Rewritten_layers_are_timed_and_kept_ones_are_not()
    {
        // Three layers, two of them alike.
        var model = new TinyModel();
        model.Input("x", null, 24);
        model.Node("MatMul", ["x", model.Weight("w1", 24, 24)], "a");
        model.Node("Tanh", ["a"], "b");
        model.Node("MatMul", ["b", model.Weight("w2", 24, 24)], "c");
        model.Node("Tanh", ["c"], "d");
        model.Node("MatMul", ["d", model.Weight("w3", 24, 16)], "y");
        model.Outputs("y");
        var bench = new Bench(model.Build(), new([Feed.Random("x", 16, 24)]));
        var layers = bench.Found.Layers;

        var proof = Proof.Of(bench.Timer(), Forgotten,
        [
            new LayerPlan.Factorize(layers[0], 4, WeightFormat.Int8), new LayerPlan.Quantize(layers[1], WeightFormat.Int8), new LayerPlan.Keep(layers[2]),
        ]);

        Assert.Equal(layers.Take(2), proof.Layers.Keys);
        Assert.Equal(["DynamicQuantizeMatMul", "DynamicQuantizeMatMul"], proof.Layers[layers[0]].After.Kernels);
        Assert.Equal(["DynamicQuantizeMatMul"], proof.Layers[layers[1]].After.Kernels);
        Assert.All(proof.Layers.Values, layer => Assert.Equal(["MatMul"], layer.Before.Kernels));
    }

    [Fact]
    public void Times_are_remembered()
    {
        var (model, samples) = LayerCases.Make("MatMul");
        var bench = new Bench(model, samples);
        LayerPlan[] plans = [new LayerPlan.Quantize(bench.Layer, WeightFormat.Int8)];
        var cache = Forgotten;

        var first = Proof.Of(bench.Timer(), cache, plans).Layers[bench.Layer];
        var second = Proof.Of(bench.Timer(), cache, plans).Layers[bench.Layer];

        Assert.Same(first.Before, second.Before);
        Assert.Same(first.After, second.After);
        Assert.NotSame(first.Before, first.After);
    }

    [Fact]
    public void A_weight_that_is_applied_twice_takes_its_time_twice()
    {
        var model = new TinyModel();
        model.Input("x", null, 24);
        string weight = model.Weight("w", 24, 24);
        model.Node("MatMul", ["x", weight], "a");
        model.Node("Tanh", ["a"], "b");
        model.Node("MatMul", ["b", weight], "y");
        model.Outputs("y");
        var bench = new Bench(model.Build(), new([Feed.Random("x", 16, 24)]));

        var proof = Proof.Of(bench.Timer(), Forgotten, [new LayerPlan.Quantize(bench.Layer, WeightFormat.Int8)]);

        Assert.Equal(2, proof.Layers[bench.Layer].After.Kernels.Count);
        Assert.Equal(2, proof.Layers[bench.Layer].Before.Kernels.Count);
    }
}
