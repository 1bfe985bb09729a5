using System.IO.Compression;
using Google.Protobuf;
using OnnxLowRank.Onnx.Proto;
using OnnxLowRank.Samples;
using DataType = OnnxLowRank.Onnx.Proto.TensorProto.Types.DataType;

namespace OnnxLowRank.Tests.Samples;

/// <summary>Broken and malicious files end in one kind of exception, soon.</summary>
public sealed class HostileDataTests : IDisposable
{
    readonly TempFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    /// <summary>Headers of a .npy with 8 bytes of elements, and what is said about them.</summary>
    public static TheoryData<string, string> Headers => new()
    {
        { "", "expected '{'" },
        { "{", "expected a string" },
        { "{}", "lacks 'descr'" },
        { "{'descr': '<f4', 'shape': (2,)}", "lacks 'fortran_order'" },
        { "{'descr': '<f4', 'fortran_order': False}", "lacks 'shape'" },
        { "{'descr': '<f4', 'descr': '<f4', 'fortran_order': False, 'shape': (2,)}", "repeated key 'descr'" },
        { "{'descr': '<f4', 'fortran_order': False, 'shape': (2,), 'x': 1}", "unknown or repeated key 'x'" },
        { "{'descr': '<f4', 'fortran_order': False, 'shape': (2,)} + exit()", "expected its end" },
        { "{'descr': '<f4', 'fortran_order': 0, 'shape': (2,)}", "expected True or False" },
        { "{'descr': '<f4', 'fortran_order': False, 'shape': 2}", "expected '('" },
        { "{'descr': '<f4', 'fortran_order': False, 'shape': (2)}", "expected ',' in a tuple of one" },
        { "{'descr': '<f4', 'fortran_order': False, 'shape': (2 1)}", "expected ',' or ')'" },
        { "{'descr': '<f4', 'fortran_order': False, 'shape': (,)}", "expected a number" },
        { "{'descr': '<f4', 'fortran_order': False, 'shape': (2,", "expected a number" },
        { "{'descr': '<f4', 'fortran_order': False, 'shape': (2.0,)}", "expected ',' or ')'" },
        { "{'descr': '<f4', 'fortran_order': False, 'shape': (-2,)}", "negative dimension -2" },
        { "{'descr': '<f4', 'fortran_order': False, 'shape': (99999999999999999999,)}", "expected a number below 2^63" },
        { "{'descr': '<f4', 'fortran_order': False, 'shape': (4611686018427387904, 4611686018427387904)}", "larger than any file" },
        { "{'descr': '<f4', 'fortran_order': False, 'shape': (2305843009213693952,)}", "larger than any file" },
        { "{'descr': '<f4', 'fortran_order': False, 'shape': (0, 4611686018427387904, 4611686018427387904)}", "larger than any file" },
        { "{'descr': '<f4', 'fortran_order': False, 'shape': (3,)}", "is cut short" },
        { "{'descr': '<f4', 'fortran_order': False, 'shape': (1,)}", "something behind its array" },
        { "{'descr': '<f4', 'fortran_order': True, 'shape': (1000000000, 1000000)}", "is cut short" },
        { "{'descr': '|O', 'fortran_order': False, 'shape': (1,)}", "pickled Python objects" },
        { "{'descr': '<U2', 'fortran_order': False, 'shape': (1,)}", "is strings" },
        { "{'descr': '|S8', 'fortran_order': False, 'shape': (1,)}", "is strings" },
        { "{'descr': '|V8', 'fortran_order': False, 'shape': (1,)}", "is raw records" },
        { "{'descr': '<c8', 'fortran_order': False, 'shape': (1,)}", "is complex" },
        { "{'descr': '<M8[ns]', 'fortran_order': False, 'shape': (1,)}", "is dates" },
        { "{'descr': '<f16', 'fortran_order': False, 'shape': (1,)}", "is not one of float16" },
        { "{'descr': '', 'fortran_order': False, 'shape': (1,)}", "is not known" },
        { "{'descr': '<', 'fortran_order': False, 'shape': (1,)}", "is not known" },
        { "{'descr': '<f4\\n', 'fortran_order': False, 'shape': (2,)}", "expected a string" },
        { "{'descr': '<f4, 'fortran_order': False, 'shape': (2,)}", "expected" },
        { "{'descr': [('a', '<f4'), ('b', '<f4')], 'fortran_order': False, 'shape': (1,)}", "structured dtype" },
        { "{'descr': ('<f4', (2,)), 'fortran_order': False, 'shape': (1,)}", "structured dtype" },
    };

    [Theory]
    [MemberData(nameof(Headers))]
    public void Broken_header_is_refused_with_the_reason(string header, string reason)
    {
        string path = _folder.File("x.npy", TempFolder.NpyBytes(header, new byte[8]));

        var e = Assert.Throws<DataException>(() => SampleSource.Open(path, [new("x", DataType.Float, [])]));

        Assert.StartsWith(path + ": ", e.Message);
        Assert.Contains(reason, e.Message);
    }

    [Fact]
    public void More_axes_than_numpy_has_are_refused()
    {
        string header = $"{{'descr': '<f4', 'fortran_order': False, 'shape': ({string.Concat(Enumerable.Repeat("1,", 65))})}}";

        Refused(_folder.File("x.npy", TempFolder.NpyBytes(header, new byte[4])), "at most 64 axes");
    }

    [Fact]
    public void Lying_header_lengths_are_refused()
    {
        Refused(_folder.File("x.npy", [0x93, .. "NUMPY"u8, 1, 0, 0xFF, 0xFF, (byte)'{']), "ends too early");
        Refused(_folder.File("x.npy", [0x93, .. "NUMPY"u8, 2, 0, 0xFF, 0xFF, 0xFF, 0x7F, (byte)'{']), "header of 2147483647 bytes");
        Refused(_folder.File("x.npy", [0x93, .. "NUMPY"u8, 3, 0, 0xFF, 0xFF, 0xFF, 0xFF]), "header of 4294967295 bytes");
        Refused(_folder.File("x.npy", [0x93, .. "NUMPY"u8, 1, 0, 0]), "ends too early");
        Refused(_folder.File("x.npy", [0x93, .. "NUMPY"u8, 1]), "is not a .npy file");
        Refused(_folder.File("x.npy", [0x93, .. "NUMPY"u8, 4, 0, 0, 0]), "version 4.0");
        Refused(_folder.File("x.npy", [0x93, .. "NUMPY"u8, 1, 7, 0, 0]), "version 1.7");
        Refused(_folder.File("x.npy", []), "empty, or no regular file");
    }

    [Fact]
    public void Broken_archives_are_refused()
    {
        byte[] good = TempFolder.NpzBytes(("x.npy", TempFolder.NpyBytes([2], [1f, 2])));

        Refused(_folder.File("x.npz", "PK"u8.ToArray()), "cannot be read");
        Refused(_folder.File("x.npz", good[..^10]), "cannot be read");
        Refused(_folder.Npz("x.npz"), "no array for input 'x'; expected x.npy; found no .npy");
        Refused(_folder.Npz("x.npz", ("y.npy", [1])), "found y.npy");
        Refused(_folder.Npz("x.npz", ("x.npy", [])), "is not a .npy file");
        Refused(_folder.Npz("x.npz", ("x.npy", TempFolder.NpyBytes("{'descr': '|O', 'fortran_order': False, 'shape': (1,)}", [1]))), "x.npz(x): dtype '|O' is pickled");
    }

    [Fact]
    public void Samples_without_an_element_are_refused_however_many()
    {
        const string Billions = "{'descr': '<f4', 'fortran_order': False, 'shape': (2147483647, 0)}";
        string path = _folder.File("x.npy", TempFolder.NpyBytes(Billions, []));

        var e = Assert.Throws<DataException>(() => SampleSource.Open(path, [new("x", DataType.Float, [null, null])]));
        Assert.Equal($"{path}: 2147483647 samples without an element", e.Message);

        _folder.File("sets/test_data_set_0/input_0.pb", new TensorProto { Dims = { 0, 4 }, DataType = (int)DataType.Float }.ToByteArray());
        e = Assert.Throws<DataException>(() => SampleSource.Open(Path.Combine(_folder.Path, "sets"), [new("x", DataType.Float, [null, null])]));
        Assert.Contains("test_data_set_0: a sample without an element", e.Message);
    }

    [Fact]
    public void An_input_that_is_empty_beside_one_that_is_not_is_fine()
    {
        _folder.Npy<float>("past.npy", [2, 0]);
        _folder.Npy("x.npy", [2, 1], 1f, 2);

        using var source = SampleSource.Open(_folder.Path, [new("past", DataType.Float, [null, null]), new("x", DataType.Float, [null, null])]);

        Assert.Equal(2, source.Count);
    }

    [Fact]
    public void Pipe_or_device_is_no_data()
    {
        Assert.SkipUnless(OperatingSystem.IsLinux(), "no /dev/zero");

        Refused("/dev/zero", "empty, or no regular file");
        Refused("/dev/null", "empty, or no regular file");
    }

    [Fact]
    public void Mutated_npy_is_valid_or_refused()
    {
        byte[][] seeds =
        [
            TempFolder.NpyBytes([3, 2], [1f, 2, 3, 4, 5, 6]),
            TempFolder.NpyBytes("{'descr': '>f8', 'fortran_order': True, 'shape': (2, 2, 2), }", new byte[64], version: 2),
            TempFolder.NpyBytes([2, 3], [1.0, 2, 3, 4, 5, 6]),
        ];
        Mutate(seeds, "x.npy", path => ReadAll(path, new("x", DataType.Float, [null, null])));
    }

    [Fact]
    public void Mutated_labels_are_valid_or_refused()
    {
        byte[][] seeds =
        [
            TempFolder.NpyBytes([200], new int[200]),
            TempFolder.NpyBytes("{'descr': '>i2', 'fortran_order': True, 'shape': (4, 2), }", new byte[16], version: 3),
        ];
        Mutate(seeds, "labels.npy", path => Labels.Read(path));
    }

    [Fact]
    public void Mutated_npz_is_valid_or_refused()
    {
        byte[] array = TempFolder.NpyBytes([3, 2], [1f, 2, 3, 4, 5, 6]);
        byte[] fortran = TempFolder.NpyBytes("{'descr': '>f4', 'fortran_order': True, 'shape': (3, 2), }", new byte[24], version: 3);

        byte[][] seeds =
        [
            TempFolder.NpzBytes(("x.npy", array)),
            TempFolder.NpzBytes(CompressionLevel.NoCompression, ("y.npy", array), ("x.npy", fortran)),
        ];
        Mutate(seeds, "x.npz", path => ReadAll(path, new("x", DataType.Float, [null, 2])));
    }

    [Fact]
    public void Mutated_tensor_is_valid_or_refused()
    {
        byte[][] seeds =
        [
            new TensorProto { Name = "x", Dims = { 3, 2 }, DataType = (int)DataType.Float, FloatData = { 1, 2, 3, 4, 5, 6 } }.ToByteArray(),
            new TensorProto { Name = "x", Dims = { 3, 2 }, DataType = (int)DataType.Float, RawData = ByteString.CopyFrom(new byte[24]) }.ToByteArray(),
            new TensorProto { Dims = { 3, 2 }, DataType = (int)DataType.Double, DoubleData = { 1, 2, 3, 4, 5, 6 } }.ToByteArray(),
        ];
        Mutate(seeds, "input_0.pb", path => ReadAll(Path.GetDirectoryName(path)!, new("x", DataType.Float, [null, null])));
    }

    static void Refused(string path, string reason)
    {
        var e = Assert.Throws<DataException>(() => SampleSource.Open(path, [new("x", DataType.Float, [])]));
        Assert.Contains(reason, e.Message);
    }

    static void ReadAll(string path, InputSpec input)
    {
        using var source = SampleSource.Open(path, [input]);
        for (int i = 0; i < Math.Min(source.Count, 10); i++)
        {
            source.Read([i]).Dispose();
        }
    }

    /// <summary>2,000 files, each a seed with one to four bytes changed, inserted, removed, or its end cut or doubled.</summary>
    void Mutate(byte[][] seeds, string file, Action<string> read)
    {
        var random = new Random(1);
        int valid = 0, refused = 0;
        for (int round = 0; round < 2000; round++)
        {
            var bytes = seeds[round % seeds.Length].ToList();
            for (int edits = random.Next(1, 5); edits > 0 && bytes.Count > 0; edits--)
            {
                int at = random.Next(bytes.Count);
                switch (random.Next(10))
                {
                    case 0:
                        bytes.RemoveAt(at);
                        break;
                    case 1:
                        bytes.Insert(at, (byte)random.Next(256));
                        break;
                    case 2:
                        bytes.RemoveRange(at, bytes.Count - at);
                        break;
                    case 3:
                        bytes.AddRange(bytes[at..]);
                        break;
                    case 4 or 5:
                        bytes[at] = (byte)"0123456789(),'{}<>|TF-L"[random.Next(23)];
                        break;
                    case 6:
                        bytes[at] = (byte)(random.Next(2) * 255);
                        break;
                    default:
                        bytes[at] ^= (byte)(1 << random.Next(8));
                        break;
                }
            }
            string path = _folder.File(file, [.. bytes]);
            try
            {
                read(path);
                valid++;
            }
            catch (DataException)
            {
                refused++;
            }
            File.Delete(path);   // rewriting the same file makes some file systems wait for the disk
        }

        Assert.True(valid > 100 && refused > 500, $"{valid} valid, {refused} refused: the mutations miss one side");
    }
}
