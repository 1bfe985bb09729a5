namespace OnnxLowRank.Tests;

/// <summary>The models of ONNX's own backend tests, where scripts/coverage.sh has unpacked them.</summary>
static class BackendSuite
{
    public const string WhyNot = "no artifacts/libonnx-testdata; scripts/coverage.sh fetches it";

    /// <summary>Empty where they are not there.</summary>
    public static string[] Models { get; } = Find();

    static string[] Find()
    {
        string folder = Path.Combine(Cli.CommandLine.Models, "..", "artifacts", "libonnx-testdata");
        return Directory.Exists(folder) ? [.. Directory.EnumerateFiles(folder, "model.onnx", SearchOption.AllDirectories).Order(StringComparer.Ordinal)] : [];
    }
}
