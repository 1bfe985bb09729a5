using System.Text.Encodings.Web;
using System.Text.Json;
using System.Text.Json.Serialization;
using System.Text.Json.Serialization.Metadata;

namespace OnnxLowRank.Cli;

/// <summary>Reports as JSON; field names are a contract.</summary>
static class JsonFile
{
    /// <summary>Signs such as + and ' as themselves: a report is a file, not part of a web page.</summary>
    public static readonly ReportContext Context = new(new(ReportContext.Default.Options) { Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping });

    /// <summary>Throws unless a report may and can be written there: better before the job than after it.</summary>
    /// <param name="option">That names the file.</param>
    /// <param name="path">A file, or - for standard output.</param>
    /// <param name="others">Paths that the command reads or writes; null where there is none.</param>
    /// <exception cref="OptionException">The name is not one for it.</exception>
    /// <exception cref="IOException">It cannot; the message names the file.</exception>
    public static void Require(string option, string path, params string?[] others)
    {
        if (path == "-")
        {
            return;
        }
        if (!path.EndsWith(".json", StringComparison.OrdinalIgnoreCase))
        {
            throw new OptionException($"{option} {path}: the name must end with .json, or be -");
        }
        if (others.Any(other => other != null && Path.GetFullPath(other) == Path.GetFullPath(path)))
        {
            throw new OptionException($"{option} {path}: is another file of this command");
        }
        if (Directory.Exists(path))
        {
            throw new IOException($"{option} {path}: is a folder");
        }
        string trial = Temporary(path);
        try
        {
            File.Create(trial).Dispose();
            File.Delete(trial);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw new IOException($"{option} {path}: cannot be written: {e.Message}", e);
        }
    }

    static string Temporary(string path) => $"{path}.{Path.GetRandomFileName()}.tmp";

    /// <param name="path">A file, or - for standard output.</param>
    public static void Write<T>(T report, JsonTypeInfo<T> type, string path)
    {
        string json = JsonSerializer.Serialize(report, type);
        if (path == "-")
        {
            Console.Out.WriteLine(json);
            return;
        }
        string temporary = Temporary(path);
        try
        {
            File.WriteAllText(temporary, json + "\n");
            File.Move(temporary, path, overwrite: true);
        }
        finally
        {
            File.Delete(temporary);
        }
    }
}

/// <summary>Compile-time serializer: no reflection, so that trimming and AOT work.</summary>
[JsonSourceGenerationOptions(
    WriteIndented = true, PropertyNamingPolicy = JsonKnownNamingPolicy.CamelCase, UseStringEnumConverter = true,
    NumberHandling = JsonNumberHandling.AllowNamedFloatingPointLiterals)]
[JsonSerializable(typeof(CompressionReport))]
[JsonSerializable(typeof(InspectionReport))]
[JsonSerializable(typeof(UtilizationReport))]
sealed partial class ReportContext : JsonSerializerContext;
