namespace OnnxLowRank.Timing;

/// <summary>How long a layer takes, and as what.</summary>
/// <param name="One">Microseconds of a run of one sample.</param>
/// <param name="Each">Microseconds per sample in a run of many; the same as <paramref name="One"/> where the batch is fixed.</param>
/// <param name="Kernels">Operators that ONNX Runtime made of it, in the order in which they run.</param>
sealed record LayerTime(double One, double Each, IReadOnlyList<string> Kernels)
{
    /// <summary>Of two measurements of the same kernels.</summary>
    public static LayerTime Shorter(LayerTime first, LayerTime second) => first with { One = Math.Min(first.One, second.One), Each = Math.Min(first.Each, second.Each) };

    /// <summary>Whether two measurements differ by no more than a part of the shorter time.</summary>
    public bool IsLike(LayerTime other, double part) =>
        Math.Abs(One - other.One) <= part * Math.Min(One, other.One) && Math.Abs(Each - other.Each) <= part * Math.Min(Each, other.Each);

    public static LayerTime operator +(LayerTime left, LayerTime right) =>
        new(left.One + right.One, left.Each + right.Each, [.. left.Kernels, .. right.Kernels]);
}
