namespace OnnxLowRank.Cli.Html;

/// <summary>How much of their space a model's layers use, as a page for people; everything on it is in the report.</summary>
static class UtilizationPage
{
    static readonly LayerBars<UtilizedLayer> s_bars = new(layer => layer.Name, layer => layer.Before.Parameters, layer => $"utilization {Output.Number(layer.Utilization)}");

    /// <param name="arguments">The command line, without the program's name.</param>
    public static string Of(UtilizationReport report, IReadOnlyList<string> arguments)
    {
        string name = Path.GetFileName(report.Source.Path);
        var page = new HtmlPage($"{name} – {report.Tool.Name} utilization");
        page.Heading(name);
        page.Text($"What each layer needs of its input's and its output's dimensions for the model to lose no more than {Output.Number(report.Delta)} of {report.Metric} per projection, "
            + $"on {report.Samples.Search} samples; moments from {report.Samples.Moments} others.");
        page.Figures([
            new("mean layer utilization", "meanLayerUtilization", HtmlCell.Of(report.MeanLayerUtilization, Output.Number), null, ""),
            HtmlFigure.Of("parameters", "parameters", report.Before.Parameters, report.After.Parameters, Output.Whole),
            HtmlFigure.Of("MACs per sample", "macs", report.Before.Macs, report.After.Macs, Output.Whole)]);
        var loss = report.Verified;
        page.Interval($"{report.Metric} loss of all projections together", new(
            "verified", HtmlCell.Of(loss.Estimate, Output.Number), HtmlCell.Of(loss.Low, Output.Number), HtmlCell.Of(loss.High, Output.Number), null,
            $"{report.Metric} was {Output.Number(loss.Original)} and is {Output.Number(loss.Compressed)} on {loss.Samples} samples that no decision has seen; nothing was trained afterwards."));
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
        ReportSections.Notes(page, report.Notes);
        ReportSections.Reproduce(page, report.Tool, arguments, [
            .. ReportSections.Ran(report.Tool, report.Runtime), ("forward passes", Output.Number(report.Passes.Made)), ("seed", $"{report.Seed}"), ("SHA-256 of the model", report.Source.Sha256)]);
        return page.Render();
    }

    static Chart Snapshot(UtilizationReport report) => s_bars.Of(
        report.Layers, "Ranks", "layers", ": the largest rank there is, that which holds 99.99 % of the weight's energy, and the same once the weight reads and writes only the dimensions that are needed.",
        new("rank"), ("utilized", layer => layer.UtilizedRank), ("of the weight", layer => layer.WeightRank), ("largest", layer => layer.MaxRank));

    static HtmlTable Layers(UtilizationReport report) => new(
        "Layers", ["layer", "op", "shape", "inputs needed", "of", "outputs needed", "of", "utilized rank", "rank of the weight", "largest", "utilization", "loss alone"],
        [.. report.Layers.Select(layer => (HtmlCell[])[
            layer.Name, layer.Op, string.Join('x', layer.Shape), HtmlCell.Of(layer.InputDimension, Output.Whole), HtmlCell.Of(layer.Inputs, Output.Whole), HtmlCell.Of(layer.OutputDimension, Output.Whole),
            HtmlCell.Of(layer.Outputs, Output.Whole), HtmlCell.Of(layer.UtilizedRank, Output.Whole), HtmlCell.Of(layer.WeightRank, Output.Whole), HtmlCell.Of(layer.MaxRank, Output.Whole),
            HtmlCell.Of(layer.Utilization, Output.Number), HtmlCell.Of(layer.Loss, Output.Number)])])
    {
        IsSearchable = true,
    };
}
