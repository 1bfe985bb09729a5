using System.Globalization;

namespace OnnxLowRank.Cli.Html;

/// <summary>An estimate and its 95 % interval, and perhaps the limit that it should keep.</summary>
/// <param name="Field">The report's name for the record that holds them.</param>
/// <param name="More">A sentence on how it was measured.</param>
sealed record HtmlInterval(string Field, HtmlCell Estimate, HtmlCell Low, HtmlCell High, HtmlCell? Limit, string More)
{
    /// <param name="name">What is estimated.</param>
    public string ToHtml(string name)
    {
        string limit = Limit is { } known ? $", tolerance <span data-field=\"{Field}.tolerance\">{known.ToHtml()}</span>" : "";
        return $"""
            <div class="interval">
            <p>{HtmlPage.Encode(name)} <strong data-field="{Field}.loss">{Estimate.ToHtml()}</strong> (95 %: <span data-field="{Field}.low">{Low.ToHtml()}</span> to <span data-field="{Field}.high">{High.ToHtml()}</span>){limit}</p>
            {Picture()}
            <p class="about">{HtmlPage.Encode(More)}</p>
            </div>

            """;
    }

    /// <summary>A line from low to high with a point on it, over 0 and the limit; nothing where a number is not finite.</summary>
    string Picture()
    {
        double[] marks = [0, Low.Number ?? 0, High.Number ?? 0, Estimate.Number ?? 0, Limit?.Number ?? 0];
        double from = marks.Min(), width = marks.Max() - from;
        if (!(width > 0) || !double.IsFinite(width))
        {
            return "";
        }
        string At(double? value) => ((value!.Value - from) / width * 72 + 14).ToString("0.##", CultureInfo.InvariantCulture) + "%";
        string Upright(string kind, double? value, string text) =>
            $"<line class=\"{kind}\" x1=\"{At(value)}\" x2=\"{At(value)}\" y1=\"2\" y2=\"30\"/><text x=\"{At(value)}\" y=\"44\">{HtmlPage.Encode(text)}</text>";
        string limit = Limit is { Number: not 0 } known ? Upright("limit", known.Number, $"tolerance {known.Text}") : "";
        return $"<svg aria-hidden=\"true\" width=\"100%\" height=\"50\">{Upright("zero", 0, "0")}{limit}"
            + $"<line class=\"range\" x1=\"{At(Low.Number)}\" x2=\"{At(High.Number)}\" y1=\"16\" y2=\"16\"/><circle cx=\"{At(Estimate.Number)}\" cy=\"16\" r=\"6\"/></svg>";
    }
}
