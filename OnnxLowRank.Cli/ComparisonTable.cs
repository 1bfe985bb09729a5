using Spectre.Console;

namespace OnnxLowRank.Cli;

/// <summary>A comparison on standard output, for people; 80 columns wide as long as names are short.</summary>
static class ComparisonTable
{
    public static void Write(ComparisonReport report, int classes, int worst, bool hasColor)
    {
        var console = Output.Open(hasColor);
        console.MarkupLineInterpolated($"A: {report.A.Path}, {Output.Bytes(report.A.Bytes)}");
        console.MarkupLineInterpolated($"B: {report.B.Path}, {Output.Bytes(report.B.Bytes)}, {Output.Text((double)report.B.Bytes / report.A.Bytes, "0.000")} of A");
        console.Write(Metrics(report));
        bool hasLabels = report.Metrics.Any(metric => metric.Metric == "accuracy");
        if (report.Classes.Count > 0)
        {
            console.Write(Classes(report, classes, hasLabels));
        }
        if (report.Classes.Count > classes)
        {
            console.MarkupLineInterpolated($"{report.Classes.Count - classes} more classes; --top shows more, --json all");
        }
        if (report.Worst.Count > 0)
        {
            console.MarkupLineInterpolated($"Samples whose outputs moved most:");
            console.Write(Samples(report.Worst, report.ClassOutput != null, hasLabels));
        }
        if (report.Broken.Count > 0 && worst > 0)
        {
            string rest = report.Broken.Count > worst ? $" ({report.Broken.Count - worst} more in --json)" : "";
            console.MarkupLineInterpolated($"Samples with answers right in A and wrong in B{rest}:");
            console.Write(Samples([.. report.Broken.Take(worst)], withAnswers: true, hasLabels));
        }
        console.MarkupLineInterpolated($"{report.Samples} samples; ONNX Runtime {report.Machine.OnnxRuntime} on {report.Machine.Device}; intervals of 95 %; loss: how much worse B is");
        Output.Notes(console, report.Notes);
    }

    static Table Metrics(ComparisonReport report)
    {
        var table = Create(["metric", "output"], "A", "B", "loss", "95 %");
        foreach (var metric in report.Metrics)
        {
            table.AddRow(
                metric.Metric, Markup.Escape(metric.Output), metric.A is { } a ? Number(a) : "-", metric.B is { } b ? Number(b) : "-", Number(metric.Loss),
                Range(metric.Low, metric.High));
        }
        return table;
    }

    static Table Classes(ComparisonReport report, int count, bool hasLabels)
    {
        string[] shares = hasLabels ? ["A right", "B right"] : ["same in B"];
        var table = Create([hasLabels ? "label" : "A's class"], ["count", .. shares, "loss", "95 %"]);
        foreach (var item in report.Classes.OrderByDescending(item => item.Loss).Take(count))
        {
            string[] values = hasLabels ? [Number(item.A), Number(item.B)] : [Number(item.B)];
            table.AddRow([$"{item.Class}", Output.Whole(item.Count), .. values, Number(item.Loss), Range(item.Low, item.High)]);
        }
        return table;
    }

    static Table Samples(IReadOnlyList<ComparedSample> samples, bool withAnswers, bool hasLabels)
    {
        string[] ofAnswers = withAnswers ? ["A", "B"] : [], ofLabels = hasLabels ? ["label", "broken"] : [];
        var table = Create(["sample", "output"], ["‖Δy‖/‖y‖", .. ofAnswers, .. ofLabels]);
        foreach (var sample in samples)
        {
            string[] answers = withAnswers ? [Answer(sample.A), Answer(sample.B)] : [], labels = hasLabels ? [Answer(sample.Label), $"{sample.Broken}"] : [];
            table.AddRow([$"{sample.Sample}", Markup.Escape(sample.Output), Number(sample.RelativeChange), .. answers, .. labels]);
        }
        return table;
    }

    /// <summary>Only names may wrap: they are what is long.</summary>
    static Table Create(string[] names, params string[] numbers)
    {
        var table = new Table().Border(TableBorder.Simple);
        foreach (string name in names)
        {
            table.AddColumn(Output.Narrow(name));
        }
        return table.AddColumns(Output.Numbers(numbers));
    }

    static string Answer(int? answer) => answer is { } known ? $"{known}" : "-";

    static string Range(double low, double high) => $"{Number(low)} to {Number(high)}";

    static string Number(double value) => value switch
    {
        0 => "0",
        _ when double.IsInfinity(value) => value > 0 ? "∞" : "-∞",
        > -0.0001 and < 0.0001 => Output.Text(value, "0.0e+0"),
        > -100 and < 100 => Output.Text(value, "0.0000"),
        _ => Output.Text(value, "0.00"),
    };
}
