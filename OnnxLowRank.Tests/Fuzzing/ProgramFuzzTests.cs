using System.Diagnostics;
using Google.Protobuf;
using OnnxLowRank.Cli;
using OnnxLowRank.Tests.Cli;
using OnnxLowRank.Tests.Samples;

namespace OnnxLowRank.Tests.Fuzzing;

/// <summary>
/// Cases of all targets through the whole program, ONNX Runtime included: a documented exit code, one line that says why, and nothing
/// left behind. They run in a process of their own, so that a crash of native code is a failed test with a number.
/// </summary>
public class ProgramFuzzTests
{
    const int Cases = 500;

    const long MostBytes = 1L << 30;

    static readonly TimeSpan s_mostProcessorTime = TimeSpan.FromSeconds(10), s_longest = TimeSpan.FromMinutes(2);

    /// <summary>In turn; models say more odd things than samples do.</summary>
    static readonly string[] s_turns = ["graph", "model", "graph", "npy", "graph", "npz", "model", "tensor", "graph", "labels"];

    [Fact]
    public void Every_case_ends_as_documented()
    {
        using var folder = new TempFolder();
        string log = Path.Combine(folder.Path, "log");
        try
        {
            string said = InNewProcess.Run(new ProgramFuzzTests().Run_cases, ("FUZZ_LOG", log));
            TestContext.Current.SendDiagnosticMessage(said.Split('\n').First(line => line.Contains("by exit code", StringComparison.Ordinal)));
        }
        catch (Xunit.Sdk.XunitException e)
        {
            Assert.Fail($"last case: {(File.Exists(log) ? File.ReadAllText(log) : "none")}\n{e.Message}");
        }
    }

    [Fact(Explicit = true)]
    public void Run_cases()
    {
        using var folder = new TempFolder();
        Environment.SetEnvironmentVariable("XDG_CACHE_HOME", Path.Combine(folder.Path, "cache"));
        Environment.SetEnvironmentVariable("TMPDIR", Directory.CreateDirectory(Path.Combine(folder.Path, "tmp")).FullName);
        string working = Directory.CreateDirectory(Path.Combine(folder.Path, "working")).FullName;
        Directory.SetCurrentDirectory(working);
        var seeds = FuzzTarget.All.Values.ToDictionary(target => target, FuzzCases.SeedsOf);
        var failures = new List<string>();
        var exits = new SortedDictionary<int, int>();

        int first = FuzzCases.First;
        for (int number = first; number < first + FuzzCases.Count(Cases); number++)
        {
            var target = FuzzTarget.All[s_turns[number % s_turns.Length]];
            FuzzCases.Log(0, target, number);
            var (result, wrong) = Run(working, FuzzCases.InputOf(target, number, seeds[target]), Arguments(target, number));
            exits[result.Exit] = exits.GetValueOrDefault(result.Exit) + 1;
            if (wrong.Length > 0)
            {
                failures.Add($"{target.Name} case {number}: {string.Join(' ', Arguments(target, number))}: {wrong}\n{result}");
            }
        }

        Assert.True(failures.Count == 0, string.Join("\n\n", failures));
        long peak = Process.GetCurrentProcess().PeakWorkingSet64;
        Assert.True(peak < MostBytes, $"{peak} bytes at most");
        Console.WriteLine($"cases by exit code: {string.Join(", ", exits)}; {peak >> 20} MiB at most");
        Directory.SetCurrentDirectory(AppContext.BaseDirectory);
    }

    static string[] Arguments(FuzzTarget target, int number) => (target is OnnxTarget ? number % 3 : -1) switch
    {
        0 => ["in.onnx", "out.onnx", "--calib", "calib", "--no-timing", "--threads", "1"],
        1 => ["inspect", "in.onnx", "--calib", "calib", "--threads", "1"],
        _ => [.. target.CommandLine, "--threads", "1"],
    };

    /// <summary>What the program said, and what is wrong about it.</summary>
    static (CommandResult Result, string Wrong) Run(string folder, FuzzInput input, string[] arguments)
    {
        foreach (string entry in Directory.GetDirectories(folder))
        {
            Directory.Delete(entry, recursive: true);
        }
        Array.ForEach(Directory.GetFiles(folder), File.Delete);
        Companions().WriteTo(folder);
        if (input.Main.Name.StartsWith("calib/", StringComparison.Ordinal))
        {
            Directory.Delete(Path.Combine(folder, "calib"), recursive: true);
        }
        input.WriteTo(folder);
        var before = Contents(folder);

        var processor = Process.GetCurrentProcess().TotalProcessorTime;
        using var watchdog = new Timer(_ => Environment.FailFast($"still running: {string.Join(' ', arguments)}"), null, s_longest, Timeout.InfiniteTimeSpan);
        var result = Run(arguments);
        processor = Process.GetCurrentProcess().TotalProcessorTime - processor;

        var after = Contents(folder);
        if (result.Exit == ExitCode.Success)
        {
            after.Remove("out.onnx");
            after.Remove("out.onnx.data");
        }
        string text = result.Output + result.Error;
        return (result,
            result.Exit is not (ExitCode.Success or ExitCode.Model or ExitCode.Data or ExitCode.NotMet or ExitCode.Environment) ? "no documented exit code"
            : result.Exit != ExitCode.Success && (result.ErrorLines.Length != 1 || !result.ErrorLines[0].StartsWith("onnx-lowrank: ", StringComparison.Ordinal)) ? "not one line of error"
            : text.Contains("   at ", StringComparison.Ordinal) ? "a trace"
            : text.Any(letter => char.IsControl(letter) && letter is not '\n') ? "control characters"
            : !before.SequenceEqual(after) ? $"left {string.Join(", ", after.Except(before))}, changed {string.Join(", ", before.Except(after))}"
            : Directory.EnumerateFileSystemEntries(Path.GetTempPath()).Any() ? "left temporary files"
            : processor > s_mostProcessorTime ? $"took {processor} of processor time"
            : "");
    }

    static CommandResult Run(string[] arguments)
    {
        var (output, error) = (Console.Out, Console.Error);
        using StringWriter own = new(), ownError = new();
        Console.SetOut(own);
        Console.SetError(ownError);
        try
        {
            return new(App.Run(arguments), own.ToString(), ownError.ToString());
        }
        finally
        {
            Console.SetOut(output);
            Console.SetError(error);
        }
    }

    static SortedDictionary<string, string> Contents(string folder) => new(
        Directory.EnumerateFiles(folder, "*", SearchOption.AllDirectories).ToDictionary(
            file => Path.GetRelativePath(folder, file), file => Convert.ToHexString(File.ReadAllBytes(file))),
        StringComparer.Ordinal);

    /// <summary>A model, samples and labels for it, of which a case's files take the place.</summary>
    static FuzzInput Companions()
    {
        const int Samples = 24;
        var model = new TinyModel();
        model.Input("x", null, FuzzTarget.Width);
        model.Node("Gemm", ["x", model.Weight("w1", FuzzTarget.Width, 16), model.Weight("b1", 16)], "h");
        model.Node("Relu", ["h"], "r");
        model.Node("MatMul", ["r", model.Weight("w2", 16, 10)], "y");
        model.Outputs("y");
        return new(
            new("in.onnx", model.Build().Proto.ToByteArray()),
            new FuzzFile("calib/x.npy", TempFolder.NpyBytes([Samples, FuzzTarget.Width], TinyModel.Random([Samples, FuzzTarget.Width], seed: 1))),
            new FuzzFile("labels.npy", TempFolder.NpyBytes([Samples], Enumerable.Range(0, Samples).Select(i => i % 10L).ToArray())));
    }
}
