using System.CommandLine;
using System.Runtime.InteropServices;
using OnnxLowRank.Runtime;
using OnnxLowRank.Samples;

namespace OnnxLowRank.Cli;

/// <summary>From arguments to exit code: parse, run, and turn what went wrong into one line.</summary>
static class App
{
    public static int Run(string[] args)
    {
        var command = new CompressCommand();
        var parsed = command.Root.Parse(args);
        if (parsed.Errors.Count > 0)
        {
            return Fail(ExitCode.Usage, $"{parsed.Errors[0].Message} (--help lists the options)");
        }
        if (parsed.Action is not null && parsed.Action != command.Root.Action)
        {
            return parsed.Invoke(new InvocationConfiguration { EnableDefaultExceptionHandler = false }); // --help, --version
        }

        using var interruption = new CancellationTokenSource();
        void Interrupt(PosixSignalContext context)
        {
            context.Cancel = true; // we stop in our own way, so that nothing is left behind
            interruption.Cancel();
        }
        using var sigint = PosixSignalRegistration.Create(PosixSignal.SIGINT, Interrupt);
        using var sigterm = PosixSignalRegistration.Create(PosixSignal.SIGTERM, Interrupt);
        bool isVerbose = parsed.GetValue(command.Verbose);
        try
        {
            return command.Run(parsed, interruption.Token);
        }
        catch (Exception e) when (ExitCodeOf(e) is { } code)
        {
            int exit = Fail(code, code == ExitCode.Interrupted ? "interrupted, nothing was written" : Chain(e));
            if (isVerbose && code != ExitCode.Interrupted)
            {
                Console.Error.WriteLine(e);
            }
            return exit;
        }
    }

    /// <summary>The code of an expected failure, or null for a defect of ours, which should crash loudly.</summary>
    static int? ExitCodeOf(Exception e) => e switch
    {
        OperationCanceledException => ExitCode.Interrupted,
        ArgumentException => ExitCode.Usage,
        ModelException => ExitCode.Model,
        DataException => ExitCode.Data,
        DeviceException or DllNotFoundException or InsufficientMemoryException or OutOfMemoryException => ExitCode.Environment,
        IOException or UnauthorizedAccessException or InvalidOperationException => ExitCode.Environment,
        _ => null,
    };

    static int Fail(int code, string message)
    {
        Console.Error.WriteLine($"onnx-lowrank: {message.ReplaceLineEndings(" ")}");
        return code;
    }

    /// <summary>The message with its causes, as far as they say something new.</summary>
    static string Chain(Exception e)
    {
        string text = e.Message;
        for (var cause = e.InnerException; cause != null; cause = cause.InnerException)
        {
            if (!text.Contains(cause.Message, StringComparison.Ordinal))
            {
                text += $": {cause.Message}";
            }
        }
        return text;
    }
}
