using System.Globalization;
using System.Text.Json;

namespace Coverage;

/// <summary>All models that are tried, in a fixed order.</summary>
static class Cases
{
    /// <param name="zoo">A folder with *.onnx and wild/*.onnx, or null.</param>
    public static IEnumerable<Case> Of(string suite, string work, string? zoo)
    {
        var cases = Variants.Write(Path.Combine(work, "variants")).Concat(Suite(suite));
        return zoo == null ? cases : cases.Concat(Zoo(zoo, "wild", Path.Combine(zoo, "wild"))).Concat(Zoo(zoo, "zoo", zoo));
    }

    static IEnumerable<Case> Suite(string suite) => Directory.EnumerateFiles(suite, "model.onnx", SearchOption.AllDirectories).Order(StringComparer.Ordinal).Select(model =>
    {
        string folder = Path.GetDirectoryName(model)!;
        bool hasData = Directory.Exists(Path.Combine(folder, "test_data_set_0"));
        return new Case(Path.GetFileName(Path.GetDirectoryName(folder)!), Path.GetFileName(folder), model, hasData ? folder : null);
    });

    static IEnumerable<Case> Zoo(string zoo, string group, string folder) => !Directory.Exists(folder)
        ? []
        : Directory.EnumerateFiles(folder, "*.onnx").Order(StringComparer.Ordinal).Select(model =>
            new Case(group, Path.GetFileNameWithoutExtension(model), model) { Shapes = Ran(Path.Combine(zoo, "wild", "ort_check.json"), Path.GetFileName(model)) });

    /// <summary>The shapes that a model's inputs once ran with.</summary>
    static Dictionary<string, long[]> Ran(string file, string model)
    {
        if (!File.Exists(file) || !JsonDocument.Parse(File.ReadAllText(file)).RootElement.GetProperty("models").TryGetProperty(model, out var entry))
        {
            return [];
        }
        return entry.GetProperty("ran").EnumerateObject().ToDictionary(input => input.Name, input => Shape(input.Value.GetString()!));
    }

    static long[] Shape(string text) => [.. text.Split('x', StringSplitOptions.RemoveEmptyEntries).Select(dim => long.Parse(dim, CultureInfo.InvariantCulture))];
}
