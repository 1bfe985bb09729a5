using System.Diagnostics;
using System.Runtime.CompilerServices;

namespace OnnxLowRank.Tests.OnnxRuntime;

/// <summary>Runs an explicit test of the calling class in a process of its own: for what happens once per process.</summary>
static class InNewProcess
{
    public static void Run(string test, (string Name, string Value)? variable = null, [CallerFilePath] string file = "")
    {
        var program = Path.Combine(AppContext.BaseDirectory, "OnnxLowRank.Tests" + (OperatingSystem.IsWindows() ? ".exe" : ""));
        var name = $"{typeof(InNewProcess).Namespace}.{Path.GetFileNameWithoutExtension(file)}.{test}";
        var start = new ProcessStartInfo(program, ["-method", name, "-explicit", "only", "-noColor"])
        {
            RedirectStandardOutput = true,
            RedirectStandardError = true,
        };
        if (variable is var (key, value))
        {
            start.Environment[key] = value;
        }
        using var process = Process.Start(start)!;
        var errors = process.StandardError.ReadToEndAsync();
        string output = process.StandardOutput.ReadToEnd();
        process.WaitForExit();

        Assert.True(process.ExitCode == 0 && output.Contains("Total: 1", StringComparison.Ordinal), $"{name}:\n{output}\n{errors.Result}");
    }
}
