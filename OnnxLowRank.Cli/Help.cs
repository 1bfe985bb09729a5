using System.CommandLine;
using System.CommandLine.Help;
using System.CommandLine.Invocation;

namespace OnnxLowRank.Cli;

/// <summary>Help of a verb, with its examples at the end; no wider than 80 columns, in a file too.</summary>
sealed class Help(Verbs verbs) : SynchronousCommandLineAction
{
    /// <inheritdoc/>
    public override bool ClearsParseErrors => true;

    /// <inheritdoc/>
    public override int Invoke(ParseResult parseResult)
    {
        int code = new HelpAction { MaxWidth = Output.HelpWidth }.Invoke(parseResult);
        var output = parseResult.InvocationConfiguration.Output;
        output.WriteLine("Examples:");
        foreach (string example in verbs.Of(parseResult).Examples)
        {
            output.WriteLine($"  {example}");
        }
        output.WriteLine();
        return code;
    }
}
