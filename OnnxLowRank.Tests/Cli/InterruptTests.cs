using System.Diagnostics;
using System.Runtime.InteropServices;

namespace OnnxLowRank.Tests.Cli;

/// <summary>Ctrl-C and a polite kill: the program ends soon, with its code, and leaves nothing.</summary>
public partial class InterruptTests
{
    const int Interrupted = 130;

    static readonly TimeSpan s_soon = TimeSpan.FromSeconds(2);

    [Theory]
    [InlineData(2, 0)]
    [InlineData(2, 700)]
    [InlineData(2, 1500)]
    [InlineData(15, 400)]
    [InlineData(2, 400, "--batch", "500")] // in the middle of a long run of native code
    public void An_interrupted_run_ends_soon_and_leaves_nothing(int signal, int afterMilliseconds, params string[] options)
    {
        Assert.SkipWhen(OperatingSystem.IsWindows(), "Windows has no signals between processes");
        Assert.SkipWhen(signal == 2 && IgnoresInterrupts(), "SIGINT is ignored here, and child processes inherit that");
        using var playground = new Playground();
        string temporary = Directory.CreateDirectory(playground.PathOf("tmp")).FullName;
        var before = playground.Contents();
        using var process = CommandLine.Start(playground.Folder, new() { ["TMPDIR"] = temporary },
            [CommandLine.Digits, "out.onnx", "--calib", CommandLine.DigitsCalibration, "--tolerance", "0.001", .. options]);
        WaitForStaging(playground, process); // from here on the program listens to signals
        Thread.Sleep(afterMilliseconds);

        Assert.SkipWhen(process.HasExited, "this machine is too fast: the run was over");
        long start = Stopwatch.GetTimestamp();
        Assert.Equal(0, Kill(process.Id, signal));
        var result = CommandLine.Finish(process);
        var took = Stopwatch.GetElapsedTime(start);

        Assert.True(result.Exit == Interrupted, result.ToString());
        Assert.Equal("onnx-lowrank: interrupted, nothing was written", Assert.Single(result.ErrorLines));
        Assert.True(took < s_soon, $"took {took}");
        Assert.Equal(before, playground.Contents());
    }

    /// <summary>What was found until then is not lost.</summary>
    [Fact]
    public void An_interrupted_search_keeps_its_state()
    {
        Assert.SkipWhen(OperatingSystem.IsWindows(), "Windows has no signals between processes");
        using var playground = new Playground();
        string state = playground.PathOf("state.json");
        string[] arguments = ["utilization", CommandLine.Digits, "--calib", CommandLine.DigitsCalibration, "--state", "state.json"];
        using var process = CommandLine.Start(playground.Folder, [], arguments);
        while (!process.HasExited && !File.Exists(state))
        {
            Thread.Sleep(5);
        }
        Assert.SkipWhen(process.HasExited, "this machine is too fast: the run was over");
        Assert.Equal(0, Kill(process.Id, 15));
        var result = CommandLine.Finish(process);

        Assert.True(result.Exit == Interrupted, result.ToString());
        Assert.Equal("onnx-lowrank: interrupted; state.json holds the layers that are done", Assert.Single(result.ErrorLines));
        result = CommandLine.Run(playground.Folder, arguments);
        Assert.True(result.Exit == 0, result.ToString());
        Assert.Contains("from an earlier run", result.Output);
    }

    static void WaitForStaging(Playground playground, Process process)
    {
        while (!process.HasExited && !Directory.EnumerateDirectories(playground.Folder, ".out.onnx.*").Any())
        {
            Thread.Sleep(5);
        }
    }

    /// <summary>A shell's background jobs ignore SIGINT; the mask of ignored signals is in /proc.</summary>
    static bool IgnoresInterrupts()
    {
        const string Ignored = "SigIgn:";
        string? line = File.Exists("/proc/self/status")
            ? File.ReadLines("/proc/self/status").FirstOrDefault(text => text.StartsWith(Ignored, StringComparison.Ordinal))
            : null;
        return line != null && (Convert.ToUInt64(line[Ignored.Length..].Trim(), 16) & 2) != 0;
    }

    [LibraryImport("libc", EntryPoint = "kill")]
    private static partial int Kill(int process, int signal);
}
