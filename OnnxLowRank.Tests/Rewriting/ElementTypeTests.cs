using OnnxLowRank.Layers;
using OnnxLowRank.Onnx;
using OnnxLowRank.Onnx.Proto;
using OnnxLowRank.Planning;
using OnnxLowRank.Rewriting;
using static OnnxLowRank.Onnx.Proto.TensorProto.Types;

namespace OnnxLowRank.Tests.Rewriting;

/// <summary>Layers of float16 and float64, and such whose weights are stored in a narrower type than they compute in.</summary>
public class ElementTypeTests
{
    /// <summary>11 bits, rounded at every weight and value; a wrong factor, bias or axis errs by more than a tenth.</summary>
    const double HalfRounding = 5e-3;

    const double Rounding = 2e-5;

    static double RoundingOf(DataType type) => type == DataType.Float16 ? HalfRounding : Rounding;

    /// <summary>ONNX Runtime has no convolution in float64 on the CPU.</summary>
    static bool Runs(string name, DataType type) => type == DataType.Float16 || !name.Contains("onv", StringComparison.Ordinal);

    static TheoryData<string, int> Of(IEnumerable<string> names) => [.. (
        from name in names
        from type in new[] { DataType.Float16, DataType.Double }
        where Runs(name, type)
        select (name, (int)type))];

    public static TheoryData<string, int> Cases => Of(LayerCases.Names);

    public static TheoryData<string, int> CasesWithoutAddend => Of(LayerCases.WithoutAddend);

    public static TheoryData<string> Convertible => [.. LayerCases.OnIntegers];

    /// <summary>A case whose inputs and outputs stay float32, with Casts to and from another type of all that is inside.</summary>
    static Bench Open(string name, DataType type)
    {
        var (model, samples) = LayerCases.Make(name);
        return new(In(type, model), samples);
    }

    static OnnxModel In(DataType type, OnnxModel model)
    {
        var graph = model.Graph;
        Retype(graph.Initializer, type);
        foreach (var node in graph.Node)
        {
            for (int i = 0; i < node.Input.Count; i++)
            {
                node.Input[i] = node.Input[i] == "x" ? "x typed" : node.Input[i];
            }
            for (int i = 0; i < node.Output.Count; i++)
            {
                node.Output[i] = graph.Output.Any(output => output.Name == node.Output[i]) ? node.Output[i] + " typed" : node.Output[i];
            }
        }
        graph.Node.Insert(0, TinyModel.Call("Cast", ["x"], ["x typed"], ("to", (int)type)));
        graph.Node.AddRange(graph.Output.Select(output => NodeAttributes.Create("Cast", $"cast {output.Name}", [output.Name + " typed"], [output.Name]).With("to", (long)DataType.Float)).ToList());
        return model;
    }

    static void Retype(Google.Protobuf.Collections.RepeatedField<TensorProto> tensors, DataType type)
    {
        for (int i = 0; i < tensors.Count; i++)
        {
            if (tensors[i].DataType == (int)DataType.Float)
            {
                tensors[i] = TensorData.Reals(tensors[i].Name, type, tensors[i].ToFloats(), [.. tensors[i].Dims]);
            }
        }
    }

    [Theory, MemberData(nameof(Cases))]
    public void At_full_rank_the_outputs_are_the_originals_and_all_floats_keep_their_type(string name, int number)
    {
        var type = (DataType)number;
        var bench = Open(name, type);
        string output = bench.Model.Graph.Output[0].Name;

        var rewritten = bench.Factorize(Bench.FullRank).Model;

        ModelRuns.AssertNear(bench.Run(bench.Model, output)[0], bench.Run(rewritten, output)[0], RoundingOf(type));
        Assert.DoesNotContain(rewritten.Graph.Initializer, tensor => tensor.DataType == (int)DataType.Float);
        Assert.Equal(2, rewritten.Graph.Node.Count(node => node.OpType == "Cast" && node.Input[0] != "large"));
    }

    [Theory, MemberData(nameof(CasesWithoutAddend))]
    public void At_a_low_rank_the_output_is_projected_and_its_mean_is_kept(string name, int number)
    {
        var bench = Open(name, (DataType)number);
        var use = Assert.Single(bench.Layer.Uses);
        int rank = Bench.LowRank(bench.Layer);

        var rewritten = bench.Factorize(Bench.LowRank).Model;

        var original = bench.Run(bench.Model, use.Output)[0];
        int axis = bench.Layer.Kind switch
        {
            LayerKind.Conv or LayerKind.ConvTranspose => 1,
            LayerKind.LeftMatMul => Math.Max(0, original.Shape.Length - 2),
            _ => original.Shape.Length - 1,
        };
        var expected = bench.Projected(bench.Layer, original, axis, rank, bench.Layer.Kind != LayerKind.LeftMatMul || use.Bias != null);
        Assert.True(ModelRuns.Distance(original.Values, expected.Values) > 0.1, "the rank is so high that nothing is tested");
        ModelRuns.AssertNear(expected, bench.Run(rewritten, use.Output)[0], RoundingOf((DataType)number));
    }

    /// <summary>As close to the floats as the same plans of a float32 model are: 0.03 in 8 bits, 0.012 where only the weight is rounded.</summary>
    [Theory, MemberData(nameof(Convertible))]
    public void Integers_stand_between_Casts(string name)
    {
        var bench = Open(name, DataType.Float16);
        string output = bench.Layer.Uses[0].Output;
        int rank = Bench.LowRank(bench.Layer);
        var (dense, pair) = (bench.Run(bench.Model, output)[0], bench.Run(bench.Factorize(Bench.LowRank).Model, output)[0]);

        foreach (var dialect in Enum.GetValues<Dialect>())
        {
            ModelRuns.AssertNear(dense, bench.Run(bench.Rewrite(dialect, layer => new LayerPlan.Quantize(layer, WeightFormat.Int8)).Model, output)[0], 0.03);
            ModelRuns.AssertNear(pair, bench.Run(bench.Rewrite(dialect, layer => new LayerPlan.Factorize(layer, rank, WeightFormat.Int8)).Model, output)[0], 0.03);
        }
        if (!bench.Layer.IsTable)
        {
            ModelRuns.AssertNear(dense, bench.Run(bench.Rewrite(Dialect.Ort, layer => new LayerPlan.Quantize(layer, WeightFormat.Int8, WeightOnly: true)).Model, output)[0], 0.015);
            ModelRuns.AssertNear(pair, bench.Run(bench.Rewrite(Dialect.Ort, layer => new LayerPlan.Factorize(layer, rank, WeightFormat.Int8, WeightOnly: true)).Model, output)[0], 0.03);
        }
    }

    [Theory]
    [InlineData("MatMul then Add", "DynamicQuantizeMatMul")]
    [InlineData("Gemm transB with alpha and beta", "DynamicQuantizeMatMul")]
    [InlineData("Conv then Relu", "QLinearConv")]
    [InlineData("Conv that is the graph output", "QLinearConv")]
    public void Integer_kernels_run_what_is_between_the_Casts(string name, string kernel)
    {
        var bench = Open(name, DataType.Float16);

        Assert.Equal(1, ModelRuns.Optimized(bench.Quantize().Model).GetValueOrDefault(kernel));
        Assert.Equal(2, ModelRuns.Optimized(bench.Factorize(Bench.LowRank, WeightFormat.Int8).Model).GetValueOrDefault(kernel));
    }

    [Theory]
    [InlineData("MatMul then Add", 0)]
    [InlineData("MatMul then Add", 32)]
    [InlineData("Conv with bias and pads", 0)]
    [InlineData("Gather", 0)]
    public void Four_bits_lose_no_more_than_in_float32(string name, int block)
    {
        var (single, samples) = LayerCases.Make(name);
        Bench half = Open(name, DataType.Float16), full = new(single, samples);

        double Lost(Bench bench)
        {
            string output = bench.Layer.Uses[0].Output;
            var rewritten = bench.Rewrite(Dialect.Ort, layer => new LayerPlan.Quantize(layer, WeightFormat.Int4, block)).Model;
            return ModelRuns.Distance(bench.Run(bench.Model, output)[0].Values, bench.Run(rewritten, output)[0].Values);
        }

        Assert.InRange(Lost(half), 0.01, 1.1 * Lost(full) + HalfRounding);
    }

    public static TheoryData<string, int> Stored => [.. (
        from name in new[] { "MatMul then Add", "Gemm transB with alpha and beta", "Conv with bias and pads", "Gather" }
        from type in new[] { DataType.Float16, DataType.Bfloat16 }
        select (name, (int)type))];

    /// <summary>As exporters do that store in 16 bits what runs in 32: nothing else of the graph is narrow.</summary>
    [Theory, MemberData(nameof(Stored))]
    public void A_weight_behind_a_Cast_becomes_factors_behind_Casts(string name, int number)
    {
        var (model, samples) = LayerCases.Make(name);
        var stored = model.Graph.Initializer.Single(tensor => tensor.Name == "w");
        model.Graph.Initializer[model.Graph.Initializer.IndexOf(stored)] = TensorData.Reals("w stored", (DataType)number, stored.ToFloats(), [.. stored.Dims]);
        model.Graph.Node.Insert(0, TinyModel.Call("Cast", ["w stored"], ["w"], ("to", (int)DataType.Float)));
        var bench = new Bench(model, samples);
        string output = model.Graph.Output[0].Name;

        var rewritten = bench.Factorize(Bench.FullRank).Model;

        // bfloat16 has 8 bits.
        ModelRuns.AssertNear(bench.Run(model, output)[0], bench.Run(rewritten, output)[0], (DataType)number == DataType.Float16 ? HalfRounding : 8 * HalfRounding);
        Assert.Equal(2, rewritten.Graph.Initializer.Count(tensor => tensor.DataType == number && tensor.Dims.Count >= 2));
        Assert.DoesNotContain(rewritten.Graph.Initializer, tensor => tensor.DataType == (int)DataType.Float && tensor.Dims.Count >= 2);
    }

    /// <summary>A pair of rank r takes r·(in + out) halves, and the bias as many as there are outputs.</summary>
    [Fact]
    public void A_candidates_bytes_are_those_that_are_written()
    {
        var bench = Open("MatMul then Add", DataType.Float16);
        var layer = bench.Layer;
        int rank = Bench.LowRank(layer);
        Assert.Equal(2 * (24 * 16 + 16), layer.Bytes);

        var table = Candidates.Of(layer, bench.Decompose(layer), null, new ShapeCostModel(new Dictionary<Layer, Positions> { [layer] = new(1, 1) }), new(1, 1), _ => true,
            new([WeightFormat.Float32, WeightFormat.Int8], [WeightFormat.Int8], Factorizes: true, [0]));

        long before = Size(bench.Model);
        foreach (var candidate in table.Where(candidate => candidate.Plan is not LayerPlan.Factorize factorize || factorize.Rank == rank))
        {
            long written = Size(bench.Rewrite(Dialect.Ort, _ => candidate.Plan).Model) - before + layer.Bytes;
            // Names and shapes are estimated, a node's at 130 bytes.
            Assert.InRange(candidate.Bytes - written, -150, 450);
        }
        var initializers = bench.Factorize(_ => rank).Model.Graph.Initializer;
        Assert.Equal(2 * (rank * (24 + 16) + 16), initializers.Sum(tensor => tensor.RawData.Length));
    }

    static long Size(OnnxModel model) => model.ToBytes().Length;

    /// <summary>Up orthonormal would make a number between the factors as large as a whole vector: 300 times 500 here, beyond float16.</summary>
    [Fact]
    public void Numbers_between_factors_of_float16_do_not_overflow()
    {
        var model = new TinyModel();
        model.Input("x", null, 24);
        model.Node("Cast", ["x"], "half", ("to", (int)DataType.Float16));
        float[] left = TinyModel.Random([24, 2], 1), right = TinyModel.Random([2, 4096], 2), weight = new float[24 * 4096];
        for (int i = 0; i < weight.Length; i++)
        {
            weight[i] = 400 * (left[i / 4096 * 2] * right[i % 4096] + left[i / 4096 * 2 + 1] * right[4096 + i % 4096]);
        }
        model.Tensor(TensorData.Reals("w", DataType.Float16, weight, 24, 4096));
        model.Node("MatMul", ["half", "w"], "y");
        model.Node("Identity", ["y"], "out half");
        model.Node("Cast", ["out half"], "out", ("to", (int)DataType.Float));
        model.Outputs("out");
        var bench = new Bench(model.Build(), new([Feed.Random("x", 64, 24)]));

        var rewritten = bench.Factorize(_ => 2);

        float[] inner = bench.Run(rewritten.Model, rewritten.Model.Graph.Node.SelectMany(node => node.Output).Single(name => name.EndsWith("_rank2", StringComparison.Ordinal)))[0].Values;
        float[] y = bench.Run(bench.Model, "y")[0].Values;
        Assert.True(y.Chunk(4096).Max(row => Math.Sqrt(row.Sum(value => (double)value * value))) > 65504, "nothing could overflow");
        Assert.InRange(inner.Max(Math.Abs), 1, 6000);
        Assert.InRange(ModelRuns.Distance(y, bench.Run(rewritten.Model, "y")[0].Values), 0, HalfRounding);
    }

    [Theory]
    [InlineData("MatMul then Add")]
    [InlineData("Conv with bias and pads")]
    public void Fits_are_of_what_is_written(string name)
    {
        var bench = Open(name, DataType.Float16);
        var plan = new LayerPlan.Factorize(bench.Layer, Bench.LowRank(bench.Layer), WeightFormat.Float32);
        string output = bench.Layer.Uses[0].Output;
        var cut = bench.Run(bench.Rewrite(Dialect.Ort, _ => plan).Model, output)[0];

        var fitted = bench.Refit([plan], 64).Rewritten.Model;

        // Nothing before the layer changed, so that a fit finds the same solution, up to what it sees less samples of.
        Assert.InRange(ModelRuns.Distance(cut.Values, bench.Run(fitted, output)[0].Values), 0, 0.2);
    }
}
