using OnnxLowRank.Factorization;
using OnnxLowRank.Layers;
using OnnxLowRank.Numerics;
using OnnxLowRank.Onnx;
using OnnxLowRank.Planning;
using OnnxLowRank.Quantization;
using OnnxLowRank.Rewriting;
using static OnnxLowRank.Onnx.Proto.TensorProto.Types;

namespace OnnxLowRank.Tests.Rewriting;

/// <summary>Embedding tables and other constants in few bits: every row that is looked up is the row that was stored.</summary>
public class TableTests
{
    /// <summary>One multiplication of two floats.</summary>
    const double Rounding = 1e-6;

    public static TheoryData<string> Cases => [.. LayerCases.NamesWith("Gather")];

    public static TheoryData<string, int, WeightFormat> Opsets => [.. (
        from opset in new[] { 7, 8, 10, 11, 13, 17, 18, 21, 24 }
        from format in new[] { WeightFormat.Int8, WeightFormat.Int4 }
        where format == WeightFormat.Int8 || opset >= Unpacking.OldestOpset
        select ("Gather", opset, format))];

    static Bench Open(string name, int opset = 17)
    {
        var (model, samples) = LayerCases.Make(name, opset);
        return new(model, samples);
    }

    /// <summary>The table (rows, columns) as it was stored.</summary>
    static Matrix Stored(Bench bench, WeightFormat format)
    {
        var layer = bench.Layer;
        if (format == WeightFormat.Int4)
        {
            return bench.InFewBits(layer).Dense(new NBitGrid(4)).Weight.Dequantize();
        }
        var rows = Int8.PerRow(layer.Weight.Read(), layer.In);
        return new(layer.In, layer.Out, [.. rows.Values.Select((value, i) => (double)rows.Scales[i / layer.Out] * value)]);
    }

    /// <summary>Which rows the ids point at is read off the original's output: its rows are all different.</summary>
    static void AssertLooksUp(Bench bench, WeightFormat format, Dialect dialect)
    {
        var layer = bench.Layer;
        float[] table = layer.Weight.Read();
        var stored = Stored(bench, format);
        var original = bench.Run(bench.Model, "y")[0];
        int[] ids = [.. original.Vectors(original.Shape.Length - 1).Select(row => Enumerable.Range(0, layer.In).Single(id => table.AsSpan(id * layer.Out, layer.Out).SequenceEqual(row)))];
        Assert.True(ids.Max() > layer.In / 2 + 2 && ids.Min() < layer.In / 2 - 2, "ids of both signs are tested");

        var actual = bench.Run(bench.Rewrite(dialect, _ => new LayerPlan.Quantize(layer, format)).Model, "y")[0];

        Assert.Equal(original.Shape, actual.Shape);
        ModelRuns.AssertNear(original with { Values = [.. ids.SelectMany(id => stored.Row(id).ToArray()).Select(value => (float)value)] }, actual, Rounding);
    }

    [Theory, MemberData(nameof(Cases))]
    public void A_table_in_8_bits_gives_the_rows_that_were_stored(string name) => AssertLooksUp(Open(name), WeightFormat.Int8, Dialect.Ort);

    [Theory, MemberData(nameof(Cases))]
    public void A_table_in_4_bits_gives_the_rows_that_were_stored(string name) => AssertLooksUp(Open(name), WeightFormat.Int4, Dialect.Ort);

    [Theory, MemberData(nameof(Opsets))]
    public void Every_opset_gives_the_rows_that_were_stored(string name, int opset, WeightFormat format) => AssertLooksUp(Open(name, opset), format, Dialect.Onnx);

    [Theory]
    [InlineData(WeightFormat.Int8, 6e-3)]
    [InlineData(WeightFormat.Int4, 0.12)]
    public void Rounding_a_table_loses_what_its_bits_must(WeightFormat format, double most)
    {
        var bench = Open("Gather");

        ModelRuns.AssertNear(bench.Run(bench.Model, "y")[0], bench.Run(bench.Rewrite(Dialect.Ort, _ => new LayerPlan.Quantize(bench.Layer, format)).Model, "y")[0], most);
    }

    /// <summary>One scale for the whole table would round the small rows to nothing.</summary>
    [Theory]
    [InlineData(WeightFormat.Int8, 6e-3)]
    [InlineData(WeightFormat.Int4, 0.12)]
    public void Rows_of_very_different_size_are_rounded_alike(WeightFormat format, double most)
    {
        var (model, samples) = LayerCases.Make("Gather");
        var table = model.Graph.Initializer.Single(tensor => tensor.Name == "w");
        float[] values = [.. table.ToFloats().Select((value, i) => value * MathF.Pow(10, i / 16 % 7 - 3))];
        table.RawData = TensorData.Floats("w", values, 24, 16).RawData;
        var bench = new Bench(model, samples);

        var stored = Stored(bench, format);

        for (int i = 0; i < stored.Rows; i++)
        {
            Assert.InRange(ModelRuns.Distance(values.AsSpan(i * 16, 16), Array.ConvertAll(stored.Row(i).ToArray(), value => (float)value)), 1e-4, 2 * most);
        }
    }

    [Theory]
    [InlineData("quantize", WeightFormat.Int8)]
    [InlineData("quantize", WeightFormat.Int4)]
    [InlineData("factorize", WeightFormat.Int8)]
    public void ONNX_Runtime_keeps_the_table_in_few_bits(string action, WeightFormat format)
    {
        var type = format == WeightFormat.Int4 ? DataType.Uint8 : DataType.Int8;
        var bench = Open("Gather");
        var model = bench.Rewrite(Dialect.Ort, layer => action == "quantize" ? new LayerPlan.Quantize(layer, format) : new LayerPlan.Factorize(layer, 5, format)).Model;

        var graph = ModelRuns.OptimizedGraph(model);

        var tables = graph.Node.Where(node => node.OpType == "Gather").Select(node => graph.Initializer.Single(tensor => tensor.Name == node.Input[0])).ToList();
        Assert.Equal([type, DataType.Float], tables.Select(tensor => (DataType)tensor.DataType).OrderByDescending(known => known == type));
        Assert.DoesNotContain(graph.Initializer, tensor => tensor.DataType == (int)DataType.Float && tensor.Dims.Aggregate(1L, (product, dim) => product * dim) > 24);
    }

    public static TheoryData<long[], string, WeightFormat> Constants => [.. (
        from axes in new long[][] { [40, 32], [1, 40, 32], [2, 5, 40, 32] }
        from plan in new[] { ("quantize", WeightFormat.Int8), ("quantize", WeightFormat.Int4), ("factorize", WeightFormat.Float32), ("factorize", WeightFormat.Int8) }
        select (axes, plan.Item1, plan.Item2))];

    [Theory, MemberData(nameof(Constants))]
    public void A_constant_is_expanded_when_the_model_is_loaded(long[] axes, string action, WeightFormat format)
    {
        var model = new TinyModel();
        model.Input("x", [null, .. Enumerable.Repeat<long?>(1, axes.Length - 1)]);
        model.Node("Add", ["x", model.Weight("w", axes)], "y");
        model.Outputs("y");
        var bench = new Bench(model.Build(), new([new("x", [0], [.. Enumerable.Repeat(1L, axes.Length - 1)])]));
        var layer = bench.Layer;
        LayerPlan plan = action == "quantize" ? new LayerPlan.Quantize(layer, format) : new LayerPlan.Factorize(layer, 32, format);

        var rewritten = bench.Rewrite(Dialect.Onnx, _ => plan).Model;

        var original = bench.Run(bench.Model, "y")[0];
        double[] expected = action == "quantize" ? Stored(bench, format).Data : Array.ConvertAll(layer.Weight.Read(), value => (double)value);
        ModelRuns.AssertNear(
            original with { Values = [.. expected.Select(value => (float)value)] }, bench.Run(rewritten, "y")[0],
            action == "quantize" ? Rounding : format == WeightFormat.Int8 ? 0.02 : 1e-5);
        Assert.Equal(["Add"], ModelRuns.Optimized(rewritten).Keys);
        Assert.DoesNotContain(rewritten.Graph.Initializer, tensor => tensor.Name == "w");
    }

    [Fact]
    public void A_mask_of_two_numbers_loses_nothing_in_4_bits()
    {
        var model = new TinyModel();
        model.Input("x", null, 40);
        model.Node("Add", ["x", model.Floats("mask", [.. Enumerable.Range(0, 1600).Select(i => i % 40 > i / 40 ? -10000f : 0)], 40, 40)], "y");
        model.Outputs("y");
        var layer = Assert.Single(LayerFinder.Find(model.Build(), new()).Layers);

        Assert.Equal(0, new NBitWeights(LinearAlgebra.Create(1), layer, null, null, [null]).DenseError(new NBitGrid(4)), 1e-12);
    }

    [Fact]
    public void An_odd_number_of_columns_has_no_4_bits()
    {
        var model = new TinyModel();
        model.Graph.Input.Add(TinyModel.Value("ids", DataType.Int64, null));
        model.Node("Gather", [model.Weight("w", 40, 15), "ids"], "y");
        model.Outputs("y");
        var layer = Assert.Single(LayerFinder.Find(model.Build(), new()).Layers);

        Assert.Equal("an odd number of columns does not fit bytes of two", Analysis.Obstacle(layer, WeightFormat.Int4, Dialect.Ort, 17));
        Assert.Equal("", Analysis.Obstacle(layer, WeightFormat.Int8, Dialect.Ort, 17));
    }

    [Fact]
    public void All_uses_of_a_table_share_what_is_stored()
    {
        var (model, samples) = LayerCases.Make("Gather");
        model.Graph.Node.Add(TinyModel.Call("Gather", ["w", "ids"], ["z"]));
        model.Graph.Output.Add(TinyModel.Value("z", DataType.Float, null));
        var bench = new Bench(model, samples);

        foreach (var format in new[] { WeightFormat.Int8, WeightFormat.Int4 })
        {
            var rewritten = bench.Rewrite(Dialect.Ort, layer => new LayerPlan.Quantize(layer, format)).Model;

            var runs = bench.Run(rewritten, "y", "z");
            Assert.Equal(runs[0].Values, runs[1].Values);
            Assert.Equal(2, rewritten.Graph.Initializer.Count(tensor => tensor.Dims is [24, ..])); // rows and their scales
        }
    }
}
