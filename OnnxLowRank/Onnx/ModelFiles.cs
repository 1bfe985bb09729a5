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

    /// <summary>SHA-256 of the model file followed by the files that its tensors are stored in, in the order the model names them: of what it is, not of where.</summary>
    public static string ContentHash(string path, OnnxModel model)
    {
        using var hash = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
        byte[] buffer = new byte[1 << 20];
        foreach (string part in model.ExternalFiles.Prepend(path))
        {
            using var file = File.OpenRead(part);
            for (int read; (read = file.Read(buffer)) > 0;)
            {
                hash.AppendData(buffer, 0, read);
            }
        }
        return Convert.ToHexStringLower(hash.GetHashAndReset());
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
