using System.Runtime.InteropServices;
using OnnxLowRank.Samples;
using DataType = OnnxLowRank.Onnx.Proto.TensorProto.Types.DataType;

namespace OnnxLowRank.Tests.Samples;

public class GeneratedSamplesTests
{
    static InputSpec Input(string name, DataType type, params long?[] dims) => new(name, type, dims);

    [Fact]
    public void An_open_batch_is_as_large_as_wanted()
    {
        using var source = GeneratedSamples.For([Input("x", DataType.Float, null, 3, 4), Input("ids", DataType.Int64, null, 5), Input("scale", DataType.Float)])!;

        using var run = source.Read([0, 0, 0, 0]);

        Assert.Equal((7, 4), (source.RunSize(7), run.Valid));
        Assert.Equal([[4, 3, 4], [4, 5], []], run.Inputs.Select(input => input.Shape));
        Assert.All(MemoryMarshal.Cast<byte, long>(run.Inputs[1].Bytes.Span).ToArray(), id => Assert.Equal(0, id)); // an id that every table has
        Assert.True(MemoryMarshal.Cast<byte, float>(run.Inputs[0].Bytes.Span).ToArray().Distinct().Count() > 30);
    }

    [Fact]
    public void A_fixed_batch_stays_as_it_is()
    {
        using var source = GeneratedSamples.For([Input("x", DataType.Float, 8, 3)])!;

        using var run = source.Read([0, 0, 0]);

        Assert.Equal((8, 8, 3), (source.RunSize(1), source.RunSize(32), run.Valid));
        Assert.Equal([8, 3], run.Inputs[0].Shape);
    }

    [Fact]
    public void An_input_too_large_for_a_buffer_is_refused()
    {
        var e = Assert.Throws<ModelException>(() => GeneratedSamples.For([Input("x", DataType.Float, null, 100_000, 100_000)]));

        Assert.Equal($"input 'x' [?,100000,100000] takes more than the {Array.MaxLength} bytes that one run can have", e.Message);
        Assert.Throws<ModelException>(() => GeneratedSamples.For([Input("x", DataType.Float, 1L << 62, 1L << 62)]));
    }

    [Fact]
    public void An_empty_batch_is_one_run_of_nothing()
    {
        using var source = GeneratedSamples.For([Input("x", DataType.Float, 0, 3)])!;

        using var run = source.Read([0]);

        Assert.Equal((1, 0), (source.RunSize(8), run.Inputs[0].Bytes.Length));
    }

    [Fact]
    public void Axes_that_are_open_beside_the_batch_cannot_be_made_up()
    {
        Assert.Null(GeneratedSamples.For([Input("x", DataType.Float, null, null)]));
    }
}
