using Google.Protobuf;
using OnnxLowRank.Onnx;
using OnnxLowRank.Onnx.Proto;
using static OnnxLowRank.Onnx.Proto.TensorProto.Types;

namespace OnnxLowRank.Tests.Onnx;

public class TensorDataTests
{
    static TensorProto Tensor(DataType type, params long[] dims) => new() { Name = "t", DataType = (int)type, Dims = { dims } };

    static void AssertReads(TensorProto tensor, params float[] expected)
    {
        tensor.Validate();

        Assert.Equal(expected, tensor.ToFloats());
    }

    static TensorProto With(TensorProto tensor, Action<TensorProto> fill)
    {
        fill(tensor);
        return tensor;
    }

    [Fact]
    public void Typed_fields_hold_one_element_each()
    {
        AssertReads(With(Tensor(DataType.Float, 2), t => t.FloatData.Add([-1.5f, 3e38f])), -1.5f, 3e38f);
        AssertReads(With(Tensor(DataType.Double, 2), t => t.DoubleData.Add([-1.5, 1e-3])), -1.5f, 1e-3f);
        AssertReads(With(Tensor(DataType.Int64, 2), t => t.Int64Data.Add([-5, 1L << 40])), -5, 1L << 40);
        AssertReads(With(Tensor(DataType.Uint64, 2), t => t.Uint64Data.Add([5, 1UL << 63])), 5, 1UL << 63);
        AssertReads(With(Tensor(DataType.Uint32, 2), t => t.Uint64Data.Add([5, uint.MaxValue])), 5, uint.MaxValue);
        AssertReads(With(Tensor(DataType.Int32, 2), t => t.Int32Data.Add([-5, 1 << 20])), -5, 1 << 20);
        AssertReads(With(Tensor(DataType.Int16, 2), t => t.Int32Data.Add([-5, 32767])), -5, 32767);
        AssertReads(With(Tensor(DataType.Uint16, 2), t => t.Int32Data.Add([5, 65535])), 5, 65535);
        AssertReads(With(Tensor(DataType.Int8, 2), t => t.Int32Data.Add([-128, 127])), -128, 127);
        AssertReads(With(Tensor(DataType.Uint8, 2), t => t.Int32Data.Add([0, 255])), 0, 255);
        AssertReads(With(Tensor(DataType.Bool, 2), t => t.Int32Data.Add([1, 0])), 1, 0);
    }

    [Fact]
    public void Small_floats_are_bit_patterns_in_int32_data()
    {
        AssertReads(With(Tensor(DataType.Float16, 4), t => t.Int32Data.Add([0x3C00, 0xC000, 0x0001, 0x7BFF])), 1, -2, 5.9604645e-8f, 65504);
        AssertReads(With(Tensor(DataType.Bfloat16, 3), t => t.Int32Data.Add([0x3F80, 0xC000, 0x4049])), 1, -2, 3.140625f);
    }

    [Fact]
    public void Raw_data_holds_little_endian_elements()
    {
        void Reads(DataType type, byte[] raw, params float[] expected) =>
            AssertReads(With(Tensor(type, expected.Length), t => t.RawData = ByteString.CopyFrom(raw)), expected);

        Reads(DataType.Float, [0, 0, 0xC0, 0xBF, 0, 0, 0x80, 0x3F], -1.5f, 1);
        Reads(DataType.Double, [0, 0, 0, 0, 0, 0, 0xF8, 0xBF], -1.5f);
        Reads(DataType.Float16, [0, 0x3C, 0, 0xC0], 1, -2);
        Reads(DataType.Bfloat16, [0x80, 0x3F, 0x49, 0xC0], 1, -3.140625f);
        Reads(DataType.Int8, [0xFF, 0x7F], -1, 127);
        Reads(DataType.Uint8, [0xFF, 0x7F], 255, 127);
        Reads(DataType.Bool, [1, 0], 1, 0);
        Reads(DataType.Int16, [0xFE, 0xFF], -2);
        Reads(DataType.Uint16, [0xFE, 0xFF], 65534);
        Reads(DataType.Int32, [0xFE, 0xFF, 0xFF, 0xFF], -2);
        Reads(DataType.Uint32, [0xFE, 0xFF, 0xFF, 0xFF], 4294967294);
        Reads(DataType.Int64, [0xFE, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF], -2);
        Reads(DataType.Uint64, [0, 0, 0, 0, 0, 0, 0, 0x80], 9223372036854775808);
    }

    [Fact]
    public void Int64_elements_are_exact()
    {
        Assert.Equal([(1L << 53) + 1, -1], TensorData.Int64s("t", [(1L << 53) + 1, -1]).ToInt64s());
        Assert.Equal([(1L << 53) + 1], With(Tensor(DataType.Int64, 1), t => t.Int64Data.Add((1L << 53) + 1)).ToInt64s());
    }

    [Fact]
    public void A_scalar_has_one_element_and_an_empty_tensor_none()
    {
        AssertReads(With(Tensor(DataType.Float), t => t.FloatData.Add(7)), 7);
        AssertReads(Tensor(DataType.Float, 3, 0));
        AssertReads(With(Tensor(DataType.Float, 0), t => t.RawData = ByteString.Empty));
    }

    [Fact]
    public void Types_without_a_numeric_value_are_refused_by_name()
    {
        foreach (var type in new[] { DataType.Float8E4M3Fn, DataType.Complex64, DataType.Int4 })
        {
            var tensor = With(Tensor(type, 2), t => t.RawData = ByteString.CopyFrom(new byte[TensorType.Bytes(type, 2)]));

            var e = Assert.Throws<ModelException>(tensor.ToFloats);

            Assert.Equal($"tensor 't' of {type.ToString().ToLowerInvariant()} cannot be read as numbers", e.Message);
        }
    }

    [Fact]
    public void Validate_accepts_every_type_in_its_own_field()
    {
        var good = new List<TensorProto>
        {
            With(Tensor(DataType.String, 2), t => t.StringData.Add([ByteString.Empty, ByteString.Empty])),
            With(Tensor(DataType.Complex64, 2), t => t.FloatData.Add(new float[4])),
            With(Tensor(DataType.Complex128, 2), t => t.DoubleData.Add(new double[4])),
            With(Tensor(DataType.Int4, 3), t => t.Int32Data.Add([1, 2])), // two per element
            With(Tensor(DataType.Uint2, 5), t => t.Int32Data.Add([1, 2])), // four per element
            With(Tensor(DataType.Float8E5M2, 2), t => t.Int32Data.Add([1, 2])),
            With(Tensor(DataType.Int4, 3), t => t.RawData = ByteString.CopyFrom(1, 2)),
        };

        good.ForEach(tensor => tensor.Validate());
    }

    [Fact]
    public void Validate_says_what_a_tensor_announces_and_what_it_stores()
    {
        (TensorProto Tensor, string Message)[] bad =
        [
            (With(Tensor(DataType.Float, 2, 3), t => t.FloatData.Add(new float[5])), "tensor 't' is float32[2,3] but stores 5 elements"),
            (With(Tensor(DataType.Float, 2, 3), t => t.RawData = ByteString.CopyFrom(new byte[23])), "tensor 't' is float32[2,3] but stores 23 bytes"),
            (With(Tensor(DataType.Float, 2), t => t.DoubleData.Add(new double[2])), "tensor 't' is float32[2] but stores 0 elements"),
            (With(Tensor(DataType.Float16, 2), t => t.Int32Data.Add(7)), "tensor 't' is float16[2] but stores 1 elements"),
            (With(Tensor(DataType.Uint32, 1), t => t.Int32Data.Add(7)), "tensor 't' is uint32[1] but stores 0 elements"),
            (With(Tensor(DataType.Complex64, 2), t => t.FloatData.Add(new float[2])), "tensor 't' is complex64[2] but stores 2 elements"),
            (With(Tensor(DataType.Int64), t => t.RawData = ByteString.CopyFrom(new byte[4])), "tensor 't' is int64[] but stores 4 bytes"),
            (Tensor(DataType.String, 2), "tensor 't' is string[2] but stores 0 strings"),
            (Tensor(DataType.Float, 2, -3), "tensor 't' has impossible dimensions [2,-3]"),
            (Tensor(DataType.Float, 1L << 32, 1L << 32), "tensor 't' has impossible dimensions [4294967296,4294967296]"),
            (Tensor(DataType.Float, long.MaxValue), "tensor 't' has impossible dimensions [9223372036854775807]"),
            (Tensor(DataType.Float, long.MinValue), "tensor 't' has impossible dimensions [-9223372036854775808]"),
            (Tensor(DataType.Float, [.. Enumerable.Repeat(1L, 65)]), "tensor 't' has 65 dimensions, more than 64"),
            (Tensor((DataType)99, 1), "tensor 't' has an unknown element type 99"),
            (Tensor(DataType.Undefined, 1), "tensor 't' has an unknown element undefined"),
        ];

        Assert.All(bad, item => Assert.Equal(item.Message, Assert.Throws<ModelException>(item.Tensor.Validate).Message));
    }

    [Fact]
    public void What_is_created_is_read_back()
    {
        AssertReads(TensorData.Floats("t", [1, 2, 3, 4], 2, 2), 1, 2, 3, 4);
        AssertReads(TensorData.Scalar("t", 5), 5);
        AssertReads(TensorData.Int64s("t", [5, 6]), 5, 6);
        AssertReads(TensorData.Create<sbyte>("t", DataType.Int8, [-5], 1, 1), -5);
        Assert.Equal([2, 2], TensorData.Floats("t", [1, 2, 3, 4], 2, 2).Dims);
    }

    [Fact]
    public void Stored_bytes_are_those_of_raw_data()
    {
        Assert.Equal(8, TensorData.Floats("t", [1, 2], 2).StoredBytes());
        Assert.Equal(4, With(Tensor(DataType.Float16, 2), t => t.Int32Data.Add([1, 2])).StoredBytes());
        Assert.Equal(2, Tensor(DataType.Int4, 3).StoredBytes());
    }
}
