namespace Microsoft.ML.OnnxRuntime;

/// <summary>The upper half of a <see cref="float"/>: its range with 8 bits of precision.</summary>
public readonly struct BFloat16 : IEquatable<BFloat16>, IComparable<BFloat16>
{
    /// <summary>The bits.</summary>
    public readonly ushort value;

    /// <summary>From bits, not from a number; that is the cast.</summary>
    public BFloat16(ushort v) => value = v;

    /// <summary>The nearest, ties to even.</summary>
    public static explicit operator BFloat16(float value)
    {
        uint bits = BitConverter.SingleToUInt32Bits(value);
        uint rounded = float.IsNaN(value) ? bits | 0x40_0000 : bits + 0x7FFF + (bits >> 16 & 1);
        return new((ushort)(rounded >> 16));
    }

    /// <summary>Exact.</summary>
    public static explicit operator float(BFloat16 value) => BitConverter.UInt32BitsToSingle((uint)value.value << 16);

    /// <summary>Exact.</summary>
    public float ToFloat() => (float)this;

    /// <summary>As numbers, except that NaN equals NaN.</summary>
    public bool Equals(BFloat16 other) => ((float)this).Equals((float)other);

    /// <inheritdoc/>
    public override bool Equals(object? obj) => obj is BFloat16 other && Equals(other);

    /// <inheritdoc/>
    public override int GetHashCode() => ((float)this).GetHashCode();

    /// <summary>By value; NaN comes first.</summary>
    public int CompareTo(BFloat16 other) => ((float)this).CompareTo((float)other);

    /// <summary>The bits and the number.</summary>
    public override string ToString() => $"{value} : {ToFloat()}";

    /// <summary>Equal as IEEE 754 has it: NaN equals nothing.</summary>
    public static bool operator ==(BFloat16 left, BFloat16 right) => (float)left == (float)right;

    /// <summary>Not equal as IEEE 754 has it.</summary>
    public static bool operator !=(BFloat16 left, BFloat16 right) => (float)left != (float)right;

    /// <summary>Less as IEEE 754 has it.</summary>
    public static bool operator <(BFloat16 left, BFloat16 right) => (float)left < (float)right;

    /// <summary>Greater as IEEE 754 has it.</summary>
    public static bool operator >(BFloat16 left, BFloat16 right) => (float)left > (float)right;

    /// <summary>Less or equal as IEEE 754 has it.</summary>
    public static bool operator <=(BFloat16 left, BFloat16 right) => (float)left <= (float)right;

    /// <summary>Greater or equal as IEEE 754 has it.</summary>
    public static bool operator >=(BFloat16 left, BFloat16 right) => (float)left >= (float)right;
}
