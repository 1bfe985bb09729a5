using OnnxLowRank.Planning;

namespace OnnxLowRank.Cli.Html;

/// <summary>What a compression did, as a page for people; everything on it is in the report.</summary>
static class CompressionPage
{
    /// <param name="arguments">The command line, without the program's name.</param>
    public static string Of(CompressionReport report, IReadOnlyList<string> arguments)
    {
        string name = Path.GetFileName(report.Source.Path);
        var page = new HtmlPage($"{name} – {report.Tool.Name}");
        page.Heading(report.Result == null ? name : $"{name} → {Path.GetFileName(report.Result.Path)}");
        Headline(page, report);
        Plans(page, report);
        Layers(page, report);
        LeftAlone(page, report);
        ReportSections.Notes(page, report.Notes);
        Run(page, report);
        Reproduce(page, report, arguments);
        return page.Render();
    }

    static void Headline(HtmlPage page, CompressionReport report)
    {
        page.Verdict(report.Outcome switch
        {
            Outcome.Written => $"Written, loaded again and {(report.Verified?.Tolerance == null ? "verified" : "within tolerance")} on samples that no decision has seen.",
            Outcome.BestEffort => $"Written as asked, but the {(report.Verified?.Tolerance == null ? "target" : "tolerance")} is missed.",
            _ => $"Nothing was written: {report.Notes[^1]}",
        }, report.Outcome == Outcome.Written);
        var (before, after) = (report.Before, report.After);
        List<HtmlFigure> figures = [
            HtmlFigure.Of("bytes", "bytes", before.Bytes, after?.Bytes, Output.Bytes),
            HtmlFigure.Of("parameters", "parameters", before.Parameters, after?.Parameters, Output.Whole),
            HtmlFigure.Of("MACs per sample", "macs", before.Macs, after?.Macs, Output.Whole)];
        if (before.Milliseconds is { } milliseconds)
        {
            figures.Add(HtmlFigure.Of("ms per sample", "milliseconds", milliseconds, after?.Milliseconds, value => Output.Text(value, "0.000")));
        }
        page.Figures(figures);
        if (report.Verified is { } verified)
        {
            page.Interval(report.Result == null ? $"{verified.Metric} loss of the closest plan" : $"verified {verified.Metric} loss", Interval(verified));
        }
    }

    static HtmlInterval Interval(VerifiedLoss verified) => new(
        "verified", HtmlCell.Of(verified.Loss, Output.Number), HtmlCell.Of(verified.Low, Output.Number), HtmlCell.Of(verified.High, Output.Number),
        verified.Tolerance is { } tolerance ? HtmlCell.Of(tolerance, Output.Number) : (HtmlCell?)null,
        $"{verified.Metric} was {Output.Number(verified.Original)} and is {Output.Number(verified.Compressed)} on {verified.Samples} samples that no decision has seen"
            + (verified.Looks > 1 ? $"; the interval is widened for {verified.Looks} looks at them." : "."));

    static void Plans(HtmlPage page, CompressionReport report)
    {
        if (CompressionCharts.Probes(report) is { } chart)
        {
            page.Section("Size against loss");
            page.Charts("Plans that were tried", chart);
            page.Details("Numbers", new("Plans that were tried", ["plan", "step", "bytes", "loss", "accepted"], [.. report.Probes.Select(Row)]));
        }

        static HtmlCell[] Row(Probe probe, int i) =>
            [HtmlCell.Of(i + 1, Output.Whole), probe.Step, HtmlCell.Of(probe.Bytes, Output.Bytes), HtmlCell.Of(probe.Loss, Output.Number), probe.Accepted ? "yes" : "no"];
    }

    static void Layers(HtmlPage page, CompressionReport report)
    {
        if (report.Layers.Count == 0)
        {
            return;
        }
        page.Section("Layers");
        page.Charts("Bytes, layer by layer", CompressionCharts.Bytes(report));
        if (CompressionCharts.Ranks(report) is { } ranks)
        {
            page.Charts("Ranks, layer by layer", ranks);
        }
        if (CompressionCharts.Spectra(report) is { Count: > 0 } spectra)
        {
            page.Charts("Singular values", spectra);
        }
        page.Table(new HtmlTable("Layers", ["layer", "became", "rank", "before", "after", "ratio", "kept energy", "predicted error", "µs before", "µs after", "op", "shape", "kernels"],
            [.. report.Layers.Select(Row)])
        { IsSearchable = true }.WithoutEmptyColumns());

        static HtmlCell[] Row(LayerReport layer) => [
            layer.Name, Became(layer), Rank(layer), HtmlCell.Of(layer.BytesBefore, Output.Bytes), HtmlCell.Of(layer.BytesAfter, Output.Bytes),
            HtmlCell.Of(layer.BytesBefore > 0 ? layer.BytesAfter / (double)layer.BytesBefore : null, value => Output.Text(value, "0.000")),
            HtmlCell.Of(layer.KeptEnergy, Share), HtmlCell.Of(layer.PredictedError, Share),
            HtmlCell.Of(layer.MicrosecondsBefore, Microseconds), HtmlCell.Of(layer.MicrosecondsAfter, Microseconds), layer.Op, Shape(layer), layer.Kernel ?? ""];
    }

    static string Became(LayerReport layer) => layer.Action == "keep"
        ? "as it was"
        : string.Join(", ", new[] { layer.Format ?? layer.Action, layer.Scheme, layer.Correction is { } correction ? $"corrected at rank {correction}" : null, layer.WeightOnly ? "weight-only" : null }.OfType<string>());

    /// <summary>Of the output; beside it that of the input, or that alone.</summary>
    static HtmlCell Rank(LayerReport layer) => layer.InputRank is { } input
        ? new(layer.Rank is { } both ? $"{both}, input {input}" : $"input {input}", layer.Rank ?? input)
        : HtmlCell.Of(layer.Rank, Output.Whole);

    static string Shape(LayerReport layer) => string.Join('×', layer.Shape);

    static string Share(double value) => Output.Text(value, "0.0000");

    static string Microseconds(double value) => Output.Text(value, "0.0");

    static void LeftAlone(HtmlPage page, CompressionReport report)
    {
        LayerReport[] kept = [.. report.Layers.Where(layer => layer.Action == "keep")];
        page.Section("Left alone, and why");
        if (kept.Length == 0)
        {
            page.Text("Nothing: every layer with a weight was rewritten.");
            return;
        }
        page.Table(new("Layers left alone", ["layer", "op", "shape", "bytes", "reason"], [.. kept.Select(layer =>
            new HtmlCell[] { layer.Name, layer.Op, Shape(layer), HtmlCell.Of(layer.BytesBefore, Output.Bytes), layer.Reason ?? "" })])
        { IsSearchable = true });
    }

    static void Run(HtmlPage page, CompressionReport report)
    {
        string Seconds(double value) => Output.Text(value, "0.0 s");
        page.Section("The run");
        var seconds = report.Seconds;
        page.Facts([
            ("total", HtmlCell.Of(seconds.Total, Seconds)), ("calibrate", HtmlCell.Of(seconds.Calibrate, Seconds)), ("decompose", HtmlCell.Of(seconds.Decompose, Seconds)),
            ("time", HtmlCell.Of(seconds.Time, Seconds)), ("search", HtmlCell.Of(seconds.Search, Seconds)), ("verify", HtmlCell.Of(seconds.Verify, Seconds)),
            ("passes over all samples", HtmlCell.Of(report.Passes, value => Output.Text(value, "0.0"))), ("peak memory", HtmlCell.Of(report.PeakMemoryBytes, Output.Bytes)),
            .. report.Kernels.Count == 0 ? [] : new (string, HtmlCell)[] { ("operators as run", string.Join(", ", report.Kernels.Select(kernel => $"{kernel.Value} {kernel.Key}"))) }]);
    }

    static void Reproduce(HtmlPage page, CompressionReport report, IReadOnlyList<string> arguments)
    {
        ReportSections.Reproduce(page, report.Tool, arguments, [
            (report.Tool.Name, report.Tool.Version), ("ONNX Runtime", report.Runtime.OnnxRuntime), ("device", report.Runtime.Device),
            ("linear algebra", report.Runtime.LinearAlgebra), ("threads", HtmlCell.Of(report.Runtime.Threads, Output.Whole)),
            ("source", $"{report.Source.Path}, {Output.Whole(report.Source.Bytes)} bytes"), ("its SHA-256", report.Source.Sha256),
            .. report.Result is { } result ? new (string, HtmlCell)[] { ("result", $"{result.Path}, {Output.Whole(result.Bytes)} bytes"), ("its SHA-256", result.Sha256) } : []]);
        page.Table(new("Options in effect", ["option", "value"], [.. report.Options.Where(option => option.Value.Length > 0).Select(option => new HtmlCell[] { $"--{option.Key}", option.Value })]));
    }
}
