using System.Globalization;

namespace OnnxLowRank;

/// <summary>Whole compressions at several tolerances or sizes, beside the model in 8 and in 4 bits with nothing factorized.</summary>
static class TradeoffSweep
{
    /// <summary>Whatever the metric: quantize all there is.</summary>
    const double AnyLoss = 1e9;

    public static void Run(SweepOptions options, string input, SweepSink sink, CancellationToken cancellation)
    {
        var plans = new List<(string Series, double Setting, CompressionOptions Options)>();
        foreach (double setting in options.Settings)
        {
            var compression = options.Compression(input, FileOf(options, input, $"{options.Kind.ToString().ToLowerInvariant()[..^1]}-{setting.ToString(CultureInfo.InvariantCulture)}"));
            plans.Add(("low rank", setting, options.Kind == SweepKind.Sizes ? compression with { TargetSize = new(setting, IsFraction: true) } : compression with { Tolerance = setting }));
        }
        foreach (var format in new[] { FormatChoice.Int8, FormatChoice.Int4 })
        {
            string series = $"dense {format.ToString().ToLowerInvariant()}";
            plans.Add((series, 0, options.Compression(input, FileOf(options, input, series.Replace(' ', '-'))) with { Method = Method.None, Format = format, Tolerance = AnyLoss }));
        }
        var reports = new List<CompressionReport>();
        foreach (var (series, setting, compression) in plans)
        {
            var report = Compressor.Run(compression, progress: null, cancellation);
            reports.Add(report);
            if (report.Outcome == Outcome.Written)
            {
                sink.Add(PointOf(report, series, setting));
            }
            else
            {
                sink.Note($"{input}: {series}{(setting > 0 ? $" at {setting}" : "")}: nothing was written: {report.Notes[^1]}");
            }
            sink.Progress((double)reports.Count / plans.Count);
        }
        sink.RunsOn(reports[0].Runtime);
        var verified = reports.Select(report => report.Verified).FirstOrDefault(loss => loss != null);
        sink.Start(new(SweepOptions.NameOf(input), reports[0].Source, verified?.Original ?? 0), reports[0].Options["metric"]);
    }

    static string FileOf(SweepOptions options, string input, string suffix) => Path.Combine(options.Folder!, $"{SweepOptions.NameOf(input)}.{suffix}.onnx");

    static SweepPoint PointOf(CompressionReport report, string series, double setting)
    {
        var (before, after, verified) = (report.Before, report.After!, report.Verified!);
        return new(
            SweepOptions.NameOf(report.Source.Path), series, setting, 0, after.Bytes, (double)after.Bytes / before.Bytes, after.Milliseconds, after.Milliseconds / before.Milliseconds,
            verified.Compressed, verified.Loss, verified.Low, verified.High, verified.Samples, File: report.Result!.Path);
    }
}
