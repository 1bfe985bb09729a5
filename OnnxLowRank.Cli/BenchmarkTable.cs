using Spectre.Console;

namespace OnnxLowRank.Cli;

/// <summary>A benchmark on standard output, for people; 80 columns wide.</summary>
static class BenchmarkTable
{
    public static void Write(BenchmarkReport report, bool hasColor)
    {
        var console = Output.Open(hasColor);
        for (int i = 0; i < report.Models.Count; i++)
        {
            var model = report.Models[i];
            console.MarkupLineInterpolated($"{Name(i)}: {model.Path}, {Output.Bytes(model.Bytes)}, {Output.Bytes(model.MemoryBytes)} of memory");
        }
        var table = new Table().Border(TableBorder.Simple)
            .AddColumns(Output.Numbers("thr.", "batch", "", "min", "median", "p90", "p99 ms", "per s", "ratio", "95 %"));
        foreach (var setting in report.Settings)
        {
            foreach (var times in setting.Times)
            {
                table.AddRow([
                    $"{setting.Threads}", $"{setting.Batch}", Name(times.Model), Milliseconds(times.MinMilliseconds), Milliseconds(times.MedianMilliseconds),
                    Milliseconds(times.P90Milliseconds), Milliseconds(times.P99Milliseconds), Output.Whole(times.SamplesPerSecond), .. Ratio(times)]);
            }
        }
        console.Write(table);
        console.MarkupLineInterpolated($"ONNX Runtime {report.Machine.OnnxRuntime} on {report.Machine.Device}, {report.Machine.Processor}; {(report.Calibration == null ? "made-up input" : $"input of {report.Calibration}")}");
        console.MarkupLineInterpolated($"thr.: threads; per s: samples; ratio: time in units of A's, the median over turns, and its interval");
        Output.Notes(console, report.Notes);
    }

    static string[] Ratio(BenchmarkTimes times) => times switch
    {
        { Model: 0 } => ["1", ""],
        { Ratio: { } ratio, RatioLow: { } low, RatioHigh: { } high } => [Output.Text(ratio, "0.000"), $"{Output.Text(low, "0.000")}-{Output.Text(high, "0.000")}"],
        _ => ["-", ""],
    };

    /// <summary>A, B … Z, then numbers: paths are too long for a table.</summary>
    static string Name(int model) => model < 26 ? $"{(char)('A' + model)}" : $"{model + 1}";

    static string Milliseconds(double time) => Output.Text(time, time switch
    {
        < 1 => "0.0000",
        < 10 => "0.000",
        < 100 => "0.00",
        _ => "0.0",
    });
}
