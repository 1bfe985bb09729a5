using System.Diagnostics;
using OnnxLowRank.Tests.Samples;

namespace OnnxLowRank.Tests.Cli.Html;

/// <summary>A browser without a window, with a profile of its own that vanishes.</summary>
static class Chromium
{
    public const string WhyNot = "no chromium on the PATH to open pages with";

    static readonly TimeSpan s_longest = TimeSpan.FromMinutes(1);

    /// <summary>Null where there is none.</summary>
    static string? Program { get; } = (Environment.GetEnvironmentVariable("PATH") ?? "").Split(Path.PathSeparator)
        .SelectMany(folder => new[] { "chromium", "chromium-browser" }.Select(name => Path.Combine(folder, name))).FirstOrDefault(File.Exists);

    /// <summary>Opens a page. Skips the test where there is no browser.</summary>
    /// <returns>The page as its scripts made it, and what was written to the console.</returns>
    public static (string Dom, string[] Console) Open(string page)
    {
        Assert.SkipWhen(Program == null, WhyNot);
        using var profile = new TempFolder();
        var start = new ProcessStartInfo(Program,
            ["--headless=new", "--disable-gpu", "--no-sandbox", $"--user-data-dir={profile.Path}", "--virtual-time-budget=5000", "--enable-logging=stderr", "--v=0", "--dump-dom", new Uri(page).AbsoluteUri])
        {
            RedirectStandardOutput = true,
            RedirectStandardError = true,
        };
        start.Environment["HOME"] = profile.Path;
        using var process = Process.Start(start)!;
        var dom = process.StandardOutput.ReadToEndAsync();
        var log = process.StandardError.ReadToEndAsync();
        if (!process.WaitForExit(s_longest))
        {
            process.Kill(entireProcessTree: true);
            Assert.Fail($"chromium still runs after {s_longest}");
        }
        return (dom.GetAwaiter().GetResult(), [.. log.GetAwaiter().GetResult().Split('\n').Where(line => line.Contains(":CONSOLE", StringComparison.Ordinal))]);
    }
}
