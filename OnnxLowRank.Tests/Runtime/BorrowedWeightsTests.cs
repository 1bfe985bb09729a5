using OnnxLowRank.Calibration;
using OnnxLowRank.Onnx;
using OnnxLowRank.Onnx.Proto;
using OnnxLowRank.Planning;
using OnnxLowRank.Rewriting;
using OnnxLowRank.Runtime;
using OnnxLowRank.Storage;
using OnnxLowRank.Tests.Samples;

namespace OnnxLowRank.Tests.Runtime;

public class BorrowedWeightsTests
{
    const int Wide = 512; // a square weight takes 1 MiB

    /// <summary>Large weights read by every kind of node, and some that must stay.</summary>
    static OnnxModel Model()
    {
        var model = new TinyModel();
        model.Input("x", null, Wide);
        model.Input("rows", [null]);
        model.Node("Gemm", ["x", model.Weight("gemm", Wide, Wide), model.Weight("bias", Wide)], "a", ("transB", 1));
        model.Node("MatMul", ["a", model.Weight("matmul", Wide, Wide)], "b");
        model.Node("Cast", ["rows"], "ids", ("to", 7));
        model.Node("Gather", [model.Weight("table", Wide, Wide), "ids"], "c");
        model.Node("MatMul", ["c", model.Weight("listed", Wide, Wide)], "d");
        model.Graph.Input.Add(TinyModel.Value("listed", TensorProto.Types.DataType.Float, Wide, Wide));
        model.Node("MatMul", ["d", model.Weight("returned", Wide, Wide)], "e");
        model.Node("MatMul", ["e", model.Weight("added", Wide, Wide)], "f");
        model.Node("ReduceSum", ["added", model.Ints("axes", 0)], "g", ("keepdims", 0));
        model.Node("MatMul", ["f", model.Weight("narrow", Wide, 500)], "h");
        model.Node("Concat", ["b", "h"], "i", ("axis", 1));
        model.Node("Concat", ["i", "d"], "y", ("axis", 1));
        model.Outputs("y", "g", "returned");
        return model.Build();
    }

    static MemorySamples Samples() => new([
        Feed.Random("x", 5, Wide),
        new("rows", [3, 1, 4, 1, 511])]);

    [Fact]
    public void Large_weights_that_kernels_read_as_they_are_become_inputs()
    {
        var model = Model();
        using var weights = BorrowedWeights.Of(model, out var rest);

        Assert.Equal(["gemm", "matmul", "table"], weights.Names);
        Assert.Equal(["x", "rows", "listed", "gemm", "matmul", "table"], rest.Graph.Input.Select(input => input.Name));
        Assert.Equal(["bias", "listed", "returned", "added", "axes", "narrow"], rest.Graph.Initializer.Select(tensor => tensor.Name));
        Assert.Equal(9, model.Graph.Initializer.Count);
    }

    [Fact]
    public void A_session_that_borrows_computes_and_asks_for_the_same_as_one_that_owns()
    {
        var model = Model();
        using var owning = ModelSession.Open(model.ToBytes(), Device.Cpu, threads: 1);
        using var borrowing = ModelSession.Open(model, Device.Cpu, threads: 1);

        Assert.Equal(["x", "rows"], borrowing.Inputs.Keys);
        Assert.Equal(owning.OutputNames, borrowing.OutputNames);
        new Sampling(Samples(), batch: 2, CancellationToken.None).ForEach(Samples().All, (run, _) =>
        {
            using var expected = owning.Run(run, owning.OutputNames);
            using var actual = borrowing.Run(run, owning.OutputNames);
            for (int i = 0; i < expected.Count; i++)
            {
                Assert.Equal(expected[i].GetTensorTypeAndShape().Shape, actual[i].GetTensorTypeAndShape().Shape);
                double distance = ModelRuns.Distance(expected[i].GetTensorDataAsSpan<float>().ToArray(), actual[i].GetTensorDataAsSpan<float>().ToArray());
                Assert.InRange(distance, 0, 1e-5);
            }
        });
    }

    /// <summary>Weights that take a mebibyte even in 4 bits.</summary>
    static Bench LargeBench()
    {
        var model = new TinyModel();
        model.Input("x", null, 1024);
        model.Node("MatMul", ["x", model.Weight("w", 1024, 2048)], "y");
        model.Outputs("y");
        return new(model.Build(), new MemorySamples([Feed.Random("x", 16, 1024)]));
    }

    [Theory]
    [InlineData(WeightFormat.Int8, 0, false)]
    [InlineData(WeightFormat.Int4, 32, false)]
    [InlineData(WeightFormat.Int8, 0, true)]
    [InlineData(WeightFormat.Int4, 0, true)]
    public void Large_models_lend_their_integers_too(WeightFormat format, int block, bool weightOnly)
    {
        using var folder = new TempFolder();
        var bench = LargeBench();
        var model = bench.Rewrite(Dialect.Ort, layer => new LayerPlan.Quantize(layer, format) { Block = block, WeightOnly = weightOnly }).Model;
        var large = model.KeepingIn(Spill.Beside(Path.Combine(folder.Path, "m.onnx")));
        using (var weights = BorrowedWeights.Of(large, out var rest))
        {
            Assert.Single(weights.Names);
            Assert.InRange(rest.WeightBytes, 1, 400_000); // scales
        }
        using (var weights = BorrowedWeights.Of(model, out _))
        {
            Assert.Empty(weights.Names);
        }
        using var owning = ModelSession.Open(model.ToBytes(), Device.Cpu, threads: 1);
        using var borrowing = ModelSession.Open(large, Device.Cpu, threads: 1);

        var samples = new MemorySamples([Feed.Random("x", 16, 1024)]);
        new Sampling(samples, batch: 16, CancellationToken.None).ForEach(samples.All, (run, _) =>
        {
            using var expected = owning.Run(run, owning.OutputNames);
            using var actual = borrowing.Run(run, owning.OutputNames);
            // In 4 bits a kernel that has not packed its weights may compute with floats where the other rounds its inputs to 8 bits.
            Assert.InRange(ModelRuns.Distance(expected[0].GetTensorDataAsSpan<float>().ToArray(), actual[0].GetTensorDataAsSpan<float>().ToArray()), 0, block > 0 ? 0.02 : 1e-5);
        });
    }
}
