using System.Security.Cryptography;
using OnnxLowRank.Onnx.Proto;

namespace OnnxLowRank.Onnx;

/// <summary>Facts about models as files.</summary>
static class ModelFiles
{
    /// <summary>Bytes on disk: the model file, and its tensors stored elsewhere.</summary>
    public static long Bytes(string path, OnnxModel model) => new FileInfo(path).Length + model.ExternalBytes;

    /// <summary>SHA-256 of the model file, in lower-case hexadecimal.</summary>
    public static string Sha256(string path)
    {
        using var file = File.OpenRead(path);
        return Convert.ToHexStringLower(SHA256.HashData(file));
    }

    /// <summary>Elements of all constants: initializers and tensors of Constant nodes.</summary>
    public static long Parameters(OnnxModel model) => model.Proto.Tensors().Sum(tensor => tensor.ElementCount());

    /// <summary>How often each operator stands in the main graph, by name.</summary>
    public static SortedDictionary<string, int> Operators(GraphProto graph)
    {
        var counts = new SortedDictionary<string, int>(StringComparer.Ordinal);
        foreach (var node in graph.Node)
        {
            counts[node.OpType] = counts.GetValueOrDefault(node.OpType) + 1;
        }
        return counts;
    }
}
