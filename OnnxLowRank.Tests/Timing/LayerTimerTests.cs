using OnnxLowRank.Layers;
using OnnxLowRank.Onnx;
using OnnxLowRank.Planning;
using OnnxLowRank.Rewriting;
using OnnxLowRank.Tests.Rewriting;

namespace OnnxLowRank.Tests.Timing;

/// <summary>What is timed is what is emitted. How long it takes depends on the machine and is not tested.</summary>
public class LayerTimerTests
{
    public static TheoryData<string> Cases => [.. LayerCases.Names];

    static IEnumerable<LayerPlan> Plans(Layer layer)
    {
        int rank = Bench.LowRank(layer);
        yield return new LayerPlan.Keep(layer);
        yield return new LayerPlan.Factorize(layer, rank, WeightFormat.Float32);
        if (layer.Kind != LayerKind.LeftMatMul && layer.Uses[0].Addend == null)
        {
            yield return new LayerPlan.Quantize(layer, WeightFormat.Int8);
            yield return new LayerPlan.Factorize(layer, rank, WeightFormat.Int8);
        }
        if (layer.Kind is LayerKind.MatMul or LayerKind.Gemm && layer.Uses[0].Addend == null)
        {
            yield return new LayerPlan.Quantize(layer, WeightFormat.Int4, Block: 32);
            yield return new LayerPlan.Factorize(layer, rank, WeightFormat.Int4);
            yield return new LayerPlan.Factorize(layer, rank, WeightFormat.Int4, Block: 16);
        }
    }

    /// <summary>Models too large to be open beside others: the last one is timed like the ones before it.</summary>
    [Fact]
    public void A_layer_that_is_timed_by_itself_is_timed_once()
    {
        const int In = 512, Out = 70_000; // 137 MiB
        var tiny = new TinyModel();
        tiny.Input("x", null, In);
        tiny.Node("MatMul", ["x", tiny.Weight("w", In, Out)], "y_node");
        tiny.Outputs("y_node");
        var bench = new Bench(tiny.Build(), new MemorySamples([Feed.Random("x", 4, In)]));

        Assert.Single(bench.Timer().Measure([new LayerPlan.Keep(bench.Layer)], use: 0));
    }

    [Theory, MemberData(nameof(Cases))]
    public void A_layer_alone_becomes_the_same_nodes_as_in_its_model(string name)
    {
        var (model, samples) = LayerCases.Make(name);
        var bench = new Bench(model, samples, new(Only: new("^y_node$")));
        var (layer, use) = (bench.Layer, bench.Layer.Uses[0]);
        var timer = bench.Timer();

        // Nodes of the rewritten model that are the layer's own or that the original does not have.
        var own = use.Absorbed.Append(use.Node).SelectMany(node => node.Output).Append(use.Activation).ToHashSet();
        var beside = model.Graph.Node.SelectMany(node => node.Output).Except(own).ToHashSet();
        IEnumerable<string> Emitted(OnnxModel rewritten) =>
            rewritten.Graph.Node.Where(node => !beside.Contains(node.Output[0])).Select(node => node.OpType).Order();
        foreach (var plan in Plans(layer))
        {
            Assert.Equal(Emitted(bench.Rewrite(Dialect.Ort, _ => plan).Model), Emitted(timer.Model(plan, use: 0)));
        }
    }

    [Theory, MemberData(nameof(Cases))]
    public void Every_way_to_do_a_layer_runs_alone(string name)
    {
        var (model, samples) = LayerCases.Make(name);
        var bench = new Bench(model, samples, new(Only: new("^y_node$")));
        LayerPlan[] plans = [.. Plans(bench.Layer)];

        var times = bench.Timer().Measure(plans, use: 0);

        Assert.Equal(plans.Length, times.Length);
        Assert.All(times, time => Assert.True(time.One >= 0 && time.Each >= 0 && time.Kernels.Count > 0));
    }

    [Theory]
    [InlineData("Conv", "QLinearConv")]
    [InlineData("Conv then Relu and MaxPool", "QLinearConv")]
    [InlineData("Conv then residual Add", "QLinearConv")]
    [InlineData("Gemm", "DynamicQuantizeMatMul")]
    [InlineData("MatMul then Add", "DynamicQuantizeMatMul")]
    public void Conversions_at_the_ends_do_not_count(string name, string kernel)
    {
        var (model, samples) = LayerCases.Make(name);
        var bench = new Bench(model, samples);

        var times = bench.Timer().Measure([.. Plans(bench.Layer)], use: 0);

        Assert.Equal([kernel], times[2].Kernels);
        Assert.Equal([kernel, kernel], times[3].Kernels);
    }

    static readonly string[] s_different =
    [
        "MatMul", "MatMul of rank 3", "MatMul then Add", "LeftMatMul without batch", "Gemm", "Gemm transB", "Gemm transA", "Gemm without C",
        "Gemm transA, addend (N, m)", "Conv", "Conv with groups", "Conv with groups, no bias", "Conv over one axis", "Conv over three axes", "Conv of a point",
        "Conv then Add", "Conv then BatchNormalization", "Conv then Relu", "Conv with bias and pads", "Conv with bias then BatchNormalization",
    ];

    /// <summary>All distinct in one thing that decides what runs.</summary>
    [Fact]
    public void Whatever_decides_what_runs_is_in_the_key()
    {
        string Key(string name, Func<Layer, LayerPlan>? plan = null, Dialect dialect = Dialect.Ort, int opset = 17)
        {
            var (model, samples) = LayerCases.Make(name, opset);
            var bench = new Bench(model, samples, new(Only: new("^y_node$")));
            return bench.Timer(dialect).Key((plan ?? (layer => new LayerPlan.Keep(layer)))(bench.Layer), use: 0);
        }
        string[] keys =
        [
            .. s_different.Select(name => Key(name)),
            Key("Conv", dialect: Dialect.Onnx), Key("Conv", opset: 16),
            Key("Conv", layer => new LayerPlan.Quantize(layer, WeightFormat.Int8)),
            Key("Conv", layer => new LayerPlan.Factorize(layer, 3, WeightFormat.Int8)),
            Key("Conv", layer => new LayerPlan.Factorize(layer, 4, WeightFormat.Int8)),
            Key("Conv", layer => new LayerPlan.Factorize(layer, 4, WeightFormat.Float32)),
        ];

        Assert.Equal([], keys.GroupBy(key => key).Where(group => group.Count() > 1).Select(group => group.Key));
        Assert.Equal(keys[0], Key(s_different[0]));
    }
}
