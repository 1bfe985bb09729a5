using System.CommandLine;

namespace OnnxLowRank.Cli;

/// <summary>What is wrong with a command line, in one line.</summary>
static class UsageError
{
    public static string Text(ParseResult parsed)
    {
        string? unknown = parsed.UnmatchedTokens.FirstOrDefault(token => token.StartsWith('-'));
        if (unknown == null)
        {
            return $"{parsed.Errors[0].Message.TrimEnd('.')} (--help lists the options)";
        }
        var known = parsed.CommandResult.Command.Options.Where(option => !option.Hidden).SelectMany(option => option.Aliases.Prepend(option.Name));
        string? meant = Spelling.Nearest(unknown.Split('=', ':')[0], known);
        return meant == null
            ? $"unknown option {unknown} (--help lists the options)"
            : $"unknown option {unknown}; did you mean {meant}?";
    }

    /// <summary>
    /// What to say where a verb was mistyped, else null. The default verb would take it for a model, so only what is no file can be one.
    /// </summary>
    public static string? OfVerb(string[] args, IEnumerable<string> verbs) =>
        args.Length == 0 || args[0].StartsWith('-') || verbs.Contains(args[0]) || Path.Exists(args[0]) ? null
        : Spelling.Nearest(args[0], verbs) is { } meant ? $"unknown command {args[0]}; did you mean {meant}?"
        : null;
}
