using System.CommandLine;
using System.CommandLine.Parsing;

namespace OnnxLowRank.Cli;

/// <summary>What is wrong with a command line, in one line.</summary>
static class UsageError
{
    public static string Text(ParseResult parsed)
    {
        string? unknown = parsed.UnmatchedTokens.FirstOrDefault(token => token.StartsWith('-'));
        string message = unknown == null ? parsed.Errors[0].Message.TrimEnd('.') : Unknown(unknown, parsed.CommandResult.Command);
        return message.EndsWith('?') ? message : $"{message} (--help lists the options)";
    }

    /// <summary>Refuses what looks like an option among arguments that may be any number: the parser would take it for one more.</summary>
    public static void RefuseOptions(ArgumentResult arguments, Command command)
    {
        if (arguments.Tokens.FirstOrDefault(token => token.Value.StartsWith('-')) is { } option)
        {
            arguments.AddError(Unknown(option.Value, command));
        }
    }

    static string Unknown(string option, Command command)
    {
        var known = command.Options.Where(one => !one.Hidden).SelectMany(one => one.Aliases.Prepend(one.Name));
        string? meant = Spelling.Nearest(option.Split('=', ':')[0], known);
        return meant == null ? $"unknown option {option}" : $"unknown option {option}; did you mean {meant}?";
    }

    /// <summary>
    /// What to say where a verb was mistyped, else null. The default verb would take it for a model, so only what is no file can be one.
    /// </summary>
    public static string? OfVerb(string[] args, IEnumerable<string> verbs) =>
        args.Length == 0 || args[0].StartsWith('-') || verbs.Contains(args[0]) || Path.Exists(args[0]) ? null
        : Spelling.Nearest(args[0], verbs) is { } meant ? $"unknown command {args[0]}; did you mean {meant}?"
        : null;
}
