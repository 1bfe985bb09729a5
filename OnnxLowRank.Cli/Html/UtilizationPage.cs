using System.Globalization;

namespace OnnxLowRank.Cli.Html;

/// <summary>How much of their space a model's layers use, as a page for people; everything on it is in the report.</summary>
static class UtilizationPage
{
    /// <summary>More groups of bars than that are no picture; the table has them all.</summary>
    const int MostLayers = 40;

    /// <param name="arguments">The command line, without the program's name.</param>
    public static string Of(UtilizationReport report, IReadOnlyList<string> arguments)
    {
        string name = Path.GetFileName(report.Source.Path);
        var page = new HtmlPage($"{name} – {report.Tool.Name} utilization");
        page.Heading(name);
        page.Text($"What each layer needs of its input's and its output's dimensions for the model to lose no more than {Number(report.Delta)} of {report.Metric} per projection, "
            + $"on {report.Samples.Search} samples; moments from {report.Samples.Moments} others.");
        page.Figures([
            new("mean layer utilization", "meanLayerUtilization", HtmlCell.Of(report.MeanLayerUtilization, Number), null, ""),
            new("parameters", "parameters", HtmlCell.Of(report.Before.Parameters, Whole), HtmlCell.Of(report.After.Parameters, Whole), Ratio(report.Before.Parameters, report.After.Parameters)),
            new("MACs per sample", "macs", HtmlCell.Of(report.Before.Macs, Whole), HtmlCell.Of(report.After.Macs, Whole), Ratio(report.Before.Macs, report.After.Macs))]);
        var loss = report.Verified;
        page.Interval($"{report.Metric} loss of all projections together", new(
            "verified", HtmlCell.Of(loss.Estimate, Number), HtmlCell.Of(loss.Low, Number), HtmlCell.Of(loss.High, Number), null,
            $"{report.Metric} was {Number(loss.Original)} and is {Number(loss.Compressed)} on {loss.Samples} samples that no decision has seen; nothing was trained afterwards."));
        if (report.Layers.Count > 0)
        {
            page.Section("Utilization snapshot");
            page.Charts("Ranks, layer by layer", Snapshot(report));
            page.Table(Layers(report));
        }
        if (report.LeftAlone.Count > 0)
        {
            page.Section("Left alone");
            page.Table(new("Nodes with weights that were not searched", ["node", "op", "reason"],
                [.. report.LeftAlone.Select(node => (HtmlCell[])[node.Name, node.Op, node.Reason])]));
        }
        if (report.Notes.Count > 0)
        {
            page.Section("Notes");
            page.List(report.Notes);
        }
        page.Section("How to reproduce");
        page.Code(Shell.Command([report.Tool.Name, .. arguments]));
        page.Facts([
            ("program", $"{report.Tool.Name} {report.Tool.Version}"), ("ONNX Runtime", $"{report.Runtime.OnnxRuntime} on {report.Runtime.Device}, {report.Runtime.Threads} threads"),
            ("linear algebra", report.Runtime.LinearAlgebra), ("forward passes", Number(report.Passes.Made)), ("seed", $"{report.Seed}"), ("SHA-256 of the model", report.Source.Sha256)]);
        return page.Render();
    }

    static Chart Snapshot(UtilizationReport report)
    {
        var shown = report.Layers.OrderByDescending(layer => layer.Before.Parameters).Take(MostLayers).ToHashSet();
        UtilizedLayer[] layers = [.. report.Layers.Where(shown.Contains)];
        ChartSeries Bars(string name, Func<UtilizedLayer, double> value, bool hasNotes = false) => new(name, SeriesMark.Bars,
            [.. layers.Select(layer => new ChartPoint(value(layer), 0, hasNotes ? $"utilization {Number(layer.Utilization)}" : null))]);
        return new(
            "Ranks", $"{(layers.Length < report.Layers.Count ? $"The {layers.Length} largest of {report.Layers.Count} layers" : "All layers")}, in the order of the graph: the largest rank there is, that which holds 99.99 % of "
            + "the weight's energy, and the same once the weight reads and writes only the dimensions that are needed.",
            new("rank"), new(""), [Bars("utilized", layer => layer.UtilizedRank, hasNotes: true), Bars("of the weight", layer => layer.WeightRank), Bars("largest", layer => layer.MaxRank)])
        {
            Categories = [.. layers.Select(layer => layer.Name)],
        };
    }

    static HtmlTable Layers(UtilizationReport report) => new(
        "Layers", ["layer", "op", "shape", "inputs needed", "of", "outputs needed", "of", "utilized rank", "rank of the weight", "largest", "utilization", "loss alone"],
        [.. report.Layers.Select(layer => (HtmlCell[])[
            layer.Name, layer.Op, string.Join('x', layer.Shape), HtmlCell.Of(layer.InputDimension, Whole), HtmlCell.Of(layer.Inputs, Whole), HtmlCell.Of(layer.OutputDimension, Whole),
            HtmlCell.Of(layer.Outputs, Whole), HtmlCell.Of(layer.UtilizedRank, Whole), HtmlCell.Of(layer.WeightRank, Whole), HtmlCell.Of(layer.MaxRank, Whole),
            HtmlCell.Of(layer.Utilization, Number), HtmlCell.Of(layer.Loss, Number)])])
    {
        IsSearchable = true,
    };

    static string Ratio(double before, double after) => $"{Output.Text(after / before, "0.000")} of the original";

    static string Whole(double value) => Output.Text(value, "#,0");

    static string Number(double value) => value.ToString("0.#####", CultureInfo.InvariantCulture);
}
