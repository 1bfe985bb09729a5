using System.Runtime.InteropServices;
using System.Text.Json;
using Google.Protobuf;
using OnnxLowRank.Onnx;
using OnnxLowRank.Onnx.Proto;
using OnnxLowRank.Tests.Samples;

namespace OnnxLowRank.Tests.Cli;

/// <summary>
/// A folder with a small classifier <c>in.onnx</c> (x (N,16) → hidden (N,96) → y (N,4), weights of rank 4 and a little noise),
/// 64 samples <c>calib/x.npy</c> and their <c>labels.npy</c>. Vanishes after the test.
/// </summary>
sealed class Playground : IDisposable
{
    public const int Samples = 64;
    public const int Inputs = 16;
    const int Hidden = 96;
    const int Classes = 4;

    readonly TempFolder _folder = new();

    public Playground()
    {
        Save(Classifier());
        WriteSamples(Values(Samples * Inputs), Samples, Inputs);
        var labels = new long[Samples];
        Npy("labels.npy", [Samples], [.. labels.Select((_, i) => i % (long)Classes)]);
    }

    public string Folder => _folder.Path;

    public string Input => PathOf("in.onnx");

    public string Output => PathOf("out.onnx");

    public string PathOf(string name) => Path.Combine(Folder, name);

    public JsonElement Json(string name) => JsonDocument.Parse(File.ReadAllText(PathOf(name))).RootElement;

    public string Write(string name, byte[] content) => _folder.File(name, content);

    public string Npy<T>(string name, long[] shape, params T[] values) where T : unmanaged => _folder.Npy(name, shape, values);

    public string Npz(string name, params (string Entry, byte[] Content)[] entries) => _folder.Npz(name, entries);

    public void WriteSamples(float[] values, params long[] shape) => Npy("calib/x.npy", shape, values);

    public void Save(ModelProto model) => Write("in.onnx", model.ToByteArray());

    /// <summary>Everything in the folder by relative path, to see what a run left behind.</summary>
    public SortedDictionary<string, string> Contents()
    {
        var contents = new SortedDictionary<string, string>(StringComparer.Ordinal);
        foreach (var entry in new DirectoryInfo(Folder).EnumerateFileSystemInfos("*", SearchOption.AllDirectories))
        {
            contents[Path.GetRelativePath(Folder, entry.FullName)] =
                entry is FileInfo { LinkTarget: null } file ? Convert.ToHexString(System.Security.Cryptography.SHA256.HashData(File.ReadAllBytes(file.FullName))) : "";
        }
        return contents;
    }

    public CommandResult Run(params string[] options) => CommandLine.Run(Folder, ["in.onnx", "out.onnx", "--calib", "calib", .. options]);

    public void Dispose() => _folder.Dispose();

    public static float[] Values(int count, int seed = 1)
    {
        var random = new Random(seed);
        return [.. Enumerable.Range(0, count).Select(_ => random.NextSingle() * 2 - 1)];
    }

    /// <summary>The classifier; <paramref name="last"/> is one more node behind the logits, such as Softmax, or null.</summary>
    public static ModelProto Classifier(string? last = null, int classes = Classes)
    {
        var graph = new GraphProto
        {
            Name = "classifier",
            Input = { Value("x", TensorProto.Types.DataType.Float, null, Inputs) },
            Output = { Value("y", TensorProto.Types.DataType.Float, null, classes) },
            Initializer = { Weight("w1", Hidden, Inputs), Weight("b1", Hidden), Weight("w2", classes, Hidden), Weight("b2", classes) },
            Node =
            {
                Gemm("hidden", "x", "w1", "b1", "h"),
                NodeAttributes.Create("Relu", "relu", ["h"], ["r"]),
                Gemm("logits", "r", "w2", "b2", last == null ? "y" : "l"),
            },
        };
        if (last != null)
        {
            graph.Node.Add(NodeAttributes.Create(last, "last", ["l"], ["y"]));
        }
        return Model(graph);
    }

    public static ModelProto Model(GraphProto graph) => new()
    {
        IrVersion = 8,
        Graph = graph,
        OpsetImport = { new OperatorSetIdProto { Version = 17 } },
    };

    static NodeProto Gemm(string name, string x, string weight, string bias, string y)
    {
        var node = NodeAttributes.Create("Gemm", name, [x, weight, bias], [y]);
        node.Attribute.Add(new AttributeProto { Name = "transB", Type = AttributeProto.Types.AttributeType.Int, I = 1 });
        return node;
    }

    /// <param name="shape">Lengths; null for one that is free.</param>
    public static ValueInfoProto Value(string name, TensorProto.Types.DataType type, params int?[] shape)
    {
        var dims = new TensorShapeProto();
        dims.Dim.AddRange(shape.Select(length => length is { } known
            ? new TensorShapeProto.Types.Dimension { DimValue = known }
            : new TensorShapeProto.Types.Dimension { DimParam = "N" }));
        return new() { Name = name, Type = new() { TensorType = new() { ElemType = (int)type, Shape = dims } } };
    }

    /// <summary>A vector of small values, or a matrix of rank 4 with noise of a hundredth.</summary>
    public static TensorProto Weight(string name, params int[] shape) => Weight(name, 1, shape);

    public static TensorProto Weight(string name, float scale, params int[] shape)
    {
        const int Rank = 4;
        int rows = shape[0], columns = shape.Length > 1 ? shape[1] : 1;
        float[] left = Values(rows * Rank, name.Length + rows), right = Values(Rank * columns, columns), noise = Values(rows * columns, 3);
        var values = new float[rows * columns];
        for (int i = 0; i < values.Length; i++)
        {
            float sum = noise[i] / 100;
            for (int k = 0; k < Rank && shape.Length > 1; k++)
            {
                sum += left[i / columns * Rank + k] * right[k * columns + i % columns];
            }
            values[i] = sum * scale;
        }
        return new()
        {
            Name = name,
            DataType = (int)TensorProto.Types.DataType.Float,
            Dims = { shape.Select(length => (long)length) },
            RawData = ByteString.CopyFrom(MemoryMarshal.AsBytes<float>(values)),
        };
    }
}
