using System.IO.Compression;
using System.Runtime.InteropServices;
using OnnxLowRank.Samples;
using DataType = OnnxLowRank.Onnx.Proto.TensorProto.Types.DataType;

namespace OnnxLowRank.Tests.Samples;

public sealed class NpyTests : IDisposable
{
    readonly TempFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    // Files that NumPy 1.24 wrote of np.arange(24).reshape(2, 3, 4), zlib-compressed.
    static readonly Dictionary<string, string> s_byNumpy = new()
    {
        ["v1 int64"] = "eNqdzDkKAkEUhOEZ931f0pe1Qkc6gYixmWJiYCSN06IgjnSLiXgKL+wIvxewko+qoN7r7WqzC4NH8FSx9Qen5qIW55nSoo6Juztz3Scutt99aS7eprs/mZtN+2iiZaolGmt5yX+pBCTEDGYxh3ksYBFLWMbfYRVrWMcGNrGFbexgF3vYxwEO8QNXEByn",
        ["v2 big-endian float32"] = "eNqb7BfqGxDJxFDCwMBQrZ6SWpxcpG6loG6XZqKuo6Cell9UUpSYF59flJIKEndLzClOBYoXZyQWpAL5GkY6CsY6CiaaOgq1CuQALqC1DPYNDAwOQNoBSDiA2AuA+AAQP2BgcASKOwoAsQIQGwAxUI1jABAnAHEBEAPVO3YA8QQgngHEQL2OK4B4AxDvYGAAACAaKzw=",
        ["v3 fortran float64"] = "eNqb7BfqGxDJzFDCwMBQrZ6SWpxcpG6loG6TZqGuo6Cell9UUpSYF59flJIKEg8pKk0FChdnJBakArkaRjoKxjoKJpo6CrUKZAEuBhSg4QChBaC0AZRWgNImUPqDPYTWgvJFoLQhlFaC0qZQmgFK60BpCShtBKVVoLQZlOaA0npQWgZKG0NpNSht7gAAEUMlCA==",
        ["fortran big-endian int16"] = "eNqb7BfqGxDJyFDGUK2eklqcXKRupaBul2mkrqOgnpZfVFKUmBefX5SSChIPKSpNBQoXZyQWpAK5GkY6CsY6CiaaOgq1CmQCLgYGBh4GFgYBBg4GEQZGBl4GVgZBBk4GUQYmBj4GNgYhBi4GMQZmBn4GdgZhBm4GcQCNdxx4",
        ["uint8"] = "eNqb7BfqGxDJyFDGUK2eklqcXKRupaBeU2qorqOgnpZfVFKUmBefX5SSChJ3S8wpTgWKF2ckFqQC+RpGOgrGOgommjoKtQrkAS4GRiZmFlY2dg5OLm4eXj5+AUEhYRFRMXEAIfcc7A==",
        ["float16"] = "eNqb7BfqGxDJyFDGUK2eklqcXKRupaBuk2akrqOgnpZfVFKUmBefX5SSChJ3S8wpTgWKF2ckFqQC+RpGOgrGOgommjoKtQrkAS4GBgYbBgcGJwYXBlcGNwZ3Bo8GDwbPBk8GrwYvBu8GbwYfB58GnwM+DL4Ovg2+B3wBXS8nDg==",
    };

    public static TheoryData<string> ByNumpy => [.. s_byNumpy.Keys];

    [Theory]
    [MemberData(nameof(ByNumpy))]
    public void Files_written_by_numpy_are_read(string which)
    {
        using var array = Npy.Open(_folder.File("x.npy", Inflate(s_byNumpy[which])));
        byte[] bytes = new byte[2 * array.RowBytes];
        array.CopyRows(0, bytes);

        double[] values = array.ElementType switch
        {
            DataType.Int64 => [.. As<long>(bytes).Select(x => (double)x)],
            DataType.Float => [.. As<float>(bytes).Select(x => (double)x)],
            DataType.Double => As<double>(bytes),
            DataType.Int16 => [.. As<short>(bytes).Select(x => (double)x)],
            DataType.Float16 => [.. As<Half>(bytes).Select(x => (double)x)],
            _ => [.. bytes.Select(x => (double)x)],
        };
        Assert.Contains(ElementTypes.Name(array.ElementType), which);
        Assert.Equal([2L, 3, 4], array.Shape);
        Assert.Equal(Enumerable.Range(0, 24).Select(x => (double)x), values);
    }

    public static TheoryData<string, string, int> Types => new()
    {
        { "|b1", "bool", 1 }, { "|i1", "int8", 1 }, { "<i2", "int16", 2 }, { "<i4", "int32", 4 }, { "=i8", "int64", 8 },
        { "|u1", "uint8", 1 }, { "<u2", "uint16", 2 }, { ">u4", "uint32", 4 }, { "<u8", "uint64", 8 },
        { "<f2", "float16", 2 }, { ">f4", "float32", 4 }, { "<f8", "float64", 8 }, { "|?", "bool", 1 }, { "<b1", "bool", 1 },
    };

    [Theory]
    [MemberData(nameof(Types))]
    public void Every_type_of_number_is_known(string description, string name, int size)
    {
        byte[] file = TempFolder.NpyBytes($"{{'descr': '{description}', 'fortran_order': False, 'shape': (2, 3)}}", new byte[6 * size]);

        var header = NpyHeader.Read(new MemoryStream(file), "x");

        Assert.Equal(name, ElementTypes.Name(header.ElementType));
        Assert.Equal(6 * size, header.Bytes);
        Assert.Equal(description[0] == '>', header.BigEndian);
    }

    [Theory]
    [InlineData("{'descr': '<f4', 'fortran_order': False, 'shape': (3, 4), }")]
    [InlineData("{\"shape\":(3,4),\"fortran_order\":False,\"descr\":\"<f4\"}")]
    [InlineData("  {  'fortran_order' :\tFalse ,\n'shape' : ( 3 , 4 , ) , 'descr' : '<f4' }  ")]
    [InlineData("{'descr': '<f4', 'fortran_order': False, 'shape': (3L, 4L), }")]
    public void Header_may_be_written_in_any_order_spacing_and_quotes(string text)
    {
        var header = NpyHeader.Read(new MemoryStream(TempFolder.NpyBytes(text, new byte[48])), "x");

        Assert.Equal((DataType.Float, false, false), (header.ElementType, header.BigEndian, header.Fortran));
        Assert.Equal([3L, 4], header.Shape);
    }

    [Fact]
    public void Scalar_is_one_row()
    {
        using var array = Npy.Open(_folder.Npy("x.npy", [], 42f));
        byte[] bytes = new byte[4];
        array.CopyRows(0, bytes);

        Assert.Empty(array.Shape);
        Assert.Equal(42f, BitConverter.ToSingle(bytes));
    }

    [Fact]
    public void Rows_are_read_from_the_middle()
    {
        using var array = Npy.Open(_folder.Npy("x.npy", [4, 2], 0, 1, 10, 11, 20, 21, 30, 31));
        byte[] bytes = new byte[16];
        array.CopyRows(1, bytes);

        Assert.Equal([10, 11, 20, 21], As<int>(bytes));
    }

    [Fact]
    public void Rows_beyond_the_end_are_the_callers_mistake()
    {
        using var array = Npy.Open(_folder.Npy("x.npy", [2, 1], 0, 1));

        Assert.Throws<ArgumentException>(() => array.CopyRows(1, new byte[8]));
        Assert.Throws<ArgumentException>(() => array.CopyRows(-1, new byte[4]));
    }

    [Fact]
    public void File_cut_while_open_is_bad_data()
    {
        string path = _folder.Npy("x.npy", [2, 1], 0, 1);
        using var array = Npy.Open(path);
        Cut(path);

        var e = Assert.Throws<DataException>(() => array.CopyRows(0, new byte[8]));

        Assert.Contains("shorter", e.Message);
    }

    /// <summary>Shapes around the limits of blocks: columns below and above 4096 bytes, one row per block, blocks that do not divide.</summary>
    [Theory]
    [InlineData(1, 5, 7, 100)]
    [InlineData(7, 3, 2, 24)]
    [InlineData(7, 3, 2, 1)]
    [InlineData(1024, 3, 2, 1000)]
    [InlineData(1025, 3, 2, 1000)]
    [InlineData(3000, 2, 1, 50)]
    [InlineData(13, 40, 50, 1 << 20)]
    public void Fortran_order_is_turned_around(int count, int height, int width, int blockBytes)
    {
        int[] columnMajor = [.. Enumerable.Range(0, count * height * width)];
        string path = _folder.File("raw", MemoryMarshal.AsBytes<int>(columnMajor).ToArray());
        var header = new NpyHeader(DataType.Int32, false, true, [count, height, width], 4L * columnMajor.Length, 0);

        var result = new MemoryStream();
        using (var source = File.OpenRead(path))
        {
            Npy.ToRowMajor(source, result, header, "x", blockBytes);
        }

        var expected = from n in Enumerable.Range(0, count)
                       from y in Enumerable.Range(0, height)
                       from x in Enumerable.Range(0, width)
                       select n + count * (y + height * x);
        Assert.Equal(expected, As<int>(result.ToArray()));
    }

    [Fact]
    public void Scratch_files_leave_nothing_behind()
    {
        using (var scratch = DataFile.Scratch())
        {
            scratch.WriteByte(1);
            Assert.True(OperatingSystem.IsWindows() || !File.Exists(scratch.Name));
        }
    }

    // Not through FileStream: it would wait for nobody here, but Windows refuses to cut a file that is open.
    static void Cut(string path)
    {
        Assert.SkipWhen(OperatingSystem.IsWindows(), "an open file cannot be cut on Windows");
        using var file = new FileStream(path, FileMode.Open, FileAccess.Write, FileShare.ReadWrite);
        file.SetLength(100);
    }

    static T[] As<T>(byte[] bytes) where T : unmanaged => MemoryMarshal.Cast<byte, T>(bytes.AsSpan()).ToArray();

    static byte[] Inflate(string base64)
    {
        using var zlib = new ZLibStream(new MemoryStream(Convert.FromBase64String(base64)), CompressionMode.Decompress);
        using var memory = new MemoryStream();
        zlib.CopyTo(memory);
        return memory.ToArray();
    }
}
