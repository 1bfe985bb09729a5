using System.Runtime.InteropServices;

namespace OnnxLowRank.Cli;

/// <summary>
/// Ctrl-C or a polite kill asks the job to stop. When it is in the middle of long native work, or at the second Ctrl-C, the process
/// ends around it.
/// </summary>
sealed partial class Interruption : IDisposable
{
    readonly CancellationTokenSource _source = new();
    readonly TimeSpan _grace;
    readonly Func<int> _farewell;
    readonly PosixSignalRegistration[] _signals;
    bool _isEnding;

    /// <param name="grace">How long the job may take to end by itself.</param>
    /// <param name="farewell">Says goodbye when the process ends around the job; returns the exit code.</param>
    public Interruption(TimeSpan grace, Func<int> farewell)
    {
        (_grace, _farewell) = (grace, farewell);
        _signals = [PosixSignalRegistration.Create(PosixSignal.SIGINT, Interrupt), PosixSignalRegistration.Create(PosixSignal.SIGTERM, Interrupt)];
    }

    public CancellationToken Token => _source.Token;

    void Interrupt(PosixSignalContext context)
    {
        context.Cancel = true; // we stop in our own way, so that nothing is left behind
        if (_source.IsCancellationRequested)
        {
            EndNow();
        }
        _source.Cancel(); // staged files vanish here, on this thread
        Task.Delay(_grace).ContinueWith(_ => EndNow(), TaskScheduler.Default);
    }

    /// <summary>The job is over: from here on the process ends in the ordinary way.</summary>
    public void JobIsOver()
    {
        if (!IsFirst())
        {
            Thread.Sleep(Timeout.Infinite); // it is ending already
        }
    }

    bool IsFirst() => Interlocked.Exchange(ref _isEnding, true) == false;

    void EndNow()
    {
        if (!IsFirst())
        {
            return;
        }
        int code = _farewell();
        if (OperatingSystem.IsWindows())
        {
            Environment.Exit(code);
        }
        foreach (string file in Directory.EnumerateFileSystemEntries(Path.GetTempPath(), $"*-{Environment.ProcessId}-*"))
        {
            if (Path.GetFileName(file).StartsWith("dotnet-diagnostic-", StringComparison.Ordinal) || Path.GetFileName(file).StartsWith("clr-debug-pipe-", StringComparison.Ordinal))
            {
                File.Delete(file); // .NET's own, which only an orderly end removes
            }
        }
        EndProcess(code);
    }

    /// <summary>Without exit handlers: those of OpenBLAS wait for its threads, which wait for the call that we are ending around.</summary>
    [LibraryImport("libc", EntryPoint = "_exit")]
    private static partial void EndProcess(int code);

    public void Dispose()
    {
        foreach (var signal in _signals)
        {
            signal.Dispose();
        }
        // The source lives as long as the process: its timer may still fire.
    }
}
