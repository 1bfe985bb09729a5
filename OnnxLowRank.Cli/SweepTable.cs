using System.Globalization;
using System.Text;
using Spectre.Console;

namespace OnnxLowRank.Cli;

/// <summary>A sweep on standard output, for people, and as comma-separated values.</summary>
static class SweepTable
{
    public static void Write(SweepReport report, bool hasColor)
    {
        var console = Output.Open(hasColor);
        bool hasTimes = report.Points.Any(point => point.Time != null), hasOriginal = report.Models.Any(model => model.Original != 0), hasNll = report.Points.Any(point => point.Nll != null);
        bool hasModels = report.Models.Count > 1;
        var table = Output.NewTable();
        foreach (string column in hasModels ? new[] { "model", "series" } : ["series"])
        {
            table.AddColumn(Output.Narrow(column));
        }
        string[] columns = [Unit(report.Kind), "bytes", "size", .. hasTimes ? new[] { "time" } : [], .. hasOriginal ? new[] { report.Metric } : [], "loss", "low", "high", .. hasNll ? new[] { "nll" } : []];
        table.AddColumns(Output.Numbers(columns));
        foreach (var point in report.Points)
        {
            string[] times = hasTimes ? [point.Time is { } time ? Output.Text(time, "0.000") : "-"] : [];
            string[] metric = hasOriginal ? [Output.Text(point.Value, "0.0000")] : [];
            string[] nll = hasNll ? [Output.Text(point.Nll ?? double.NaN, "0.0000")] : [];
            string[] models = hasModels ? [Markup.Escape(point.Model)] : [];
            table.AddRow([
                .. models, Markup.Escape(Repeated(point.Series, point.Repeat)), Setting(point), Output.Bytes(point.Bytes), Output.Text(point.Size, "0.000"), .. times, .. metric,
                Output.Text(point.Loss, "0.0000"), Output.Text(point.Low, "0.0000"), Output.Text(point.High, "0.0000"), .. nll]);
        }
        console.Write(table);
        foreach (var model in report.Models.Where(_ => hasOriginal))
        {
            console.MarkupLineInterpolated($"{model.Name}: {report.Metric} of the original {Output.Text(model.Original, "0.0000")}{(model.Nll is { } nll ? $", nll {Output.Text(nll, "0.0000")}" : "")}");
        }
        foreach (var model in report.Models.Where(model => model.Layer != null))
        {
            console.MarkupLineInterpolated($"{model.Name}: layer {model.Layer}, rank at most {model.Rank}, effective rank {Output.Text(model.EffectiveRank ?? 0, "0.0")}");
        }
        foreach (var good in report.GoodEnough)
        {
            string name = report.GoodEnough.Any(other => other.Series == good.Series && other.Repeat > 0) ? $"{good.Series} {good.Repeat + 1}" : good.Series;
            console.MarkupLineInterpolated($"{good.Model}, {name}: {(good.Rank is { } rank ? $"from rank {rank} on" : "at no rank tried")} it loses no more than {Output.Text(report.Tolerance, "0.####")}");
        }
        Output.Notes(console, report.Notes);
    }

    internal static string Unit(SweepKind kind) => kind switch
    {
        SweepKind.Ranks => "rank",
        SweepKind.Errors => "error",
        SweepKind.Sizes => "target",
        _ => "tolerance",
    };

    /// <summary>A series' name; of the second draw on, with its number.</summary>
    internal static string Repeated(string series, int repeat) => repeat > 0 ? $"{series} {repeat + 1}" : series;

    static string Setting(SweepPoint point) => point.Setting > 0 ? point.Setting.ToString(CultureInfo.InvariantCulture) : "-";

    /// <summary>A row per point; numbers with a point and all their digits, whatever the locale.</summary>
    public static string Csv(SweepReport report)
    {
        var text = new StringBuilder($"model,series,{Unit(report.Kind)},repeat,bytes,size,milliseconds,time,{report.Metric},loss,low,high,samples,nll,file");
        foreach (var point in report.Points)
        {
            object?[] cells =
            [
                Quoted(point.Model), Quoted(point.Series), point.Setting, point.Repeat, point.Bytes, point.Size, point.Milliseconds, point.Time,
                point.Value, point.Loss, point.Low, point.High, point.Samples, point.Nll, Quoted(point.File ?? ""),
            ];
            text.Append('\n').AppendJoin(',', cells.Select(cell => Convert.ToString(cell, CultureInfo.InvariantCulture)));
        }
        return text.ToString();
    }

    /// <summary>As RFC 4180 wants it.</summary>
    static string Quoted(string cell) => cell.AsSpan().ContainsAny("\",\r\n") ? $"\"{cell.Replace("\"", "\"\"")}\"" : cell;
}
