using System.Globalization;
using System.Numerics;
using System.Numerics.Tensors;
using System.Runtime.InteropServices;
using OnnxLowRank.Onnx;
using DataType = OnnxLowRank.Onnx.Proto.TensorProto.Types.DataType;

namespace OnnxLowRank.Samples;

/// <summary>Looks at and converts elements, given as little-endian bytes and their type.</summary>
static class ElementValues
{
    /// <summary>The index of the first NaN or infinity, or of the first bool that is neither 0 nor 1; −1 if all elements can be fed to a model.</summary>
    public static int FirstUnusable(DataType type, ReadOnlySpan<byte> bytes) => type switch
    {
        // A float is NaN or infinite when all bits of its exponent are set.
        DataType.Float => FirstWithBits(MemoryMarshal.Cast<byte, uint>(bytes), 0x7F80_0000u),
        DataType.Double => FirstWithBits(MemoryMarshal.Cast<byte, ulong>(bytes), 0x7FF0_0000_0000_0000ul),
        DataType.Float16 => FirstWithBits(MemoryMarshal.Cast<byte, ushort>(bytes), (ushort)0x7C00),
        DataType.Bfloat16 => FirstWithBits(MemoryMarshal.Cast<byte, ushort>(bytes), (ushort)0x7F80),
        DataType.Bool => bytes.IndexOfAnyExcept((byte)0, (byte)1),
        _ => -1,
    };

    /// <summary>Element <paramref name="index"/> in words: "NaN", "-Infinity", "42".</summary>
    public static string Text(DataType type, ReadOnlySpan<byte> bytes, int index)
    {
        string At<T>(ReadOnlySpan<byte> all) where T : unmanaged, IFormattable =>
            MemoryMarshal.Cast<byte, T>(all)[index].ToString(null, CultureInfo.InvariantCulture);

        return type switch
        {
            DataType.Float => At<float>(bytes),
            DataType.Double => At<double>(bytes),
            DataType.Float16 => At<Half>(bytes),
            DataType.Bfloat16 => BitConverter.UInt32BitsToSingle((uint)MemoryMarshal.Cast<byte, ushort>(bytes)[index] << 16).ToString(CultureInfo.InvariantCulture),
            DataType.Int64 => At<long>(bytes),
            DataType.Int32 => At<int>(bytes),
            _ => bytes[index].ToString(CultureInfo.InvariantCulture),
        };
    }

    /// <summary>Numbers between −1 and 1 where the type is one of floats: what is there stays in others.</summary>
    public static void FillWithNumbers(DataType type, Span<byte> bytes)
    {
        if (!TensorType.IsReal(type))
        {
            return;
        }
        var numbers = new float[255];
        for (int i = 0; i < numbers.Length; i++)
        {
            numbers[i] = (i * 37 % 255 - 127) / 127f;
        }
        ReadOnlySpan<byte> period = TensorData.Reals("", type, numbers, numbers.Length).RawData.Span;
        for (; bytes.Length > 0; bytes = bytes[Math.Min(bytes.Length, period.Length)..])
        {
            period[..Math.Min(bytes.Length, period.Length)].CopyTo(bytes);
        }
    }

    /// <summary>Whether data of one type may be fed to an input of another: where at most digits that the input's type lacks are lost.</summary>
    public static bool CanConvert(DataType from, DataType to) =>
        (from, to) is (DataType.Float or DataType.Double, DataType.Float or DataType.Double or DataType.Float16 or DataType.Bfloat16)
            or (DataType.Int64, DataType.Int32) or (DataType.Int32, DataType.Int64);

    /// <summary>Converts all elements; <paramref name="target"/> has room for as many as <paramref name="source"/> has, or more; none of the source is unusable.</summary>
    /// <returns>The index of the first element that is out of the range of the type <paramref name="to"/>, or −1.</returns>
    public static int Convert(DataType from, DataType to, ReadOnlySpan<byte> source, Span<byte> target)
    {
        switch (from, to)
        {
            case (DataType.Double, DataType.Float):
                TensorPrimitives.ConvertTruncating(MemoryMarshal.Cast<byte, double>(source), MemoryMarshal.Cast<byte, float>(target));
                return FirstUnusable(DataType.Float, target[..(source.Length / 2)]);   // what is behind is not ours
            case (DataType.Double, DataType.Float16 or DataType.Bfloat16):
                var singles = new float[source.Length / sizeof(double)];
                TensorPrimitives.ConvertTruncating(MemoryMarshal.Cast<byte, double>(source), singles);
                return Convert(DataType.Float, to, MemoryMarshal.AsBytes<float>(singles), target);
            case (DataType.Float, DataType.Double or DataType.Float16 or DataType.Bfloat16):
                var narrow = TensorData.Reals("", to, MemoryMarshal.Cast<byte, float>(source), source.Length / sizeof(float)).RawData.Span;
                narrow.CopyTo(target);
                return FirstUnusable(to, narrow);
            case (DataType.Int32, DataType.Int64):
                TensorPrimitives.ConvertTruncating(MemoryMarshal.Cast<byte, int>(source), MemoryMarshal.Cast<byte, long>(target));
                return -1;
            case (DataType.Int64, DataType.Int32):
                var values = MemoryMarshal.Cast<byte, long>(source);
                TensorPrimitives.ConvertTruncating(values, MemoryMarshal.Cast<byte, int>(target));
                return values.IndexOfAnyExceptInRange(int.MinValue, int.MaxValue);
            default:
                throw new ArgumentException($"{from} is not converted to {to}");
        }
    }

    static int FirstWithBits<T>(ReadOnlySpan<T> values, T bits) where T : unmanaged, IBinaryInteger<T>
    {
        int i = 0;
        var all = new Vector<T>(bits);
        for (; i <= values.Length - Vector<T>.Count; i += Vector<T>.Count)
        {
            if (Vector.EqualsAny(new Vector<T>(values[i..]) & all, all))
            {
                break;
            }
        }
        for (; i < values.Length; i++)
        {
            if ((values[i] & bits) == bits)
            {
                return i;
            }
        }
        return -1;
    }
}
