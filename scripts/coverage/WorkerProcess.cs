using System.Diagnostics;
using System.Text.Json;

namespace Coverage;

/// <summary>A process that tries cases, one at a time; a new one takes over where it crashes or hangs.</summary>
sealed class WorkerProcess(string work, TimeSpan limit) : IDisposable
{
    Process? _process;

    public Result Try(Case item)
    {
        var process = _process ??= Start();
        process.StandardInput.WriteLine(JsonSerializer.Serialize(item));
        process.StandardInput.Flush();
        var reading = process.StandardOutput.ReadLineAsync();
        if (!reading.Wait(limit))
        {
            process.Kill(entireProcessTree: true);
            return Lost(item, $"still running after {limit.TotalSeconds} s");
        }
        return reading.Result is { } line ? JsonSerializer.Deserialize<Result>(line)! : Lost(item, $"the process died");
    }

    Result Lost(Case item, string why)
    {
        _process!.WaitForExit();
        why += $", exit code {_process.ExitCode}";
        _process.Dispose();
        _process = null;
        return new(item.Group, item.Name, "-", "-", 0, [], [], [why]);
    }

    Process Start()
    {
        string scratch = Path.Combine(work, "scratch");
        Directory.CreateDirectory(scratch);
        var start = new ProcessStartInfo(Environment.ProcessPath!, ["worker", scratch]) { RedirectStandardInput = true, RedirectStandardOutput = true };
        start.Environment["XDG_CACHE_HOME"] = Path.Combine(work, "cache"); // measured times stay out of the user's folder
        start.Environment["ORT_DISABLE_TELEMETRY"] = "1";
        return Process.Start(start)!;
    }

    public void Dispose()
    {
        _process?.StandardInput.Close();
        _process?.WaitForExit();
        _process?.Dispose();
    }
}
