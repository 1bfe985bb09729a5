using System.Text.RegularExpressions;
using Google.Protobuf;
using OnnxLowRank.Onnx.Proto;

namespace OnnxLowRank.Onnx;

/// <summary>
/// The file beside a model that its weights are written to where they are stored externally. Its name tells what it holds, <c>MODEL.HASH.data</c>, so that
/// a model never stands beside weights that are not its own: other weights have another name.
/// </summary>
static partial class WeightsFile
{
    const string Ending = ".data";
    const int HashBytes = 8;

    /// <param name="sha256">Of the file's content.</param>
    public static string PathFor(string model, ReadOnlySpan<byte> sha256) => $"{model}.{Convert.ToHexStringLower(sha256[..HashBytes])}{Ending}";

    /// <summary>Whether writing or replacing this model may touch the file, whatever its weights.</summary>
    public static bool IsFor(string model, string path)
    {
        string name = Path.GetFileName(model);
        string real = RealPath.Of(path), candidate = Path.GetFileName(real);
        return HasFormOf(name, candidate) && RealPath.AreSame(real, Path.Combine(Path.GetDirectoryName(Path.GetFullPath(model))!, candidate));
    }

    /// <summary>Names of the files of this kind that a model on disk refers to; null where it cannot be read, empty where there is none.</summary>
    public static IReadOnlyCollection<string>? NamesOf(string model)
    {
        string name = Path.GetFileName(model);
        if (!File.Exists(model) || !Directory.EnumerateFiles(Path.GetDirectoryName(Path.GetFullPath(model))!, "*" + Ending).Any(file => HasFormOf(name, Path.GetFileName(file))))
        {
            return [];
        }
        try
        {
            using var file = File.OpenRead(model);
            return [.. ModelProto.Parser.ParseFrom(file).Tensors().SelectMany(tensor => tensor.ExternalData)
                .Where(entry => entry.Key == "location" && HasFormOf(name, entry.Value)).Select(entry => entry.Value).Distinct()];
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException or InvalidProtocolBufferException)
        {
            return null;
        }
    }

    static bool HasFormOf(string model, string name) =>
        name.StartsWith(model, StringComparison.Ordinal) && HashAndEnding().IsMatch(name.AsSpan(model.Length));

    [GeneratedRegex(@"^\.[0-9a-f]{16}\.data\z")]
    private static partial Regex HashAndEnding();
}
