using Spectre.Console;

namespace OnnxLowRank.Cli;

/// <summary>A calibration on standard output, for people.</summary>
static class CalibrationTable
{
    public static void Write(CalibrationReport report, bool hasColor)
    {
        var console = Output.Open(hasColor);
        string before = report.Resumed == 0 ? "" : report.Resumed == report.Samples ? ", all from before: nothing was to be done" : $", {report.Resumed} from before";
        string shard = report.Shard == Shard.Whole.ToString() ? "" : $", shard {report.Shard}";
        console.MarkupLineInterpolated($"{report.Stats.Path}: {Output.Bytes(report.Stats.Bytes)}, {report.Samples} samples{before}{shard}, {Output.Text(report.Seconds, "0.0")} s");
        var table = Output.NewTable().AddColumn(Output.Narrow("value")).AddColumn(Output.Narrow("layers")).AddColumns(Output.Numbers("groups", "channels", "vectors", "rms", "bytes"));
        foreach (var value in report.Values)
        {
            table.AddRow(
                Markup.Escape(value.Name), Markup.Escape(string.Join(", ", value.Layers)), $"{value.Groups}", $"{value.Channels}",
                Output.Whole(value.Vectors), Output.Text(value.Rms, "0.000"), Output.Bytes(value.Bytes));
        }
        console.Write(table);
        Output.Notes(console, report.Notes);
    }
}
