namespace OnnxLowRank.Cli.Html;

/// <summary>A sweep as a page for people; everything on it is in the report.</summary>
static class SweepPage
{
    /// <summary>Losses of more than so many times the largest one asked for are all the same: far too much.</summary>
    const double MostTolerances = 5;

    /// <param name="arguments">The command line, without the program's name.</param>
    public static string Of(SweepReport report, IReadOnlyList<string> arguments)
    {
        string names = string.Join(", ", report.Models.Select(model => model.Name));
        var page = new HtmlPage($"{names} – {report.Tool.Name} sweep");
        page.Heading(names);
        page.Text(About(report.Kind));
        page.Section(Title(report.Kind));
        foreach (var (name, chart) in Charts(report))
        {
            page.Charts(name, chart);
        }
        if (report.GoodEnough.Count > 0)
        {
            page.Section("Good enough");
            page.Table(new($"Smallest rank from which on all lose no more than {Output.Number(report.Tolerance)}", ["model", "method", "rank"],
                [.. report.GoodEnough.Select(good => (HtmlCell[])[good.Model, SweepTable.Repeated(good.Series, good.Repeat), HtmlCell.Of(good.Rank, Output.Number)])]));
        }
        page.Section("Numbers");
        page.Table(Points(report).WithoutEmptyColumns());
        ReportSections.Notes(page, report.Notes);
        ReportSections.Reproduce(page, report.Tool, arguments, [
            .. ReportSections.Ran(report.Tool, report.Runtime), .. report.Models.Select(model => ($"SHA-256 of {model.Source.Path}", (HtmlCell)model.Source.Sha256))]);
        return page.Render();
    }

    static string About(SweepKind kind) => kind switch
    {
        SweepKind.Ranks => "One layer at several ranks, everything else as it was, measured on samples that shaped no factor.",
        SweepKind.Errors => "Every layer as small as it can be at an error of its output: by factors, by few bits, by both. Measured on samples that shaped no factor.",
        _ => "Whole compressions, each verified on samples that none of its decisions saw, beside the model in 8 and in 4 bits with nothing factorized.",
    };

    static string Title(SweepKind kind) => kind == SweepKind.Ranks ? "Rank against loss" : "Size against loss";

    static IEnumerable<(string Name, Chart Chart)> Charts(SweepReport report)
    {
        bool hasValues = report.Models.Any(model => model.Original != 0);
        if (report.Kind != SweepKind.Ranks)
        {
            double? most = report.Kind == SweepKind.Tolerances ? MostTolerances * report.Points.Max(point => point.Setting) : null;
            yield return ("Size against loss", Of(report, point => point.Size, point => point.Loss, new("bytes, of the original's", AxisScale.Logarithmic), new($"{report.Metric} loss", Most: most), []));
            if (report.Points.Any(point => point.Time != null))
            {
                yield return ("Time against loss", Of(report, point => point.Time ?? double.NaN, point => point.Loss, new("time of a sample, of the original's"), new($"{report.Metric} loss", Most: most), []));
            }
            yield break;
        }
        ChartAxis ranks = new("rank", AxisScale.Logarithmic);
        ReferenceLine[] effective = [.. report.Models.Select((model, i) => new ReferenceLine($"effective rank of {model.Name}", model.EffectiveRank ?? 0, IsVertical: true, i))];
        ReferenceLine[] Originals(Func<SweptModel, double> value) => [.. report.Models.Select((model, i) => new ReferenceLine($"{model.Name} as it was", value(model), IsVertical: false, i)), .. effective];
        yield return hasValues
            ? ($"Rank against {report.Metric}", Of(report, point => point.Setting, point => point.Value, ranks, new(report.Metric), Originals(model => model.Original)))
            : ($"Rank against {report.Metric} loss", Of(report, point => point.Setting, point => point.Loss, ranks, new($"{report.Metric} loss"), effective));
        if (report.Points.Any(point => point.Nll != null))
        {
            yield return ("Rank against negative log-likelihood", Of(report, point => point.Setting, point => point.Nll ?? double.NaN, ranks, new("nats"), Originals(model => model.Nll ?? 0)));
        }
    }

    static Chart Of(
        SweepReport report, Func<SweepPoint, double> x, Func<SweepPoint, double> y, ChartAxis across, ChartAxis up, IReadOnlyList<ReferenceLine> references)
    {
        var models = report.Models.Select(model => model.Name).ToList();
        var series = report.Points.GroupBy(point => (point.Model, point.Series)).Select(points =>
        {
            int draws = points.Max(point => point.Repeat) + 1;
            string name = (models.Count > 1 ? $"{points.Key.Model}, " : "") + points.Key.Series + (draws > 1 ? $", {draws} draws" : "");
            return new ChartSeries(
                name, points.Count() > 1 && draws == 1 ? SeriesMark.Line : SeriesMark.Points,
                [.. points.OrderBy(x).Select(point => new ChartPoint(x(point), y(point), Note(report.Kind, point)))], models.Count > 1 ? models.IndexOf(points.Key.Model) : null);
        });
        return new(up.Title, $"{up.Title} against {across.Title}, {report.Points.Count} points, each measured on {report.Points.Max(point => point.Samples)} samples.", across, up, [.. series])
        {
            References = references,
        };
    }

    static string Note(SweepKind kind, SweepPoint point) =>
        $"{(point.Setting > 0 ? $"{SweepTable.Unit(kind)} {Output.Number(point.Setting)}, " : "")}{Output.Bytes(point.Bytes)}\nloss {Output.Number(point.Loss)} ({Output.Number(point.Low)} to {Output.Number(point.High)})";

    static HtmlTable Points(SweepReport report) => new(
        "Everything that was tried", ["model", "series", SweepTable.Unit(report.Kind), "bytes", "size", "time", report.Metric, "loss", "low", "high", "nll", "file"],
        [.. report.Points.Select(point => (HtmlCell[])[
            point.Model, SweepTable.Repeated(point.Series, point.Repeat), point.Setting > 0 ? HtmlCell.Of(point.Setting, Output.Number) : "", HtmlCell.Of(point.Bytes, Output.Bytes),
            HtmlCell.Of(point.Size, Output.Number), HtmlCell.Of(point.Time, Output.Number), report.Models.Any(model => model.Original != 0) ? HtmlCell.Of(point.Value, Output.Number) : "",
            HtmlCell.Of(point.Loss, Output.Number), HtmlCell.Of(point.Low, Output.Number), HtmlCell.Of(point.High, Output.Number), HtmlCell.Of(point.Nll, Output.Number), point.File ?? ""])])
    {
        IsSearchable = true,
    };
}
