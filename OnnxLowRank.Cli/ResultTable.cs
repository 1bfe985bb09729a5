using Spectre.Console;

namespace OnnxLowRank.Cli;

/// <summary>The result on standard output, for people.</summary>
static class ResultTable
{
    public static void Write(CompressionReport report, bool withLayers, bool hasColor)
    {
        var console = Output.Open(hasColor);
        console.Write(Costs(report));
        if (report.Verified is { } verified)
        {
            console.MarkupLineInterpolated(
                $"verified on {verified.Samples} unseen samples: {verified.Metric} loss {Output.Number(verified.Loss)} (95 %: {Output.Number(verified.Low)} to {Output.Number(verified.High)}){(verified.Tolerance is { } tolerance ? $", tolerance {tolerance}" : "")}");
        }
        console.MarkupLineInterpolated(
            $"{report.Seconds.Total:0.0} s, {report.Passes:0.0} passes, peak memory {Output.Bytes(report.PeakMemoryBytes)}; {report.Runtime.LinearAlgebra}; ONNX Runtime {report.Runtime.OnnxRuntime} on {report.Runtime.Device}");
        if (withLayers)
        {
            console.Write(Layers(report, console.Profile.Width >= Output.Wide));
            foreach (var layer in report.Layers.Where(layer => layer.Action == "keep"))
            {
                console.MarkupLineInterpolated($"kept: {layer.Name} ({layer.Op}): {layer.Reason}");
            }
        }
        Output.Notes(console, report.Notes);
    }

    static Table Costs(CompressionReport report)
    {
        var table = Output.NewTable().AddColumn("");
        foreach (string column in new[] { "before", "after", "ratio" })
        {
            table.AddColumn(new TableColumn(column).RightAligned());
        }
        void Row(string name, double before, double? after, Func<double, string> text) => table.AddRow(
            name, text(before), after is { } value ? text(value) : "-", after is { } ratio && before > 0 ? Output.Text(ratio / before, "0.000") : "-");

        Row("bytes", report.Before.Bytes, report.After?.Bytes, Output.Bytes);
        Row("parameters", report.Before.Parameters, report.After?.Parameters, Output.Whole);
        Row("MACs per sample", report.Before.Macs, report.After?.Macs, Output.Whole);
        if (report.Before.Milliseconds is { } milliseconds)
        {
            Row("ms per sample", milliseconds, report.After?.Milliseconds, value => Output.Text(value, "0.000"));
        }
        return table;
    }

    /// <summary>The layers that changed. Names may wrap, and what became of them: they are what is long.</summary>
    static Table Layers(CompressionReport report, bool isWide)
    {
        var table = Output.NewTable().AddColumn(Output.Narrow("layer"));
        table.AddColumns(isWide ? [Output.Narrow("op").NoWrap(), Output.Narrow("shape").NoWrap()] : []).AddColumn(Output.Narrow("became"));
        table.AddColumns(Output.Numbers("before", "after", "error", "µs before", "after"));
        table.AddColumns(isWide ? [Output.Narrow("kernels").NoWrap()] : []);
        foreach (var layer in report.Layers.Where(layer => layer.Action != "keep"))
        {
            string[] what = isWide ? [layer.Op, string.Join('x', layer.Shape)] : [];
            string[] kernels = isWide ? [Markup.Escape(layer.Kernel ?? "-")] : [];
            table.AddRow([
                Markup.Escape(layer.Name), .. what, Became(layer), Output.Bytes(layer.BytesBefore), Output.Bytes(layer.BytesAfter),
                Output.Text(layer.PredictedError ?? 0, "0.0000"), Microseconds(layer.MicrosecondsBefore), Microseconds(layer.MicrosecondsAfter), .. kernels]);
        }
        return table;
    }

    /// <summary>What was made of a layer, in short.</summary>
    public static string Became(LayerReport layer) =>
        (layer.Rank is { } rank ? $"rank {rank} " : "") + (layer.Format ?? layer.Action) + (layer.Correction is { } correction ? $" + rank {correction}" : "") + (layer.WeightOnly ? ", weight-only" : "");

    static string Microseconds(double? time) => time is { } known ? Output.Text(known, "0.0") : "-";
}
