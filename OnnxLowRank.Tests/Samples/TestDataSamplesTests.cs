using Google.Protobuf;
using OnnxLowRank.Onnx.Proto;
using OnnxLowRank.Samples;
using DataType = OnnxLowRank.Onnx.Proto.TensorProto.Types.DataType;

namespace OnnxLowRank.Tests.Samples;

public sealed class TestDataSamplesTests : IDisposable
{
    readonly TempFolder _folder = new();
    readonly InputSpec[] _two = [new("a", DataType.Float, [null, 2]), new("b", DataType.Int64, [])];

    public void Dispose() => _folder.Dispose();

    static float First(SampleBuffer buffer) => BitConverter.ToSingle(buffer.Bytes.Span);

    void Floats(string file, string name, params float[] values) =>
        _folder.File(file, new TensorProto { Name = name, Dims = { values.Length / 2, 2 }, DataType = (int)DataType.Float, FloatData = { values } }.ToByteArray());

    void Number(string file, string name, long value) =>
        _folder.File(file, new TensorProto { Name = name, DataType = (int)DataType.Int64, Int64Data = { value } }.ToByteArray());

    [Fact]
    public void Sets_are_samples_in_numeric_order()
    {
        foreach (int set in new[] { 10, 2, 0 })
        {
            Floats($"test_data_set_{set}/input_0.pb", "", set, 1);
        }
        using var source = SampleSource.Open(_folder.Path, [_two[0]]);

        Assert.Equal((3, 1), (source.Count, source.RunSize(100)));
        for (int i = 0; i < 3; i++)
        {
            using var run = source.Read([i]);
            Assert.Equal(new[] { 0f, 2, 10 }[i], First(run.Inputs[0]));
        }
    }

    [Fact]
    public void Each_set_has_a_shape_of_its_own()
    {
        Floats("test_data_set_0/input_0.pb", "", 1, 2);
        Floats("test_data_set_1/input_0.pb", "", 1, 2, 3, 4, 5, 6);
        using var source = SampleSource.Open(_folder.Path, [_two[0]]);

        using var run = source.Read([1]);

        Assert.Equal([3L, 2], run.Inputs[0].Shape);
        Assert.Equal((1, 24L), (run.Valid, source.BytesPerSample));
    }

    [Fact]
    public void Single_set_may_be_given_itself()
    {
        Floats("input_0.pb", "", 1, 2);
        using var source = SampleSource.Open(_folder.Path, [_two[0]]);

        Assert.Equal(1, source.Count);
    }

    [Fact]
    public void Tensor_goes_to_the_input_it_is_named_after()
    {
        Number("input_0.pb", "b", 7);
        Floats("input_1.pb", "a", 5, 6);
        using var source = SampleSource.Open(_folder.Path, _two);

        using var run = source.Read([0]);

        Assert.Equal(5, First(run.Inputs[0]));
        Assert.Equal(7, BitConverter.ToInt64(run.Inputs[1].Bytes.Span));
    }

    [Fact]
    public void Tensor_of_another_name_goes_by_its_number()
    {
        Number("input_1.pb", "whatever", 7);
        Floats("input_0.pb", "", 5, 6);
        using var source = SampleSource.Open(_folder.Path, _two);

        Assert.Equal(1, source.Count);
    }

    [Fact]
    public void Doubles_are_converted_with_a_note()
    {
        _folder.File("input_0.pb", new TensorProto { Dims = { 1, 2 }, DataType = (int)DataType.Double, DoubleData = { 0.5, 2 } }.ToByteArray());
        using var source = SampleSource.Open(_folder.Path, [_two[0]]);

        using var run = source.Read([0]);

        Assert.Equal(0.5f, First(run.Inputs[0]));
        Assert.Contains("float64 is converted to float32", Assert.Single(source.Notes));
    }

    [Fact]
    public void Value_that_is_not_finite_is_named_with_its_sample()
    {
        Floats("test_data_set_0/input_0.pb", "", 1, 2);
        Floats("test_data_set_1/input_0.pb", "", 1, float.NaN);
        using var source = SampleSource.Open(_folder.Path, [_two[0]]);

        var e = Assert.Throws<DataException>(() => source.Read([1]));

        Assert.Contains("sample 1 holds NaN", e.Message);
    }

    public static TheoryData<string, string> Misfits => new()
    {
        { "missing", "no tensor for input 'b'; expected input_1.pb; found input_0.pb" },
        { "empty set", "no tensor for input 'a'; expected input_0.pb; found no input_*.pb" },
        { "twice", "are both for input 'a'" },
        { "too many", "tensor 'c' is for no input; the model has 2 (a, b)" },
        { "no number", "is for no input" },
        { "axes", "2 axes, not 0" },
        { "dimension", "shape 1x2 does not fit input 'a' [?,3]: axis 1 is 2, not 3" },
        { "type", "float32 does not fit input 'b', which wants int64" },
        { "garbage", "cannot be read" },
    };

    [Theory]
    [MemberData(nameof(Misfits))]
    public void Sets_that_do_not_fit_are_refused_in_one_line_that_says_why(string which, string reason)
    {
        var inputs = _two;
        if (which == "empty set")
        {
            Directory.CreateDirectory(Path.Combine(_folder.Path, "test_data_set_0"));
        }
        else
        {
            Floats("test_data_set_0/input_0.pb", "a", 1, 2);
            Number("test_data_set_0/input_1.pb", "b", 1);
        }
        switch (which)
        {
            case "missing":
                File.Delete(Path.Combine(_folder.Path, "test_data_set_0/input_1.pb"));
                break;
            case "twice":
                Floats("test_data_set_0/input_1.pb", "a", 1, 2);
                break;
            case "too many":
                Number("test_data_set_0/input_2.pb", "c", 1);
                break;
            case "no number":
                Number("test_data_set_0/input_x.pb", "", 1);
                break;
            case "axes":
                inputs = [inputs[0], new("b", DataType.Float, [])];
                Floats("test_data_set_0/input_1.pb", "b", 1, 2);
                break;
            case "dimension":
                inputs = [new("a", DataType.Float, [null, 3]), inputs[1]];
                break;
            case "type":
                Floats("test_data_set_0/input_1.pb", "b", 1, 2);
                break;
            case "garbage":
                _folder.File("test_data_set_0/input_1.pb", [0xFF, 0xFF, 0xFF]);
                break;
        }

        var e = Assert.Throws<DataException>(() => SampleSource.Open(_folder.Path, inputs));

        Assert.Contains(reason, e.Message);
        Assert.DoesNotContain('\n', e.Message);
    }
}
