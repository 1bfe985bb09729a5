using System.Diagnostics;

namespace OnnxLowRank.Tests;

/// <summary>Runs an explicit test in a process of its own: for what happens once per process.</summary>
static class InNewProcess
{
    /// <param name="test">A method of a test class, marked as explicit.</param>
    /// <returns>What the test wrote to its streams, and xunit around it.</returns>
    public static string Run(Action test, (string Name, string Value)? variable = null)
    {
        var program = Path.Combine(AppContext.BaseDirectory, "OnnxLowRank.Tests" + (OperatingSystem.IsWindows() ? ".exe" : ""));
        var name = $"{test.Method.DeclaringType!.FullName}.{test.Method.Name}";
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
        return output;
    }
}
