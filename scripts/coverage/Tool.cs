using System.Text.RegularExpressions;
using OnnxLowRank.Cli;

namespace Coverage;

/// <summary>Runs the program within this process, as its entry point does.</summary>
static partial class Tool
{
    /// <returns>The exit code, and what it wrote to standard error.</returns>
    public static (int Exit, string Error) Run(params string[] arguments)
    {
        var (output, error) = (Console.Out, Console.Error);
        using var written = new StringWriter();
        try
        {
            Console.SetOut(TextWriter.Null);
            Console.SetError(written);
            return (App.Run(arguments), written.ToString().TrimEnd());
        }
        finally
        {
            Console.SetOut(output);
            Console.SetError(error);
        }
    }

    /// <summary>What is wrong with how a run ended, whatever the model: codes and messages that no page tells of.</summary>
    public static IEnumerable<string> Oddities(string label, int exit, string error)
    {
        if (exit is not (ExitCode.Success or ExitCode.Model or ExitCode.Data or ExitCode.NotMet))
        {
            yield return $"{label}: exit {exit}: {error}";
        }
        bool isOneLine = !error.Contains('\n') && (error.Length == 0) == (exit == ExitCode.Success) && (exit == ExitCode.Success || error.StartsWith("onnx-lowrank: ", StringComparison.Ordinal));
        if (!isOneLine)
        {
            yield return $"{label}: not one line of error: {error}";
        }
        if (Trace().IsMatch(error))
        {
            yield return $"{label}: traces in a message: {error}";
        }
    }

    /// <summary>Frames of a stack, addresses, namespaces of C++.</summary>
    [GeneratedRegex(@"   at \w|0x[0-9a-f]{6}|::<|(?:onnxruntime|std)::|Exception:|Microsoft\.ML|OnnxLowRank\.")]
    private static partial Regex Trace();
}
