using Spectre.Console;

namespace OnnxLowRank.Cli;

/// <summary>An inspection on standard output, for people; 80 columns wide where names, which may wrap, are what is long.</summary>
static class InspectionTable
{
    public static void Write(InspectionReport report, int top, bool hasColor)
    {
        var console = Output.Open(hasColor);
        bool hasOutputs = report.Samples > 0;
        string macs = report.Macs is { } known ? $", {Output.Whole(known)} multiply-adds per sample" : "";
        console.MarkupLineInterpolated($"{report.Source.Path}: {Output.Bytes(report.Source.Bytes)}, {Output.Whole(report.Parameters)} parameters{macs}");
        var table = Output.NewTable().AddColumn(Output.Narrow("layer"));
        bool isWide = console.Profile.Width >= Output.Wide, hasShapes = !hasOutputs || isWide;
        string[] columns =
        [
            "op", .. hasShapes ? new[] { "shape" } : [], "params", "MACs", "eff.", "99.9%", .. hasOutputs ? new[] { "out eff.", "out 99.9%" } : [], "even", "gain",
        ];
        foreach (string column in columns)
        {
            var narrow = Output.Narrow(isWide ? column : column.Replace(' ', '\n')).NoWrap();
            table.AddColumn(column is "op" or "shape" ? narrow : narrow.RightAligned());
        }
        foreach (var layer in report.Layers.Take(top))
        {
            string[] outputs = !hasOutputs ? [] : [Rank(layer.Output?.Effective), layer.Output is { } output ? $"{output.At999}" : "-"];
            string[] shape = hasShapes ? [string.Join('x', layer.Shape)] : [];
            table.AddRow([
                Markup.Escape(layer.Name), layer.Op, .. shape, Share(layer.ParameterShare), Share(layer.MacShare), Rank(layer.Weight.Effective),
                $"{layer.Weight.At999}", .. outputs, $"{layer.BreakEvenRank}", Share(layer.Gain)]);
        }
        console.Write(table);
        if (report.Layers.Count > top)
        {
            console.MarkupLineInterpolated($"{report.Layers.Count - top} of {report.Layers.Count} layers are left out; without --top all are shown");
        }
        console.MarkupLineInterpolated($"eff.: effective rank of the weight; 99.9%: rank that keeps 99.9 % of its energy{(hasOutputs ? $"; out: the same of the output on {report.Samples} samples" : "")}; even: below this rank two factors are smaller; gain: share of all parameters that a cut at {(hasOutputs ? "out 99.9%" : "99.9%")} saves");
        Output.LeftAlone(console, report.LeftAlone);
        Output.Notes(console, report.Notes);
    }

    static string Rank(double? value) => value is { } known ? Output.Text(known, "0.0") : "-";

    static string Share(double? value) => value is { } known ? Output.Text(known, "0.000") : "-";
}
