using OnnxLowRank.Calibration;
using OnnxLowRank.Gradients;
using OnnxLowRank.Runtime;

namespace OnnxLowRank.Tests.Gradients;

public class ValueTraceTests
{
    static ValueTrace Of(params string[] values)
    {
        var model = new TinyModel();
        model.Input("x", null, 4);
        model.Node("MatMul", ["x", model.Weight("w", 4, 3)], "y");
        model.Node("Shape", ["y"], "shape");
        model.Node("Gather", ["shape", model.Ints("last", 1)], "columns");
        model.Tensor(OnnxLowRank.Onnx.TensorData.Create<int>("narrow", OnnxLowRank.Onnx.Proto.TensorProto.Types.DataType.Int32, [7, -1], 2));
        model.Outputs("y");
        return ValueTrace.Of(model.Build(), values, new Sampling(new MemorySamples([Feed.Random("x", 5, 4)]), batch: null, CancellationToken.None), Device.Cpu, threads: 1);
    }

    [Fact]
    public void Axes_that_follow_the_number_of_samples_have_no_length()
    {
        var trace = Of("x", "y", "w");

        Assert.Equal([-1, 4], trace.Shape("x"));
        Assert.Equal([-1, 3], trace.Shape("y"));
        Assert.Equal([4, 3], trace.Shape("w"));
        Assert.Equal(sizeof(float) * (4 + 3), trace.BytesPerSample);
    }

    [Fact]
    public void Integers_are_known_where_they_do_not_follow_the_number_of_samples()
    {
        var trace = Of("shape", "columns", "last", "narrow");

        Assert.Null(trace.Integers("shape"));
        Assert.Equal([3], trace.Integers("columns")!);
        Assert.Equal([1], trace.Integers("last")!);
        Assert.Equal([7, -1], trace.Integers("narrow")!);
        Assert.All(new[] { "shape", "columns", "last", "narrow" }, value => Assert.True(trace.IsTensor(value) && !trace.IsSingle(value)));
        Assert.False(trace.IsTensor("nothing"));
    }
}
