using System.CommandLine;
using System.Text.RegularExpressions;
using OnnxLowRank.Runtime;
using OnnxLowRank.Samples;

namespace OnnxLowRank.Cli;

/// <summary>From arguments to exit code: parse, run, and turn what went wrong into one line.</summary>
static class App
{
    /// <summary>An error line longer than this is not read; <c>-v</c> shows all of it.</summary>
    const int LongestMessage = 320;

    public static int Run(string[] args)
    {
        var verbs = new Verbs();
        var parsed = verbs.Parse(args);
        var verb = verbs.Of(parsed);
        if (parsed.Action is not null && parsed.Action != verb.Command.Action && !IsError(parsed))
        {
            return parsed.Invoke(new InvocationConfiguration { EnableDefaultExceptionHandler = false }); // --help, --version
        }
        if (UsageError.OfVerb(args, verbs.Names) is { } mistyped)
        {
            return Fail(ExitCode.Usage, mistyped);
        }
        if (parsed.Errors.Count > 0)
        {
            return Fail(ExitCode.Usage, UsageError.Text(parsed));
        }

        using var interruption = new Interruption(verb.Grace, () =>
        {
            ProgressLine.Wipe(); // the job goes on around this
            return Fail(ExitCode.Interrupted, verb.Interrupted(parsed));
        });
        bool isVerbose = parsed.GetValue(verb.Verbose);
        try
        {
            int exit = verb.Run(parsed, interruption.Token);
            interruption.JobIsOver();
            return exit;
        }
        catch (Exception e)
        {
            interruption.JobIsOver();
            // Once interrupted, whatever fails fails because of that: staged files are gone already.
            var (code, message) = interruption.Token.IsCancellationRequested
                ? (ExitCode.Interrupted, verb.Interrupted(parsed))
                : Explain(e is AggregateException many ? many.Flatten().InnerExceptions[0] : e, verb.InputOf(parsed));
            int exit = Fail(code, message, isVerbose);
            if (isVerbose && code != ExitCode.Interrupted)
            {
                Console.Error.WriteLine(e);
            }
            return exit;
        }
    }

    static bool IsError(ParseResult parsed) => parsed.Action is System.CommandLine.Invocation.ParseErrorAction;

    /// <summary>The exit code of a failure, and what to say about it.</summary>
    static (int Code, string Message) Explain(Exception e, string input) => e switch
    {
        OptionException => (ExitCode.Usage, e.Message),
        RegexMatchTimeoutException => (ExitCode.Usage, $"--only or --skip: '{((RegexMatchTimeoutException)e).Pattern}' takes too long to match"),
        ModelException => (ExitCode.Model, e.Message.Contains(input, StringComparison.Ordinal) ? e.Message : $"{input}: {e.Message}"),
        DataException => (ExitCode.Data, e.Message),
        DeviceException => (ExitCode.Environment, e.Message),
        OutOfMemoryException => (ExitCode.Environment, $"out of memory; a smaller --batch needs less: {e.Message}"),
        DllNotFoundException or BadImageFormatException or EntryPointNotFoundException => (ExitCode.Environment, e.Message),
        TypeInitializationException => (ExitCode.Environment, e.GetBaseException().Message),
        IOException or UnauthorizedAccessException => (ExitCode.Environment, Chain(e)),
        _ => (ExitCode.Defect, $"a defect in this program, please report it with what -v prints: {e.GetType().Name}: {Chain(e)}"),
    };

    static int Fail(int code, string message, bool isWhole = false)
    {
        string line = PrintableText.Of(message.ReplaceLineEndings(" "));
        Console.Error.WriteLine($"onnx-lowrank: {(isWhole || line.Length <= LongestMessage ? line : $"{line[..LongestMessage]}… (-v shows all)")}");
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
