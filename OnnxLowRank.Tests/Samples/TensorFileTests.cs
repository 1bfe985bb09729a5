using System.Runtime.InteropServices;
using Google.Protobuf;
using OnnxLowRank.Onnx.Proto;
using OnnxLowRank.Samples;
using DataType = OnnxLowRank.Onnx.Proto.TensorProto.Types.DataType;

namespace OnnxLowRank.Tests.Samples;

public sealed class TensorFileTests : IDisposable
{
    readonly TempFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Fact]
    public void Raw_data_is_taken_as_it_is()
    {
        var tensor = Read(new() { Name = "x", Dims = { 2, 3 }, DataType = (int)DataType.Uint8, RawData = ByteString.CopyFrom(1, 2, 3, 4, 5, 6) });

        Assert.Equal("x", tensor.Name);
        Assert.Equal([2L, 3], tensor.Shape);
        Assert.Equal([1, 2, 3, 4, 5, 6], tensor.Bytes);
    }

    [Fact]
    public void Every_typed_field_is_read()
    {
        Assert.Equal([1.5f, -2], As<float>(new() { DataType = (int)DataType.Float, FloatData = { 1.5f, -2 } }));
        Assert.Equal([1.5, -2], As<double>(new() { DataType = (int)DataType.Double, DoubleData = { 1.5, -2 } }));
        Assert.Equal([1, long.MinValue], As<long>(new() { DataType = (int)DataType.Int64, Int64Data = { 1, long.MinValue } }));
        Assert.Equal([1, ulong.MaxValue], As<ulong>(new() { DataType = (int)DataType.Uint64, Uint64Data = { 1, ulong.MaxValue } }));
        Assert.Equal([1, uint.MaxValue], As<uint>(new() { DataType = (int)DataType.Uint32, Uint64Data = { 1, uint.MaxValue } }));
        Assert.Equal([1, int.MinValue], As<int>(new() { DataType = (int)DataType.Int32, Int32Data = { 1, int.MinValue } }));
        Assert.Equal([1, short.MinValue], As<short>(new() { DataType = (int)DataType.Int16, Int32Data = { 1, short.MinValue } }));
        Assert.Equal([1, ushort.MaxValue], As<ushort>(new() { DataType = (int)DataType.Uint16, Int32Data = { 1, ushort.MaxValue } }));
        Assert.Equal([1, sbyte.MinValue], As<sbyte>(new() { DataType = (int)DataType.Int8, Int32Data = { 1, sbyte.MinValue } }));
        Assert.Equal([1, byte.MaxValue], As<byte>(new() { DataType = (int)DataType.Uint8, Int32Data = { 1, byte.MaxValue } }));
        Assert.Equal([1, 0], As<byte>(new() { DataType = (int)DataType.Bool, Int32Data = { 1, 0 } }));
        Assert.Equal([(Half)1.5, (Half)(-2)], As<Half>(new() { DataType = (int)DataType.Float16, Int32Data = { 0x3E00, 0xC000 } }));
        Assert.Equal([0x3FC0, 0xC000], As<ushort>(new() { DataType = (int)DataType.Bfloat16, Int32Data = { 0x3FC0, 0xC000 } }));
    }

    [Fact]
    public void Scalar_has_one_element()
    {
        Assert.Equal([7], As<int>(new() { DataType = (int)DataType.Int32, Int32Data = { 7 } }, dims: []));
    }

    public static TheoryData<string, string> Broken => new()
    {
        { "strings", "holds string" },
        { "complex", "holds complex64" },
        { "unknown", "unknown type 99" },
        { "external", "another file" },
        { "range", "no int8" },
        { "short", "12 bytes, but 8" },
        { "long", "4 bytes, but 8" },
        { "negative", "impossible shape" },
        { "overflow", "impossible shape" },
        { "nothing", "12 bytes, but 0" },
    };

    [Theory]
    [MemberData(nameof(Broken))]
    public void What_is_no_plain_tensor_is_refused_with_the_reason(string which, string reason)
    {
        TensorProto tensor = which switch
        {
            "strings" => new() { Dims = { 1 }, DataType = (int)DataType.String, StringData = { ByteString.CopyFromUtf8("a") } },
            "complex" => new() { Dims = { 1 }, DataType = (int)DataType.Complex64, FloatData = { 1, 2 } },
            "unknown" => new() { Dims = { 1 }, DataType = 99 },
            "external" => new() { Dims = { 1 }, DataType = (int)DataType.Float, DataLocation = TensorProto.Types.DataLocation.External },
            "range" => new() { Dims = { 1 }, DataType = (int)DataType.Int8, Int32Data = { 300 } },
            "short" => new() { Dims = { 3 }, DataType = (int)DataType.Float, FloatData = { 1, 2 } },
            "long" => new() { Dims = { 1 }, DataType = (int)DataType.Float, FloatData = { 1, 2 } },
            "negative" => new() { Dims = { -1 }, DataType = (int)DataType.Float },
            "overflow" => new() { Dims = { 1L << 62, 1L << 62 }, DataType = (int)DataType.Float },
            _ => new() { Dims = { 3 }, DataType = (int)DataType.Float },
        };

        var e = Assert.Throws<DataException>(() => Read(tensor));

        Assert.Contains(reason, e.Message);
        Assert.StartsWith(Path.Combine(_folder.Path, "x.pb"), e.Message);
    }

    T[] As<T>(TensorProto tensor, long[]? dims = null) where T : unmanaged
    {
        tensor.Dims.AddRange(dims ?? [2]);
        return MemoryMarshal.Cast<byte, T>(Read(tensor).Bytes.AsSpan()).ToArray();
    }

    TensorFile Read(TensorProto tensor) => TensorFile.Read(_folder.File("x.pb", tensor.ToByteArray()));
}
