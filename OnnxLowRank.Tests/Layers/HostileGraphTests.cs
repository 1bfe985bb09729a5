using OnnxLowRank.Layers;
using OnnxLowRank.Onnx;
using OnnxLowRank.Onnx.Proto;

namespace OnnxLowRank.Tests.Layers;

/// <summary>Graphs that can be read and are made to mislead whoever looks for layers.</summary>
public class HostileGraphTests
{
    const string NotFinite = "its weight holds NaN, infinity or numbers beyond 1e15";

    /// <summary>A model of x (?, 24), with whatever else a test adds.</summary>
    static TinyModel Model()
    {
        var model = new TinyModel();
        model.Input("x", null, 24);
        return model;
    }

    static FoundLayers Find(TinyModel model) => LayerFinder.Find(model.Build(), new());

    static string[] Reasons(TinyModel model)
    {
        var found = Find(model);
        Assert.Empty(found.Layers);
        return [.. found.LeftAlone.Select(alone => alone.Reason)];
    }

    static string View(TinyModel model, string value, int times)
    {
        for (int i = 0; i < times; i++)
        {
            value = model.Node("Identity", [value], $"{value[0]}{i}");
        }
        return value;
    }

    [Fact]
    public void Long_chains_of_views_neither_overflow_the_stack_nor_are_followed_by_every_reader()
    {
        var model = Model();
        string end = View(model, model.Weight("w", 24, 16), 100_000);
        for (int i = 0; i < 10_000; i++)
        {
            model.Node("MatMul", ["x", end], $"y{i}");
            model.Node("Gather", [end, "x"], $"z{i}");
        }

        string[] reasons = Reasons(model);

        Assert.Equal(10_000, reasons.Length);
        Assert.All(reasons, reason => Assert.StartsWith("its weight is computed by '", reason, StringComparison.Ordinal));
    }

    [Fact]
    public void As_many_views_as_anyone_needs_are_seen_through()
    {
        var model = Model();
        model.Node("MatMul", ["x", View(model, model.Weight("w", 24, 16), Constant.MostViews)], "y");

        Assert.Equal("w", Assert.Single(Find(model).Layers).Weight.Root);
    }

    [Theory]
    [InlineData(48L, 16L)]
    [InlineData(-1L, 7L)]
    [InlineData(-1L, -1L)]
    [InlineData(-2L, -192L)]
    [InlineData(1L << 32, 1L << 32)]
    [InlineData(-1L, 0L, 0L, 0L)]
    public void A_Reshape_that_the_elements_do_not_fill_is_an_error_that_names_the_node(params long[] shape)
    {
        var model = Model();
        model.Node("Reshape", [model.Weight("stored", 24, 16), model.Ints("shape", shape)], "w");
        model.Node("MatMul", ["x", "w"], "y");

        Assert.Equal($"node 'w_node' (Reshape): [{string.Join(',', shape)}] is no shape for a tensor of [24,16]", Assert.Throws<ModelException>(() => Find(model)).Message);
    }

    [Fact]
    public void Axes_are_compared_in_all_their_bits()
    {
        var model = Model();
        model.Node("Transpose", [model.Weight("stored", 16, 24)], "w", ("perm", new[] { 1, 1L << 32 }));
        model.Node("MatMul", ["x", "w"], "y");

        Assert.Equal("node 'w_node' (Transpose): perm does not fit a tensor of rank 2", Assert.Throws<ModelException>(() => Find(model)).Message);
    }

    [Theory]
    [InlineData(float.NaN)]
    [InlineData(float.PositiveInfinity)]
    [InlineData(float.NegativeInfinity)]
    [InlineData(-2e15f)]
    public void Weights_that_are_not_finite_are_left_alone(float odd)
    {
        foreach (int at in new[] { 0, 200, 24 * 16 - 1 })
        {
            var model = Model();
            float[] values = TinyModel.Random([24, 16], 1);
            values[at] = odd;
            model.Node("MatMul", ["x", model.Floats("w", values, 24, 16)], "y");
            string doubles = model.Tensor(TensorData.Create<double>("d", TensorProto.Types.DataType.Double, [.. values.Select(value => (double)value)], 24, 16));
            model.Node("MatMul", ["x", model.Node("Cast", [doubles], "c", ("to", 1))], "z");

            Assert.Equal([NotFinite, NotFinite], Reasons(model));
        }
    }

    [Fact]
    public void A_factor_that_is_not_finite_counts_as_its_weight()
    {
        var model = Model();
        model.Node("Gemm", ["x", model.Weight("w", 24, 16)], "y", ("alpha", float.NaN));

        Assert.Equal([NotFinite], Reasons(model));
    }

    [Fact]
    public void A_norm_with_a_variance_below_zero_is_not_absorbed()
    {
        var model = Model();
        model.Node("Reshape", ["x", model.Ints("pixels", 0, 2, 3, 4)], "p");
        model.Node("Conv", ["p", model.Weight("w", 16, 2, 2, 2)], "c");
        float[] variance = [.. Enumerable.Repeat(1f, 15), -1];
        model.Node("BatchNormalization", ["c", model.Weight("g", 16), model.Weight("b", 16), model.Weight("m", 16), model.Floats("v", variance, 16)], "n");
        model.Outputs("n");

        Assert.Empty(Assert.Single(Find(model).Layers).Uses[0].Absorbed);
    }

    [Fact]
    public void A_C_of_three_axes_is_no_bias()
    {
        var model = Model();
        model.Node("Gemm", ["x", model.Weight("w", 24, 16), model.Weight("c", 1, 7, 1)], "y");

        Assert.Equal("c", Assert.Single(Find(model).Layers).Uses[0].Addend);
    }

    [Fact]
    public void One_bias_of_thousands_of_nodes_does_not_fill_memory()
    {
        var model = Model();
        model.Weight("w", 24, 4096);
        model.Weight("b", 4096);
        for (int i = 0; i < 20_000; i++)
        {
            model.Node("Gemm", ["x", "w", "b"], $"y{i}");
        }
        long before = GC.GetAllocatedBytesForCurrentThread();

        Assert.Contains("too many nodes before it share weights and biases", Find(model).LeftAlone.Select(alone => alone.Reason));
        Assert.InRange(GC.GetAllocatedBytesForCurrentThread() - before, 0, 200 << 20); // of 650 MB
    }
}
