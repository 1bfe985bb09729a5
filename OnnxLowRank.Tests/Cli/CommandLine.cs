using System.Diagnostics;
using System.Text.RegularExpressions;
using OnnxLowRank.Tests.Samples;

namespace OnnxLowRank.Tests.Cli;

/// <summary>What a finished run of the program left in its streams.</summary>
sealed partial record CommandResult(int Exit, string Output, string Error)
{
    /// <summary>The lines on standard error that do not tell progress.</summary>
    public string[] ErrorLines => [.. Lines.Where(line => !Progress().IsMatch(line))];

    /// <summary>The stages that standard error told of, in order.</summary>
    public string[] Stages => [.. Lines.Select(line => Progress().Match(line)).Where(match => match.Success).Select(match => match.Groups[1].Value)];

    string[] Lines => Error.Split('\n', StringSplitOptions.RemoveEmptyEntries);

    [GeneratedRegex(@"^\[(?:\d+m)?\d+s\] (\w+)$")]
    private static partial Regex Progress();

    public override string ToString() => $"exit {Exit}\n--- stdout\n{Output}\n--- stderr\n{Error}";
}

/// <summary>Runs the built program as a user does: a process of its own, with redirected streams and its own folder for temporary files.</summary>
static class CommandLine
{
    static readonly TimeSpan s_longest = TimeSpan.FromMinutes(2);

    /// <summary>Programs that tests run keep their measured times there instead of in the user's folder; gone with the tests' process.</summary>
    static readonly TempFolder s_cache = Temporary();

    static TempFolder Temporary()
    {
        var folder = new TempFolder();
        AppDomain.CurrentDomain.ProcessExit += (_, _) => folder.Dispose();
        return folder;
    }

    /// <summary>The folder with the demo model: the first of this name on the way up from the tests.</summary>
    public static string Models { get; } = FindUp("models");

    public static string Digits => Path.Combine(Models, "digits-cnn.onnx");

    public static string DigitsCalibration => Path.Combine(Models, "digits-calib");

    public static string DigitsLabels => Path.Combine(DigitsCalibration, "labels.npy");

    public static CommandResult Run(string folder, params string[] arguments) => RunWith([], folder, arguments);

    public static CommandResult RunWith(Dictionary<string, string?> environment, string folder, params string[] arguments)
    {
        using var process = Start(folder, environment, arguments);
        return Finish(process);
    }

    /// <summary>Runs the program on a terminal of 80 columns, as far as it can tell; both streams end up in the output. Null where there is no util-linux.</summary>
    public static CommandResult? RunOnTerminal(string folder, params string[] arguments)
    {
        const string Script = "/usr/bin/script";
        if (!File.Exists(Script))
        {
            return null;
        }
        string program = Path.Combine(AppContext.BaseDirectory, "onnx-lowrank");
        string command = string.Join(' ', arguments.Prepend(program).Select(part => $"'{part.Replace("'", "'\\''", StringComparison.Ordinal)}'"));
        using var process = Start(Script, folder, [], "-qec", $"stty cols 80 && {command}", "/dev/null");
        return Finish(process);
    }

    public static Process Start(string folder, Dictionary<string, string?> environment, params string[] arguments) =>
        Start(Path.Combine(AppContext.BaseDirectory, OperatingSystem.IsWindows() ? "onnx-lowrank.exe" : "onnx-lowrank"), folder, environment, arguments);

    static Process Start(string program, string folder, Dictionary<string, string?> environment, params string[] arguments)
    {
        var start = new ProcessStartInfo(program, arguments)
        {
            WorkingDirectory = folder,
            RedirectStandardOutput = true,
            RedirectStandardError = true,
            RedirectStandardInput = true,
        };
        start.Environment["XDG_CACHE_HOME"] = s_cache.Path;
        start.Environment["DOTNET_EnableDiagnostics"] = "0"; // its sockets would lie in the folder for temporary files
        foreach (var (name, value) in environment)
        {
            start.Environment[name] = value;
        }
        var process = Process.Start(start)!;
        process.StandardInput.Close();
        return process;
    }

    public static CommandResult Finish(Process process)
    {
        var output = process.StandardOutput.ReadToEndAsync();
        var error = process.StandardError.ReadToEndAsync();
        if (!process.WaitForExit(s_longest))
        {
            process.Kill(entireProcessTree: true);
            Assert.Fail($"still running after {s_longest}");
        }
        process.WaitForExit();
        return new(process.ExitCode, output.GetAwaiter().GetResult(), error.GetAwaiter().GetResult());
    }

    static string FindUp(string name)
    {
        for (var folder = new DirectoryInfo(AppContext.BaseDirectory); folder != null; folder = folder.Parent)
        {
            if (File.Exists(Path.Combine(folder.FullName, "OnnxLowRank.sln")))
            {
                return Path.Combine(folder.FullName, name);
            }
        }
        throw new DirectoryNotFoundException($"no {name} above {AppContext.BaseDirectory}");
    }
}
