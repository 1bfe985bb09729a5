using System.Text.Json;
using System.Text.Json.Serialization;

namespace OnnxLowRank.Cli;

/// <summary>The report as JSON; field names are a contract.</summary>
static class ReportJson
{
    /// <param name="path">A file, or - for standard output.</param>
    public static void Write(CompressionReport report, string path)
    {
        string json = JsonSerializer.Serialize(report, ReportContext.Default.CompressionReport);
        if (path == "-")
        {
            Console.Out.WriteLine(json);
            return;
        }
        string temporary = $"{path}.{Path.GetRandomFileName()}.tmp";
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
sealed partial class ReportContext : JsonSerializerContext;
