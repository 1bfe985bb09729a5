using System.Runtime.CompilerServices;
using System.Text.RegularExpressions;

namespace OnnxLowRank.Tests;

/// <summary>The library's folders form layers; the pipeline in its root knows them all, none knows the pipeline.</summary>
public partial class ArchitectureTests
{
    /// <summary>Folder → the folders it may use.</summary>
    static readonly Dictionary<string, string[]> s_mayUse = new()
    {
        ["Numerics"] = ["Storage"],
        ["Onnx"] = ["Storage"],
        ["Quantization"] = ["Numerics"],
        ["Statistics"] = [],
        ["Storage"] = [],
        ["Samples"] = ["Onnx", "Storage"],
        ["Runtime"] = ["Onnx", "Samples"],
        ["Layers"] = ["Numerics", "Onnx", "Storage"],
        ["Factorization"] = ["Layers", "Numerics", "Quantization", "Storage"],
        ["Planning"] = ["Factorization", "Layers", "Quantization"],
        ["Calibration"] = ["Factorization", "Layers", "Numerics", "Onnx", "Quantization", "Runtime", "Samples", "Storage"],
        ["Gradients"] = ["Calibration", "Layers", "Onnx", "Runtime"],
        ["Rewriting"] = ["Calibration", "Factorization", "Layers", "Onnx", "Planning", "Quantization", "Storage"],
        ["Refitting"] = ["Calibration", "Factorization", "Layers", "Numerics", "Onnx", "Planning", "Rewriting", "Runtime", "Storage"],
        ["StatsFiles"] = ["Calibration", "Layers", "Numerics", "Samples", "Storage"],
        ["Timing"] = ["Calibration", "Factorization", "Layers", "Onnx", "Planning", "Rewriting", "Runtime", "Samples", "Storage"],
        ["Utilization"] = ["Calibration", "Factorization", "Layers", "Numerics", "Onnx", "Runtime", "Samples", "Statistics", "Validation"],
        ["Validation"] = ["Calibration", "Onnx", "Runtime", "Samples", "Statistics"],
    };

    /// <summary>Exceptions that every folder may throw.</summary>
    static readonly string[] s_everywhere = ["ModelException", "OptionException"];

    public static TheoryData<string> Folders => [.. s_mayUse.Keys];

    static string Library([CallerFilePath] string here = "") => Path.GetFullPath(Path.Combine(Path.GetDirectoryName(here)!, "..", "OnnxLowRank"));

    static IEnumerable<string> Sources(string folder) => Directory.EnumerateFiles(Path.Combine(Library(), folder), "*.cs", SearchOption.AllDirectories);

    /// <summary>The folders whose namespace a source names, in usings or in full.</summary>
    static IEnumerable<string> Used(string source) => Namespaces().Matches(source).Select(match => match.Groups[1].Value);

    [GeneratedRegex(@"\bOnnxLowRank\.([A-Z]\w*)")]
    private static partial Regex Namespaces();

    [Theory, MemberData(nameof(Folders))]
    public void A_folder_uses_only_what_is_below_it(string folder)
    {
        foreach (string file in Sources(folder))
        {
            var forbidden = Used(File.ReadAllText(file)).Distinct().Except(s_mayUse[folder]).Where(used => used != folder);
            Assert.True(!forbidden.Any(), $"{Path.GetRelativePath(Library(), file)} uses {string.Join(", ", forbidden)}");
        }
    }

    /// <summary>Types of the root are visible everywhere without a using, so their names are looked for.</summary>
    [Theory, MemberData(nameof(Folders))]
    public void A_folder_does_not_know_the_pipeline(string folder)
    {
        var pipeline = Directory.EnumerateFiles(Library(), "*.cs").SelectMany(file => Declarations().Matches(File.ReadAllText(file)))
            .Select(match => match.Groups[1].Value).Except(s_everywhere).ToHashSet();
        Assert.Contains("Compressor", pipeline);

        foreach (string file in Sources(folder))
        {
            string code = Comments().Replace(File.ReadAllText(file), "");
            var known = Words().Matches(code).Select(match => match.Value).Where(pipeline.Contains).Distinct();
            Assert.True(!known.Any(), $"{Path.GetRelativePath(Library(), file)} uses {string.Join(", ", known)}");
        }
    }

    [GeneratedRegex(@"\b(?:class|struct|record|enum|interface)\s+(?!struct\b|class\b)(\w+)")]
    private static partial Regex Declarations();

    [GeneratedRegex(@"(?<![\w.])[A-Z]\w*")]
    private static partial Regex Words();

    [GeneratedRegex(@"//.*|""[^""\n]*""")]
    private static partial Regex Comments();

    [Theory, MemberData(nameof(Folders))]
    public void A_folder_is_its_namespace(string folder)
    {
        Assert.All(Sources(folder), file => Assert.Contains($"namespace OnnxLowRank.{folder};", File.ReadAllText(file), StringComparison.Ordinal));
    }

    /// <summary>It may be set while a job runs: durations come from clocks that only go on.</summary>
    [Fact]
    public void Nothing_asks_the_wall_clock()
    {
        string root = Path.GetDirectoryName(Library())!;
        var sources = new[] { "OnnxLowRank", "OnnxLowRank.Cli", "OnnxLowRank.OnnxRuntime" }.SelectMany(project => Directory.EnumerateFiles(Path.Combine(root, project), "*.cs", SearchOption.AllDirectories));

        Assert.All(sources, file => Assert.DoesNotMatch(@"\bDateTime(?:Offset)?\b|GetUtcNow|GetLocalNow|LastWriteTime|TickCount", File.ReadAllText(file)));
    }

    [Fact]
    public void Every_folder_has_its_place()
    {
        var folders = Directory.EnumerateDirectories(Library()).Select(folder => Path.GetFileName(folder)).Except(["bin", "obj"]);

        Assert.Equal(s_mayUse.Keys.Order(), folders.Order());
    }

    [Fact]
    public void The_layers_have_no_cycle()
    {
        var below = new HashSet<string>();
        while (below.Count < s_mayUse.Count)
        {
            var next = s_mayUse.Where(item => !below.Contains(item.Key) && item.Value.All(below.Contains)).Select(item => item.Key).ToList();
            Assert.NotEmpty(next);
            below.UnionWith(next);
        }
    }

    [Fact]
    public void What_is_forbidden_would_be_found()
    {
        Assert.Equal(["Planning", "Onnx", "Layers"], Used("using OnnxLowRank.Planning;\nusing static OnnxLowRank.Onnx.Proto.X;\nvar x = OnnxLowRank.Layers.Layer.Of();"));
    }
}
