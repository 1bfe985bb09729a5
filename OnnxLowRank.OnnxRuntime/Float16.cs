namespace Microsoft.ML.OnnxRuntime;

/// <summary>A 16-bit IEEE 754 number in a tensor; the same bits as <see cref="Half"/>.</summary>
public readonly struct Float16 : IEquatable<Float16>, IComparable<Float16>
{
    /// <summary>The bits.</summary>
    public readonly ushort value;

    /// <summary>From bits, not from a number; that is the cast.</summary>
    public Float16(ushort v) => value = v;

    /// <summary>The nearest, ties to even; infinite beyond ±65504.</summary>
    public static explicit operator Float16(float value) => new(BitConverter.HalfToUInt16Bits((Half)value));

    /// <summary>Exact.</summary>
    public static explicit operator float(Float16 value) => (float)BitConverter.UInt16BitsToHalf(value.value);

    /// <summary>Exact.</summary>
    public float ToFloat() => (float)this;

    /// <summary>As numbers, except that NaN equals NaN.</summary>
    public bool Equals(Float16 other) => ((float)this).Equals((float)other);

    /// <inheritdoc/>
    public override bool Equals(object? obj) => obj is Float16 other && Equals(other);

    /// <inheritdoc/>
    public override int GetHashCode() => ((float)this).GetHashCode();

    /// <summary>By value; NaN comes first.</summary>
    public int CompareTo(Float16 other) => ((float)this).CompareTo((float)other);

    /// <summary>The bits and the number.</summary>
    public override string ToString() => $"{value} : {ToFloat()}";

    /// <summary>Equal as IEEE 754 has it: NaN equals nothing.</summary>
    public static bool operator ==(Float16 left, Float16 right) => (float)left == (float)right;

    /// <summary>Not equal as IEEE 754 has it.</summary>
    public static bool operator !=(Float16 left, Float16 right) => (float)left != (float)right;

    /// <summary>Less as IEEE 754 has it.</summary>
    public static bool operator <(Float16 left, Float16 right) => (float)left < (float)right;

    /// <summary>Greater as IEEE 754 has it.</summary>
    public static bool operator >(Float16 left, Float16 right) => (float)left > (float)right;

    /// <summary>Less or equal as IEEE 754 has it.</summary>
    public static bool operator <=(Float16 left, Float16 right) => (float)left <= (float)right;

    /// <summary>Greater or equal as IEEE 754 has it.</summary>
    public static bool operator >=(Float16 left, Float16 right) => (float)left >= (float)right;
}
