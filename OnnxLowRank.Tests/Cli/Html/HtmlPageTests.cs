using System.Diagnostics;
using System.Text.Json;
using System.Text.RegularExpressions;
using OnnxLowRank.Cli.Html;

namespace OnnxLowRank.Tests.Cli.Html;

public partial class HtmlPageTests
{
    const string Hostile = "</script><script>alert(1)</script><!-- & \" ' \u2028";

    /// <summary>A page with this text wherever text can be.</summary>
    static string PageOf(string text)
    {
        var page = new HtmlPage(text);
        page.Heading(text);
        page.Section(text);
        page.Text(text);
        page.Verdict(text, isGood: true);
        page.List([text]);
        page.Code(text);
        page.Figures([new(text, "bytes", new(text, 2), new HtmlCell(text, 1), text)]);
        page.Interval(text, new("verified", new(text, 1), new(text, 0), new(text, 2), new HtmlCell(text, 3), text));
        page.Facts([(text, text)]);
        page.Details(text, new(text, [text], [[text]]));
        page.Table(new(text, [text], [[text]]) { IsSearchable = true });
        Chart[] charts = [Points(text, 1), Points(text, 2) with { Categories = [text] }];
        page.Charts(text, charts);
        return page.Render();
    }

    static Chart Points(string text, params double[] values) => new(
        text, text, new(text, AxisScale.Logarithmic, AxisUnit.Bytes), new(text), [new(text, SeriesMark.Points, [.. values.Select(value => new ChartPoint(value, value, text))])])
    {
        References = [new(text, 1, IsVertical: true)],
    };

    [Fact]
    public void Text_stays_text_wherever_it_comes_from()
    {
        string harmless = PageOf("harm/less/"), // as many slashes, after which names may break
            hostile = PageOf(Hostile);

        string[] Tags(string page) => [.. AnyTag().Matches(page).Select(match => match.Groups[1].Value)];
        Assert.Equal(Tags(harmless), Tags(hostile));
        Assert.DoesNotContain("alert(1)<", hostile);
        Assert.DoesNotContain("\u2028", ChartsOf(hostile));
        Assert.Contains("&lt;script&gt;alert(1)", hostile);
    }

    [GeneratedRegex("<(/?[a-zA-Z!][a-zA-Z0-9-]*)")]
    private static partial Regex AnyTag();

    static string ChartsOf(string page) => Charts().Match(page).Groups[1].Value;

    [GeneratedRegex("""<script type="application/json" id="charts">(.*?)</script>""", RegexOptions.Singleline)]
    private static partial Regex Charts();

    [Fact]
    public void Charts_arrive_as_they_were_given()
    {
        var charts = JsonDocument.Parse(ChartsOf(PageOf(Hostile))).RootElement;

        var chart = charts[0][0];
        Assert.Equal(Hostile, chart.GetProperty("title").GetString());
        Assert.Equal("Logarithmic", chart.GetProperty("x").GetProperty("scale").GetString());
        Assert.Equal("Bytes", chart.GetProperty("x").GetProperty("unit").GetString());
        Assert.Equal(1, chart.GetProperty("series")[0].GetProperty("points")[0].GetProperty("x").GetDouble());
        Assert.True(chart.GetProperty("references")[0].GetProperty("isVertical").GetBoolean());
        Assert.Equal(Hostile, charts[0][1].GetProperty("categories")[0].GetString());
    }

    [Fact]
    public void A_page_loads_nothing_and_carries_the_licence_of_what_it_contains()
    {
        string page = PageOf("x");

        Assert.DoesNotMatch("""<(?:img|iframe|object|embed|audio|video|base)\b|<script[^>]*\bsrc\b""", page);
        Assert.All(Links().Matches(page), match => Assert.Equal("data:,", match.Groups[1].Value));
        Assert.DoesNotMatch(@"url\(|@import|sourceMappingURL", page);
        Assert.Contains("default-src 'none'", page);
        Assert.Contains("Chart.js Contributors", page);
        Assert.Contains("Permission is hereby granted", page);
    }

    [GeneratedRegex("""(?:href|action)="([^"]*)""")]
    private static partial Regex Links();

    [Fact]
    public void A_browser_draws_every_chart_without_a_word_on_its_console()
    {
        var (dom, console) = Open(PageOf(Hostile));

        Assert.Empty(console);
        Assert.Contains("data-charts=\"1\"", dom);
        Assert.Contains("data-charts-drawn=\"1\"", dom);
        Assert.Contains("1 of 1", dom); // the search box counts rows
    }

    /// <summary>What the other tests rest on: the console is heard. And nothing runs that is not the page's own.</summary>
    [Fact]
    public void A_browser_refuses_a_script_that_got_into_a_page()
    {
        string page = PageOf("x");

        var (dom, console) = Open(page.Replace("</main>", "<script>document.documentElement.dataset.chartsDrawn = 'mine'</script></main>", StringComparison.Ordinal));

        Assert.Contains(console, line => line.Contains("Content Security Policy", StringComparison.Ordinal));
        Assert.Contains("data-charts-drawn=\"1\"", dom);
    }

    [Fact]
    public void A_browser_sorts_and_searches_a_table_and_changes_a_chart()
    {
        const string Actions = """
            <script>
            const header = [...document.querySelectorAll('th button')].find(button => button.textContent === 'bytes');
            header.click();
            document.body.dataset.up = [...document.querySelectorAll('tbody th')].map(cell => cell.textContent).join();
            header.click();
            document.body.dataset.down = [...document.querySelectorAll('tbody th')].map(cell => cell.textContent).join();
            const input = document.querySelector('input'), select = document.querySelector('select');
            input.value = 'BIG';
            input.dispatchEvent(new Event('input'));
            document.body.dataset.found = [...document.querySelectorAll('tbody tr')].filter(row => !row.hidden).map(row => row.cells[0].textContent).join();
            select.value = '1';
            select.dispatchEvent(new Event('change'));
            </script>
            """;
        var page = new HtmlPage("x");
        page.Table(new("t", ["name", "bytes"], [["big", HtmlCell.Of(1000, value => "1 KB")], ["none", ""], ["small", HtmlCell.Of(9, value => "9 B")]]) { IsSearchable = true });
        Chart[] charts = [Points("first", 1), Points("second", 2)];
        page.Charts("charts", charts);
        string unguarded = ContentPolicy().Replace(page.Render(), "");

        var (dom, console) = Open(unguarded.Replace("</body>", $"{Actions}</body>", StringComparison.Ordinal));

        Assert.Empty(console);
        Assert.Contains("data-up=\"small,big,none\"", dom);
        Assert.Contains("data-down=\"big,small,none\"", dom); // cells without a number stay last
        Assert.Contains("data-found=\"big\"", dom);
        Assert.Contains("id=\"about0\">second</p>", dom);
    }

    [GeneratedRegex("<meta http-equiv=\"Content-Security-Policy\"[^>]*>")]
    private static partial Regex ContentPolicy();

    [Theory]
    [InlineData(double.NaN)]
    [InlineData(double.PositiveInfinity)]
    public void A_browser_draws_what_is_finite(double value)
    {
        var page = new HtmlPage("x");
        page.Charts("x", Points("x", 1, value, 2));

        var (dom, console) = Open(page.Render());

        Assert.Empty(console);
        Assert.Contains("data-charts-drawn=\"1\"", dom);
    }

    static (string Dom, string[] Console) Open(string page)
    {
        using var folder = new Samples.TempFolder();
        return Chromium.Open(folder.File("page.html", System.Text.Encoding.UTF8.GetBytes(page)));
    }

    [Fact]
    public void An_interval_shows_its_numbers_and_no_picture_of_what_is_not_finite()
    {
        static string Of(double high) => new HtmlInterval("verified", new("0.1", 0.1), new("0", 0), new("much", high), null, "").ToHtml("loss");

        Assert.Contains("<svg", Of(0.2));
        Assert.DoesNotContain("<svg", Of(double.PositiveInfinity));
        Assert.Contains("""data-field="verified.loss"><data value="0.1">0.1</data>""", Of(double.NaN));
    }

    [Fact]
    public void Columns_that_say_nothing_are_left_out()
    {
        var table = new HtmlTable("t", ["name", "empty", "some"], [["a", "", ""], ["b", "", "x"]]).WithoutEmptyColumns();

        Assert.Equal(["name", "some"], table.Columns);
        Assert.Equal([["a", ""], ["b", "x"]], table.Rows.Select(row => row.Select(cell => cell.Text)));
    }

    [Fact]
    public void A_shell_takes_a_command_apart_into_its_words()
    {
        const string Sh = "/bin/sh";
        Assert.SkipUnless(File.Exists(Sh), $"no {Sh}");
        string[] words = ["--only", "a b", "it's", "$HOME", "`x`", "a\\b", "\"", "*", "", "a\nb", "-q", "ü"];

        using var process = Process.Start(new ProcessStartInfo(Sh, ["-c", Shell.Command(["printf", "<%s>", .. words])]) { RedirectStandardOutput = true })!;
        string output = process.StandardOutput.ReadToEnd();

        Assert.Equal(string.Concat(words.Select(word => $"<{word}>")), output);
    }
}
