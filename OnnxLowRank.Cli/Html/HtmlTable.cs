using System.Globalization;

namespace OnnxLowRank.Cli.Html;

/// <summary>A table of a page; the first cell of a row names it.</summary>
/// <param name="Name">What it lists; read aloud, and shown above it where it can be searched.</param>
sealed record HtmlTable(string Name, IReadOnlyList<string> Columns, IReadOnlyList<IReadOnlyList<HtmlCell>> Rows)
{
    /// <summary>The same without columns that say nothing in any row.</summary>
    public HtmlTable WithoutEmptyColumns()
    {
        int[] full = [.. Enumerable.Range(0, Columns.Count).Where(i => Rows.Count == 0 || Rows.Any(row => row[i].Text.Length > 0))];
        return this with { Columns = [.. full.Select(i => Columns[i])], Rows = [.. Rows.Select(row => (HtmlCell[])[.. full.Select(i => row[i])])] };
    }

    /// <summary>Whether readers may search its rows, and sort them by any column.</summary>
    public bool IsSearchable { get; init; }
}

/// <summary>Text, and the number that it stands for where it stands for one.</summary>
readonly record struct HtmlCell(string Text, double? Number = null)
{
    public static implicit operator HtmlCell(string text) => new(text);

    /// <summary>A number as people read it; nothing where there is none.</summary>
    public static HtmlCell Of(double? number, Func<double, string> text) => number is { } known ? new HtmlCell(text(known), known) : "";

    /// <summary>The text for a page, with the exact number behind it.</summary>
    public string ToHtml() => Number is { } number
        ? $"<data value=\"{number.ToString("R", CultureInfo.InvariantCulture)}\">{HtmlPage.Encode(Text)}</data>"
        : HtmlPage.Encode(Text);
}
