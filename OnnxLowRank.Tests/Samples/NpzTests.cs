using System.IO.Compression;
using OnnxLowRank.Samples;
using DataType = OnnxLowRank.Onnx.Proto.TensorProto.Types.DataType;

namespace OnnxLowRank.Tests.Samples;

public sealed class NpzTests : IDisposable
{
    readonly TempFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    // Written by NumPy 1.24: x = np.arange(24).reshape(2, 3, 4); a = x as float32, "b/c" = x as int8, the second time in Fortran order; zlib-compressed.
    const string Saved = "eNoL8GZmEWGAAEUGkZO1kg+ALBBmZRBhSNTLK6hkZBAACzBAJUBgsl+ob0AkI0MZQ7V6SmpxcpG6lYK6TZqJuo6Celp+UUlRYl58flFKKkjcLTGnOBUoXpyRWJAK5GsY6SgY6yiYaOoo1CqQB7ggrmiwBxIOQATEDUC8AIgPAPEDIGZwZGAQAGIFIDYAYgcgDgDiBCAuAOIGIO4A4glAPAOIFwDxCiDeAMQ7HANQguV6olD8DCALhNmBwZKknwwLmBlQRTPwBUxNpiHdAoaRiZmFlY2dg5OLm4eXj19AUEhYRFRMPMCbkUmEGVdMI0ADI4gExzu6FtRQQNYiDtQEDZMAb1Y2kCATEGYA6Rdg8wB/xGcZ";
    const string SavedCompressed = "eNoL8GZmEWFgYOAAYkUGkZO1ku1A1gMgZmUQYUjUyyuoZGQQAAuAQDuUnv1G/JW0wMkTAccC1s6bFDUnZkne0gV5k9MWrVu8YN60+JCgKTPE58dPmcQlVO59RtOPtUs8XUVsCdNPKTcrrmNWXGqzrLi2cj1h1GMzyNjALsTnwHKE12EPQwc/w0dmhbSClAQBhiRWBTOGJHYFPoZHLAp6DI/YFN4xPOJ0sGHuEGf4yKVwj+GItQxjAIrrN+/dOC0ByJoBxOxA1yfpJ8PcPwPq7gR87o+bnLkCw/38mlq+rFwQ5+9EcX4Kkx6bnBgjn6BbXJijX6CanZminmFaXVliXiFDgDcjkwgzroBFgAZGEAkOZnQtqL5B1rIPSEL9FuDNygYSZALCDCAdDjYPAAttb8s=";

    [Theory]
    [InlineData(Saved)]
    [InlineData(SavedCompressed)]
    public void Archives_written_by_numpy_are_read(string base64)
    {
        using var zlib = new ZLibStream(new MemoryStream(Convert.FromBase64String(base64)), CompressionMode.Decompress);
        var file = new MemoryStream();
        zlib.CopyTo(file);
        string path = _folder.File("x.npz", file.ToArray());
        InputSpec[] inputs = [new("b/c", DataType.Int8, [null, 3, 4]), new("a", DataType.Float, [null, 3, 4])];

        using var source = SampleSource.Open(path, inputs);
        using var run = source.Read([1]);

        Assert.Equal(2, source.Count);
        Assert.Equal(Enumerable.Range(12, 12).Select(x => (byte)x), run.Inputs[0].Bytes.ToArray());
        Assert.Equal(23f, BitConverter.ToSingle(run.Inputs[1].Bytes.Span[^4..]));
    }

    [Fact]
    public void Arrays_that_no_input_wants_are_not_even_looked_at()
    {
        string path = _folder.Npz("x.npz", ("x.npy", TempFolder.NpyBytes([1], [1f])), ("broken.npy", [1, 2, 3]), ("readme.txt", [1]));

        using var source = SampleSource.Open(path, [new("x", DataType.Float, [])]);

        Assert.Equal(1, source.Count);
    }

    [Fact]
    public void More_bytes_than_the_limit_are_refused_before_unpacking()
    {
        string path = _folder.Npz("bomb.npz", ("x.npy", TempFolder.NpyBytes([100_000], new double[100_000])));

        var e = Assert.Throws<DataException>(() => SampleSource.Open(path, [new("x", DataType.Double, [])], unpackedLimit: 799_999));
        SampleSource.Open(path, [new("x", DataType.Double, [])], unpackedLimit: 800_000).Dispose();

        Assert.Contains("800000 bytes, above the limit of 799999", e.Message);
    }

    [Fact]
    public void Entry_longer_than_its_header_says_is_refused()
    {
        byte[] bomb = [.. TempFolder.NpyBytes([2], [1f, 2]), .. new byte[1_000_000]];

        var e = Assert.Throws<DataException>(() => SampleSource.Open(_folder.Npz("x.npz", ("x.npy", bomb)), [new("x", DataType.Float, [])]));

        Assert.Contains("something behind its array", e.Message);
    }

    [Fact]
    public void Two_arrays_of_one_name_are_refused()
    {
        byte[] array = TempFolder.NpyBytes([1], [1f]);

        var e = Assert.Throws<DataException>(() => SampleSource.Open(_folder.Npz("x.npz", ("x.npy", array), ("x.npy", array)), [new("x", DataType.Float, [])]));

        Assert.Contains("two arrays named 'x'", e.Message);
    }
}
