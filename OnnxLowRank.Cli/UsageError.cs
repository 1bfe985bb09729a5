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
        string? meant = Nearest(option.Split('=', ':')[0], command.Options.SelectMany(known => known.Aliases.Prepend(known.Name)));
        return meant == null ? $"unknown option {option}" : $"unknown option {option}; did you mean {meant}?";
    }

    /// <summary>The name that fewest edits make of this one, if it is near enough to be meant.</summary>
    static string? Nearest(string typed, IEnumerable<string> names)
    {
        var (name, edits) = names.Select(name => (name, Edits: Edits(typed, name))).MinBy(pair => pair.Edits);
        return edits <= Math.Max(1, typed.Length / 3) ? name : null;
    }

    /// <summary>Insertions, deletions and replacements that turn a into b (Levenshtein).</summary>
    static int Edits(string a, string b)
    {
        int[] row = [.. Enumerable.Range(0, b.Length + 1)];
        for (int i = 1; i <= a.Length; i++)
        {
            int diagonal = row[0];
            row[0] = i;
            for (int j = 1; j <= b.Length; j++)
            {
                int replaced = diagonal + (a[i - 1] == b[j - 1] ? 0 : 1);
                diagonal = row[j];
                row[j] = Math.Min(replaced, Math.Min(row[j], row[j - 1]) + 1);
            }
        }
        return row[^1];
    }
}
