using System.Net;
using System.Reflection;
using System.Security.Cryptography;
using System.Text;
using System.Text.Json;

namespace OnnxLowRank.Cli.Html;

/// <summary>
/// One self-contained page: it loads nothing, runs no script but its own two, and shows all text as text. Built from top to bottom.
/// </summary>
sealed class HtmlPage(string title)
{
    static readonly string s_style = Resource("page.css");
    static readonly string s_script = Resource("page.js");
    static readonly string s_licence = Resource("chart-licence.txt");

    /// <summary>Without its last line, which names a file for debuggers that is not there.</summary>
    static readonly string s_charting = Resource("chart.js").Split("//# sourceMappingURL")[0];

    readonly StringBuilder _body = new();
    readonly List<IReadOnlyList<Chart>> _charts = [];
    bool _isInSection;

    /// <summary>Starts a section, which ends where the next one starts.</summary>
    public void Section(string heading)
    {
        EndSection();
        _isInSection = true;
        _body.Append($"<section>\n<h2>{Encode(heading)}</h2>\n");
    }

    void EndSection() => _body.Append(_isInSection ? "</section>\n" : "");

    public void Heading(string text) => _body.Append($"<h1>{Encode(text)}</h1>\n");

    public void Text(string text) => _body.Append($"<p>{Encode(text)}</p>\n");

    /// <summary>What happened, in a line that is seen first.</summary>
    public void Verdict(string text, bool isGood) => _body.Append($"<p class=\"verdict {(isGood ? "good" : "bad")}\">{Encode(text)}</p>\n");

    public void List(IEnumerable<string> items) => _body.Append($"<ul>{string.Concat(items.Select(item => $"<li>{Encode(item)}</li>"))}</ul>\n");

    public void Code(string text) => _body.Append($"<pre tabindex=\"0\"><code>{Encode(text)}</code></pre>\n");

    /// <summary>The numbers that a reader came for.</summary>
    public void Figures(IEnumerable<HtmlFigure> figures)
    {
        _body.Append("<dl class=\"figures\">\n");
        foreach (var figure in figures)
        {
            string change = figure.After is { } after ? $" <span class=\"arrow\" aria-label=\"to\">→</span> <span data-field=\"after.{figure.Field}\">{after.ToHtml()}</span>" : "";
            _body.Append($"<div><dt>{Encode(figure.Name)}</dt><dd><span data-field=\"before.{figure.Field}\">{figure.Before.ToHtml()}</span>{change}</dd>");
            _body.Append($"<dd class=\"more\">{Encode(figure.More)}</dd></div>\n");
        }
        _body.Append("</dl>\n");
    }

    /// <summary>An estimate with its 95 % interval, in words and as a picture.</summary>
    public void Interval(string name, HtmlInterval interval) => _body.Append(interval.ToHtml(name));

    /// <summary>Names and what they are, one below the other.</summary>
    public void Facts(IEnumerable<(string Name, HtmlCell Value)> facts) => _body.Append(
        $"<dl class=\"facts\">{string.Concat(facts.Select(fact => $"<dt>{Encode(fact.Name)}</dt><dd>{fact.Value.ToHtml()}</dd>"))}</dl>\n");

    /// <summary>A table that is shown when it is asked for.</summary>
    public void Details(string summary, HtmlTable table)
    {
        _body.Append($"<details><summary>{Encode(summary)}</summary>\n");
        Table(table);
        _body.Append("</details>\n");
    }

    public void Table(HtmlTable table)
    {
        bool[] isNumber = [.. table.Columns.Select((_, i) => table.Rows.Any(row => row[i].Number != null))];
        string Class(int column) => isNumber[column] ? " class=\"number\"" : "";
        string name = Encode(table.Name);
        _body.Append(table.IsSearchable ? "<div class=\"searchable\">\n" : "<div>\n");
        _body.Append($"<div class=\"scroll\" tabindex=\"0\" role=\"region\" aria-label=\"{name}\"><table><caption>{name}</caption><thead><tr>");
        _body.Append(string.Concat(table.Columns.Select((column, i) => $"<th scope=\"col\"{Class(i)}>{Encode(column)}</th>")));
        _body.Append("</tr></thead><tbody>\n");
        foreach (var row in table.Rows)
        {
            _body.Append($"<tr><th scope=\"row\"{Class(0)}>{Breakable(row[0].ToHtml())}</th>");
            _body.Append(string.Concat(row.Skip(1).Select((cell, i) => $"<td{Class(i + 1)}>{cell.ToHtml()}</td>"))).Append("</tr>\n");
        }
        _body.Append("</tbody></table></div>\n</div>\n");
    }

    /// <summary>Long names of nodes are paths: narrow screens break them there.</summary>
    static string Breakable(string html) => html.Contains('<', StringComparison.Ordinal) ? html : html.Replace("/", "/<wbr>", StringComparison.Ordinal);

    /// <summary>A chart, or several of which readers choose one.</summary>
    /// <param name="name">Of all of them together.</param>
    public void Charts(string name, params IReadOnlyList<Chart> charts)
    {
        int id = _charts.Count;
        _charts.Add(charts);
        _body.Append($"<figure data-chart=\"{id}\">\n<figcaption id=\"chart{id}\">{Encode(name)}</figcaption>\n");
        if (charts.Count > 1)
        {
            string options = string.Concat(charts.Select((chart, i) => $"<option value=\"{i}\">{Encode(chart.Title)}</option>"));
            _body.Append($"<select aria-label=\"{Encode(name)}\">{options}</select>\n");
        }
        _body.Append($"<div class=\"plot\"><canvas role=\"img\" aria-labelledby=\"chart{id}\" aria-describedby=\"about{id}\"></canvas></div>\n");
        _body.Append($"<p class=\"about\" id=\"about{id}\">{Encode(charts[0].Description)}</p>\n</figure>\n");
    }

    /// <summary>The whole file.</summary>
    public string Render()
    {
        EndSection();
        _isInSection = false;
        string charts = JsonSerializer.Serialize(_charts, ChartContext.Default.ListIReadOnlyListChart);
        return $"""
            <!DOCTYPE html>
            <html lang="en" data-charts="{_charts.Count}">
            <head>
            <meta charset="utf-8">
            <meta http-equiv="Content-Security-Policy" content="default-src 'none'; img-src data:; style-src '{Hash(s_style)}'; script-src '{Hash(s_charting)}' '{Hash(s_script)}'; base-uri 'none'; form-action 'none'">
            <meta name="viewport" content="width=device-width, initial-scale=1">
            <meta name="color-scheme" content="light dark">
            <title>{Encode(title)}</title>
            <link rel="icon" href="data:,">
            <style>{s_style}</style>
            </head>
            <body>
            <main>
            {_body}<noscript><p>Charts, search and sorting need scripts; all numbers but the singular values are in the tables.</p></noscript>
            </main>
            <script type="application/json" id="charts">{charts}</script>
            <!--
            {s_licence}-->
            <script>{s_charting}</script>
            <script>{s_script}</script>
            </body>
            </html>
            """;
    }

    public static string Encode(string text) => WebUtility.HtmlEncode(text);

    /// <summary>As a Content-Security-Policy names what may run.</summary>
    static string Hash(string text) => $"sha256-{Convert.ToBase64String(SHA256.HashData(Encoding.UTF8.GetBytes(text)))}";

    /// <summary>With line ends as browsers read them: hashes are of that.</summary>
    static string Resource(string name)
    {
        using var reader = new StreamReader(Assembly.GetExecutingAssembly().GetManifestResourceStream(name)!);
        return reader.ReadToEnd().Replace("\r\n", "\n", StringComparison.Ordinal);
    }
}

/// <summary>A number of the headline, before and after.</summary>
/// <param name="Field">The report's name for it.</param>
/// <param name="After">Null where there is nothing after.</param>
sealed record HtmlFigure(string Name, string Field, HtmlCell Before, HtmlCell? After, string More)
{
    /// <summary>A number that shrank or grew, and to what part of itself.</summary>
    public static HtmlFigure Of(string name, string field, double before, double? after, Func<double, string> text) => new(
        name, field, HtmlCell.Of(before, text), after is { } value ? HtmlCell.Of(value, text) : (HtmlCell?)null,
        after is { } ratio && before > 0 ? $"{Output.Text(ratio / before, "0.000")} of the original" : "");
}
