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

    /// <inheritdoc cref="ReportFile.Require"/>
    public static void Require(string option, string path, params string?[] others) => ReportFile.Require(option, path, [".json"], others);

    /// <param name="path">A file, or - for standard output.</param>
    public static void Write<T>(T report, JsonTypeInfo<T> type, string path) => ReportFile.Write(Text(report, type), path);

    public static string Text<T>(T report, JsonTypeInfo<T> type) => JsonSerializer.Serialize(report, type);
}

/// <summary>Compile-time serializer: no reflection, so that trimming and AOT work.</summary>
[JsonSourceGenerationOptions(
    WriteIndented = true, PropertyNamingPolicy = JsonKnownNamingPolicy.CamelCase, UseStringEnumConverter = true,
    NumberHandling = JsonNumberHandling.AllowNamedFloatingPointLiterals)]
[JsonSerializable(typeof(CompressionReport))]
[JsonSerializable(typeof(InspectionReport))]
[JsonSerializable(typeof(SweepReport))]
[JsonSerializable(typeof(ComparisonReport))]
[JsonSerializable(typeof(BenchmarkReport))]
[JsonSerializable(typeof(UtilizationReport))]
[JsonSerializable(typeof(CalibrationReport))]
sealed partial class ReportContext : JsonSerializerContext;
