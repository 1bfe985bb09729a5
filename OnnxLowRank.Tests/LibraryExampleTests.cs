using System.Runtime.CompilerServices;
using System.Text.RegularExpressions;
using OnnxLowRank.Tests.Cli;
using OnnxLowRank.Tests.Samples;

namespace OnnxLowRank.Tests;

/// <summary>The example in docs/library.md, the package's readme: it is the one below, and that runs.</summary>
public partial class LibraryExampleTests
{
    /// <summary>Names the folder; of the cache of measured times, which must not be the user's, too.</summary>
    const string Folder = "XDG_CACHE_HOME";

    static void Example()
    {
        var options = new CompressionOptions { Input = "digits-cnn.onnx", Output = "small.onnx", Calibration = "digits-calib", Labels = "digits-calib/labels.npy" };
        var progress = new Progress<StageProgress>(at => Console.Error.WriteLine($"{at.Stage} {at.Fraction:P0}"));
        var report = Compressor.Run(options, progress);
        string loss = report.Verified is { } verified ? $"{verified.Metric} loss {verified.Loss} ({verified.Low} to {verified.High})" : "nothing verified";
        Console.WriteLine($"{report.Outcome}: {report.Before.Bytes:n0} bytes became {report.After?.Bytes:n0}, {loss}");
    }

    /// <summary>In a process of its own: the example's paths are those of its working folder.</summary>
    [Fact(Explicit = true)]
    public void ExampleInItsFolder()
    {
        Environment.CurrentDirectory = Environment.GetEnvironmentVariable(Folder)!;
        Example();
    }

    [Fact]
    public void It_runs()
    {
        using var folder = new TempFolder();
        File.Copy(CommandLine.Digits, Path.Combine(folder.Path, "digits-cnn.onnx"));
        Directory.CreateDirectory(Path.Combine(folder.Path, "digits-calib"));
        foreach (string file in Directory.EnumerateFiles(CommandLine.DigitsCalibration))
        {
            File.Copy(file, Path.Combine(folder.Path, "digits-calib", Path.GetFileName(file)));
        }

        string output = InNewProcess.Run(ExampleInItsFolder, (Folder, folder.Path));

        Assert.Matches(@"Written: 1,240,624 bytes became [1-9]\d,\d{3}, accuracy loss ", output);
        Assert.InRange(new FileInfo(Path.Combine(folder.Path, "small.onnx")).Length, 1, 1_240_624 / 10);
    }

    [Fact]
    public void The_package_s_readme_shows_it()
    {
        string shown = CodeBlock().Match(File.ReadAllText(CommittedText.PathOf("docs/library.md"))).Groups[1].Value;
        string body = Body().Match(Source()).Groups[1].Value;

        Assert.Equal(5, shown.Trim().Split('\n').Length);
        Assert.Equal(Regex.Replace(body, "(?m)^        ", "").Trim(), shown.Trim());
    }

    static string Source([CallerFilePath] string here = "") => File.ReadAllText(here);

    [GeneratedRegex(@"```csharp\n(.*?)```", RegexOptions.Singleline)]
    private static partial Regex CodeBlock();

    [GeneratedRegex(@"void Example\(\)\n    \{\n(.*?)\n    \}", RegexOptions.Singleline)]
    private static partial Regex Body();
}
