using System.Text.Json.Serialization;

namespace OnnxLowRank.Cli.Html;

/// <summary>What a chart shows; the page's script draws it.</summary>
/// <param name="Title">Short; where a page lets readers choose among charts, the name to choose by.</param>
/// <param name="Description">What there is to see, in words: for those who cannot see it, and below it for all.</param>
sealed record Chart(string Title, string Description, ChartAxis X, ChartAxis Y, IReadOnlyList<ChartSeries> Series)
{
    /// <summary>Names of groups of horizontal bars, top to bottom; null where points are drawn by both of their numbers.</summary>
    public IReadOnlyList<string>? Categories { get; init; }

    public IReadOnlyList<ReferenceLine> References { get; init; } = [];
}

/// <summary>How numbers along an axis are spaced.</summary>
enum AxisScale
{
    Linear,
    Logarithmic,
}

/// <summary>How numbers along an axis are written.</summary>
enum AxisUnit
{
    Number,
    Bytes,
}

/// <param name="Most">Points beyond it are drawn there, so that a few of them do not hide the others; null for no such limit.</param>
sealed record ChartAxis(string Title, AxisScale Scale = AxisScale.Linear, AxisUnit Unit = AxisUnit.Number, double? Most = null);

/// <summary>How a series is drawn.</summary>
enum SeriesMark
{
    /// <summary>Points and the line through them.</summary>
    Line,

    /// <summary>Points alone.</summary>
    Points,

    /// <summary>A horizontal bar per category.</summary>
    Bars,
}

/// <param name="Hue">Which colour: those of the same thing share one; null for the next one.</param>
sealed record ChartSeries(string Name, SeriesMark Mark, IReadOnlyList<ChartPoint> Points, int? Hue = null);

/// <summary>A point, or a bar of length <paramref name="X"/>. What is not finite is left out.</summary>
/// <param name="Note">What else to tell when the point is touched; lines are separated by \n.</param>
readonly record struct ChartPoint(double X, double Y, string? Note = null);

/// <summary>A line across the whole chart.</summary>
/// <param name="At">Where it meets the axis that it is perpendicular to.</param>
/// <param name="Hue">As of a series; null for that of limits.</param>
sealed record ReferenceLine(string Name, double At, bool IsVertical, int? Hue = null);

/// <summary>Charts as the page's script reads them. The default encoder leaves no sign that means something in HTML.</summary>
[JsonSourceGenerationOptions(
    PropertyNamingPolicy = JsonKnownNamingPolicy.CamelCase, UseStringEnumConverter = true, NumberHandling = JsonNumberHandling.AllowNamedFloatingPointLiterals,
    DefaultIgnoreCondition = JsonIgnoreCondition.WhenWritingNull)]
[JsonSerializable(typeof(List<IReadOnlyList<Chart>>))]
sealed partial class ChartContext : JsonSerializerContext;
