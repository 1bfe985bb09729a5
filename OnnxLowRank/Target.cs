using System.Globalization;

namespace OnnxLowRank;

/// <summary>A limit that a user sets instead of a tolerance: a fraction of the original's, or an amount.</summary>
/// <param name="Value">The fraction, or the amount in bytes or milliseconds; above 0.</param>
public sealed record Target(double Value, bool IsFraction)
{
    static readonly (string Unit, double Bytes)[] s_sizes = [("KB", 1e3), ("MB", 1e6), ("GB", 1e9), ("KiB", 1 << 10), ("MiB", 1 << 20), ("GiB", 1 << 30), ("B", 1)];
    static readonly (string Unit, double Milliseconds)[] s_times = [("ms", 1), ("us", 1e-3), ("s", 1e3)];

    /// <summary>A size: 0.2, 5MB, 700KiB; null where the text is neither.</summary>
    public static Target? Size(string text) => Parse(text, s_sizes);

    /// <summary>A time per run of one sample: 0.5, 3ms; null where the text is neither.</summary>
    public static Target? Time(string text) => Parse(text, s_times);

    static Target? Parse(string text, (string Unit, double Factor)[] units)
    {
        foreach (var (unit, factor) in units)
        {
            if (text.EndsWith(unit, StringComparison.Ordinal) && Number(text[..^unit.Length]) is { } amount)
            {
                return new(amount * factor, false);
            }
        }
        return Number(text) is { } fraction and < 1 ? new(fraction, true) : null;
    }

    static double? Number(string text) =>
        double.TryParse(text, NumberStyles.AllowDecimalPoint, CultureInfo.InvariantCulture, out double value) && value > 0 && double.IsFinite(value) ? value : null;

    /// <summary>The amount, given the original's.</summary>
    public double Of(double original) => IsFraction ? Value * original : Value;

    /// <inheritdoc/>
    public override string ToString() => Value.ToString(CultureInfo.InvariantCulture) + (IsFraction ? " of the original" : "");

    /// <summary>The same for people.</summary>
    /// <param name="unit">Of an amount.</param>
    internal string Text(string unit) => IsFraction ? $"{this}" : $"{this} {unit}";
}
