using System.Text;
using System.Text.RegularExpressions;

namespace OnnxLowRank.Cli.Html;

/// <summary>Command lines as one types them.</summary>
static partial class Shell
{
    /// <summary>A command, a line per option, that a POSIX shell takes apart into the same words again.</summary>
    public static string Command(IEnumerable<string> words)
    {
        var text = new StringBuilder();
        foreach (string word in words)
        {
            text.Append(text.Length == 0 ? "" : word.StartsWith('-') ? " \\\n  " : " ").Append(Quote(word));
        }
        return text.ToString();
    }

    static string Quote(string word) => Plain().IsMatch(word) ? word : $"'{word.Replace("'", @"'\''", StringComparison.Ordinal)}'";

    [GeneratedRegex(@"^[A-Za-z0-9_@%+=:,./-]+\z")]
    private static partial Regex Plain();
}
