using System.Globalization;
using Spectre.Console;

namespace OnnxLowRank.Cli;

/// <summary>Standard output, and how numbers look there.</summary>
static class Output
{
    const int Unlimited = 1000;
    const int Columns = 80;

    /// <summary>Tables on terminals that are narrower leave columns out.</summary>
    public const int Wide = 110;

    /// <summary>Columns for help: those of a narrow terminal, however wide this one is, so that it is the same everywhere.</summary>
    public static int HelpWidth => Console.IsOutputRedirected || Console.WindowWidth <= 0 ? Columns : Math.Min(Columns, Console.WindowWidth);

    /// <param name="isRefused">Whether the command line wants none.</param>
    public static bool HasColor(bool isRefused) => !isRefused && string.IsNullOrEmpty(Environment.GetEnvironmentVariable("NO_COLOR"));

    public static IAnsiConsole Open(bool hasColor)
    {
        var console = AnsiConsole.Create(new AnsiConsoleSettings
        {
            Ansi = AnsiSupport.Detect,
            ColorSystem = hasColor ? ColorSystemSupport.Detect : ColorSystemSupport.NoColors,
            Out = new AnsiConsoleOutput(Console.Out),
        });
        console.Pipeline.Attach(new PrintableText.Hook());
        if (Console.IsOutputRedirected)
        {
            console.Profile.Width = Unlimited; // one line per layer, for grep
        }
        return console;
    }

    /// <summary>With a rule below the header on a terminal; in a file every line is a row.</summary>
    public static Table NewTable() => new Table().Border(Console.IsOutputRedirected ? TableBorder.None : TableBorder.Simple);

    public static TableColumn Narrow(string name) => new TableColumn(name).Padding(0, 0, 1, 0);

    public static TableColumn[] Numbers(params IEnumerable<string> names) => [.. names.Select(name => Narrow(name).NoWrap().RightAligned())];

    public static void Notes(IAnsiConsole console, IReadOnlyList<string> notes)
    {
        foreach (string note in notes)
        {
            console.MarkupLineInterpolated($"note: {note}");
        }
    }

    public static void LeftAlone(IAnsiConsole console, IReadOnlyList<InspectedNode> nodes)
    {
        foreach (var node in nodes)
        {
            console.MarkupLineInterpolated($"left alone: {node.Name} ({node.Op}): {node.Reason}");
        }
    }

    public static string Text(double value, string format) => value.ToString(format, CultureInfo.InvariantCulture);

    /// <summary>A loss, or another number of moderate size.</summary>
    public static string Number(double value) => Text(value, "0.#####");

    /// <summary>A count, with its thousands apart.</summary>
    public static string Whole(double value) => Text(value, "#,0");

    public static string Bytes(double bytes) => bytes switch
    {
        >= 1e9 => Text(bytes / 1e9, "0.00 GB"),
        >= 1e6 => Text(bytes / 1e6, "0.00 MB"),
        >= 1e3 => Text(bytes / 1e3, "0.0 KB"),
        _ => Text(bytes, "0 B"),
    };
}
