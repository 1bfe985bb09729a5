using OnnxLowRank.Utilization;
using Spectre.Console;

namespace OnnxLowRank.Cli;

/// <summary>Layers' utilization on standard output, for people; 80 columns wide as long as names are short.</summary>
static class UtilizationTable
{
    public static void Write(UtilizationReport report, bool hasColor)
    {
        var console = Output.Open(hasColor);
        var table = new Table().Border(TableBorder.Simple).AddColumn(Output.Narrow("layer")).AddColumn(Output.Narrow("op").NoWrap())
            .AddColumns(Output.Numbers("S", "of", "T", "of", "W", "used", "util.", "params", "passes"));
        foreach (var layer in report.Layers)
        {
            table.AddRow([
                Markup.Escape(layer.Name), layer.Op, $"{layer.InputDimension}", $"{layer.Inputs}", $"{layer.OutputDimension}", $"{layer.Outputs}", $"{layer.WeightRank}",
                $"{layer.UtilizedRank}", Share(layer.Utilization), Share((double)layer.After.Parameters / layer.Before.Parameters),
                Output.Text(layer.Passes.Made, "0.00")]);
        }
        console.Write(table);
        console.MarkupLineInterpolated($"S, T: dimensions of input and output that are needed; W: rank of the weight, used: of its projection, at 99.99 % of their energy; util.: used over the smaller of both; params: of two factors where they are smaller");
        console.MarkupLineInterpolated($"mean layer utilization {(report.MeanLayerUtilization is { } mean ? Share(mean) : "-")}; parameters {Share((double)report.After.Parameters / report.Before.Parameters)}, multiply-adds {Share(Ratio(report.After.Macs, report.Before.Macs))} of the original");
        var verified = report.Verified;
        console.MarkupLineInterpolated($"all projections together: {report.Metric} {Share(verified.Original)} → {Share(verified.Compressed)} on {verified.Samples} unseen samples, loss {Share(verified.Estimate)} (95 %: {Share(verified.Low)} … {Share(verified.High)})");
        ForwardPasses passes = report.Passes;
        string resumed = report.Resumed > 0 ? $"; {report.Resumed} layers from an earlier run" : "";
        console.MarkupLineInterpolated($"{Output.Text(passes.Made, "0.0")} passes over all samples in {Output.Text(report.Seconds, "0")} s (without cached prefixes {Output.Text(passes.WithoutCache, "0.0")}, nor early stops {Output.Text(passes.WithoutEither, "0.0")}){resumed}");
        Output.LeftAlone(console, report.LeftAlone);
        Output.Notes(console, report.Notes);
    }

    static string Share(double value) => Output.Text(value, "0.000");

    static double Ratio(double part, double whole) => whole > 0 ? part / whole : 1;
}
