using Microsoft.ML.OnnxRuntime;
using OnnxLowRank.Runtime;

namespace OnnxLowRank;

/// <summary>How the second of two models differs from the first on the same samples; the JSON report is this record. Intervals are of 95 %.</summary>
/// <param name="A">The first model.</param>
/// <param name="B">The second, which is judged.</param>
/// <param name="Metrics">Output by output.</param>
/// <param name="ClassOutput">The output that classes are of; null where none holds scores of classes.</param>
/// <param name="Classes">Every class that occurs: by label or, without labels, by the first model's answer.</param>
/// <param name="Worst">Samples whose outputs moved most, the worst first.</param>
/// <param name="Broken">Samples with answers that were right in A and are wrong in B, those with most first; empty without labels.</param>
/// <param name="Notes">What a careful user wants to know.</param>
public sealed record ComparisonReport(
    ToolInfo Tool, FileFacts A, FileFacts B, MachineInfo Machine, int Threads, int Samples, IReadOnlyList<ComparedMetric> Metrics, string? ClassOutput,
    IReadOnlyList<ComparedClass> Classes, IReadOnlyList<ComparedSample> Worst, IReadOnlyList<ComparedSample> Broken, IReadOnlyList<string> Notes);

/// <summary>Where models ran.</summary>
/// <param name="Device">cpu or cuda:N.</param>
public sealed record MachineInfo(string OnnxRuntime, string Device, string Processor)
{
    internal static MachineInfo Of(Device device) => new(OrtEnv.Instance().GetVersionString(), device.Name, Runtime.Processor.Name);
}

/// <summary>One metric at one output.</summary>
/// <param name="Metric">accuracy, agreement, nll (nats), perplexity, kl (nats), relative or cosine.</param>
/// <param name="A">The first model's; null for a metric that compares outputs directly, and where B's outputs are no numbers.</param>
/// <param name="B">The second model's.</param>
/// <param name="Loss">How much worse B is; of perplexity as a fraction of A's, else in the metric's own units.</param>
public sealed record ComparedMetric(string Metric, string Output, double? A, double? B, double Loss, double Low, double High);

/// <summary>One class.</summary>
/// <param name="Count">Places that have the label or, without labels, that A gives this class.</param>
/// <param name="A">Share of them that A gets right; 1 without labels.</param>
/// <param name="B">Share of them that B gets right or, without labels, gives the same class.</param>
/// <param name="Loss">A − B.</param>
public sealed record ComparedClass(int Class, long Count, double A, double B, double Loss, double Low, double High);

/// <summary>One sample.</summary>
/// <param name="Sample">Its index in the calibration data, from 0.</param>
/// <param name="Output">The output that moved most.</param>
/// <param name="RelativeChange">‖Δy‖/‖y‖ of that output.</param>
/// <param name="Broken">Answers that were right in A and are wrong in B; null without labels.</param>
/// <param name="Label">Null where there is none, or the sample has several places.</param>
/// <param name="A">The first model's answer; null where no output holds scores of classes, or the sample has several places.</param>
/// <param name="B">The second model's.</param>
public sealed record ComparedSample(int Sample, string Output, double RelativeChange, int? Broken, int? Label, int? A, int? B);
