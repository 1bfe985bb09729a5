using System.Globalization;

namespace OnnxLowRank.Cli;

/// <summary>Numbers as they are typed: 0.5, or 1..500, or 1..500:10 for every tenth.</summary>
static class ValueRange
{
    /// <summary>Numbers that a range may stand for.</summary>
    public const int Most = 100_000;

    /// <returns>Null where the text is neither, or stands for too many.</returns>
    public static IEnumerable<double>? Parse(string text)
    {
        if (text.Split("..") is not [var first, var rest])
        {
            return Number(text) is { } single ? [single] : null;
        }
        string[] parts = rest.Split(':');
        double? from = Number(first), to = Number(parts[0]), step = parts.Length == 1 ? 1 : Number(parts[^1]);
        if (parts.Length > 2 || !(from <= to) || !(step > 0))
        {
            return null;
        }
        double count = Math.Floor((to.Value - from.Value) / step.Value + 1e-9) + 1; // 0.1..0.3:0.1 has three
        return count <= Most ? Enumerable.Range(0, (int)count).Select(i => from.Value + i * step.Value) : null;
    }

    static double? Number(string text) =>
        double.TryParse(text, NumberStyles.AllowDecimalPoint | NumberStyles.AllowExponent, CultureInfo.InvariantCulture, out double value) && double.IsFinite(value) ? value : null;
}
