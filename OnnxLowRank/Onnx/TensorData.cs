using System.Buffers.Binary;
using System.Numerics.Tensors;
using System.Runtime.InteropServices;
using Google.Protobuf;
using OnnxLowRank.Onnx.Proto;
using static OnnxLowRank.Onnx.Proto.TensorProto.Types;

namespace OnnxLowRank.Onnx;

/// <summary>Elements in and out of a <see cref="TensorProto"/>, whichever of the format's storage fields holds them.</summary>
static class TensorData
{
    /// <summary>As many as NumPy has. Without a limit, a value of a million axes that thousands of nodes read would fill memory.</summary>
    public const int MostAxes = 64;

    /// <summary>Product of the dimensions; 1 for a scalar.</summary>
    /// <exception cref="ModelException">A dimension is negative or the product overflows.</exception>
    public static long ElementCount(this TensorProto tensor)
    {
        if (tensor.Dims.Count > MostAxes)
        {
            throw new ModelException($"tensor '{tensor.Name}' has {tensor.Dims.Count} dimensions, more than {MostAxes}");
        }
        return Count(tensor.Dims) ?? throw new ModelException($"tensor '{tensor.Name}' has impossible dimensions [{string.Join(',', tensor.Dims)}]");
    }

    /// <summary>Product of dimensions, 1 of none; null where one is negative or the elements are more than any file has.</summary>
    public static long? Count(IReadOnlyList<long> dims)
    {
        long count = 1;
        foreach (long dim in dims)
        {
            if (dim < 0 || (dim > 0 && count > long.MaxValue / 128 / dim))
            {
                return null;
            }
            count *= dim;
        }
        return count;
    }

    /// <summary>Bytes the tensor takes in the file, as stored: typed fields may hold less than raw data would.</summary>
    public static long StoredBytes(this TensorProto tensor) =>
        tensor.HasRawData ? tensor.RawData.Length : TensorType.Bytes((DataType)tensor.DataType, tensor.ElementCount());

    /// <summary>Throws unless the tensor holds exactly the elements that its dimensions announce.</summary>
    /// <exception cref="ModelException">Dimensions and stored data disagree, or the type is unknown.</exception>
    public static void Validate(this TensorProto tensor)
    {
        long count = tensor.ElementCount();
        var type = (DataType)tensor.DataType;
        if (type == DataType.String)
        {
            Require(tensor, tensor.StringData.Count == count, $"{tensor.StringData.Count} strings");
            return;
        }
        if (TensorType.Bits(type) == 0)
        {
            throw new ModelException($"tensor '{tensor.Name}' has an unknown element {TensorType.Name(tensor.DataType)}");
        }
        if (tensor.HasRawData)
        {
            Require(tensor, tensor.RawData.Length == TensorType.Bytes(type, count), $"{tensor.RawData.Length} bytes");
            return;
        }

        (long stored, long expected) = type switch
        {
            DataType.Float => (tensor.FloatData.Count, count),
            DataType.Complex64 => (tensor.FloatData.Count, 2 * count),
            DataType.Double => (tensor.DoubleData.Count, count),
            DataType.Complex128 => (tensor.DoubleData.Count, 2 * count),
            DataType.Int64 => (tensor.Int64Data.Count, count),
            DataType.Uint32 or DataType.Uint64 => (tensor.Uint64Data.Count, count),
            _ when TensorType.Bits(type) < 8 => (tensor.Int32Data.Count, TensorType.Bytes(type, count)),
            _ => (tensor.Int32Data.Count, count),
        };
        Require(tensor, stored == expected, $"{stored} elements");
    }

    static void Require(TensorProto tensor, bool holds, string found)
    {
        if (!holds)
        {
            throw new ModelException(
                $"tensor '{tensor.Name}' is {TensorType.Name(tensor.DataType)}[{string.Join(',', tensor.Dims)}] but stores {found}");
        }
    }

    /// <summary>The elements as floats, in row-major order; integers, halves and doubles are converted.</summary>
    /// <exception cref="ModelException">The type has no numeric value of 8 bits or more (strings, complex, 4-bit and 8-bit floats).</exception>
    public static float[] ToFloats(this TensorProto tensor)
    {
        var floats = new float[checked((int)tensor.ElementCount())];
        var type = (DataType)tensor.DataType;
        if (tensor.HasRawData)
        {
            FromRaw(tensor, type, tensor.RawData.Span, floats);
            return floats;
        }

        switch (type)
        {
            case DataType.Float:
                tensor.FloatData.CopyTo(floats, 0);
                break;
            case DataType.Double:
                Fill(floats, i => (float)tensor.DoubleData[i]);
                break;
            case DataType.Int64:
                Fill(floats, i => tensor.Int64Data[i]);
                break;
            case DataType.Uint32 or DataType.Uint64:
                Fill(floats, i => tensor.Uint64Data[i]);
                break;
            case DataType.Float16:
                Fill(floats, i => (float)BitConverter.UInt16BitsToHalf((ushort)tensor.Int32Data[i]));
                break;
            case DataType.Bfloat16:
                Fill(floats, i => BitConverter.Int32BitsToSingle(tensor.Int32Data[i] << 16));
                break;
            case DataType.Bool or DataType.Int8 or DataType.Uint8 or DataType.Int16 or DataType.Uint16 or DataType.Int32:
                Fill(floats, i => tensor.Int32Data[i]);
                break;
            default:
                throw NotNumeric(tensor);
        }
        return floats;
    }

    /// <summary>The largest magnitude of the elements, 0 of none; NaN or infinity if any element is.</summary>
    /// <exception cref="ModelException">As <see cref="ToFloats"/>.</exception>
    public static float LargestMagnitude(this TensorProto tensor)
    {
        var values = tensor.HasRawData && tensor.DataType == (int)DataType.Float ? MemoryMarshal.Cast<byte, float>(tensor.RawData.Span) : tensor.ToFloats();
        return values.IsEmpty ? 0 : Math.Abs(TensorPrimitives.MaxMagnitude(values));
    }

    /// <summary>The elements of a tensor of int64 or int32.</summary>
    public static long[] ToInt64s(this TensorProto tensor)
    {
        if (tensor.DataType == (int)DataType.Int32)
        {
            int[] narrow = tensor.HasRawData ? MemoryMarshal.Cast<byte, int>(tensor.RawData.Span).ToArray() : [.. tensor.Int32Data];
            return Array.ConvertAll(narrow, value => (long)value);
        }
        return tensor.HasRawData ? MemoryMarshal.Cast<byte, long>(tensor.RawData.Span).ToArray() : [.. tensor.Int64Data];
    }

    static void FromRaw(TensorProto tensor, DataType type, ReadOnlySpan<byte> raw, float[] floats)
    {
        switch (type)
        {
            case DataType.Float:
                MemoryMarshal.Cast<byte, float>(raw).CopyTo(floats);
                break;
            case DataType.Double:
                TensorPrimitives.ConvertTruncating<double, float>(MemoryMarshal.Cast<byte, double>(raw), floats);
                break;
            case DataType.Float16:
                TensorPrimitives.ConvertToSingle(MemoryMarshal.Cast<byte, Half>(raw), floats);
                break;
            case DataType.Bfloat16:
                for (int i = 0; i < floats.Length; i++)
                {
                    floats[i] = BitConverter.Int32BitsToSingle(BinaryPrimitives.ReadInt16LittleEndian(raw[(2 * i)..]) << 16);
                }
                break;
            case DataType.Bool or DataType.Uint8:
                TensorPrimitives.ConvertTruncating(raw, floats.AsSpan());
                break;
            case DataType.Int8:
                TensorPrimitives.ConvertTruncating<sbyte, float>(MemoryMarshal.Cast<byte, sbyte>(raw), floats);
                break;
            case DataType.Int16:
                TensorPrimitives.ConvertTruncating<short, float>(MemoryMarshal.Cast<byte, short>(raw), floats);
                break;
            case DataType.Uint16:
                TensorPrimitives.ConvertTruncating<ushort, float>(MemoryMarshal.Cast<byte, ushort>(raw), floats);
                break;
            case DataType.Int32:
                TensorPrimitives.ConvertTruncating<int, float>(MemoryMarshal.Cast<byte, int>(raw), floats);
                break;
            case DataType.Uint32:
                TensorPrimitives.ConvertTruncating<uint, float>(MemoryMarshal.Cast<byte, uint>(raw), floats);
                break;
            case DataType.Int64:
                TensorPrimitives.ConvertTruncating<long, float>(MemoryMarshal.Cast<byte, long>(raw), floats);
                break;
            case DataType.Uint64:
                TensorPrimitives.ConvertTruncating<ulong, float>(MemoryMarshal.Cast<byte, ulong>(raw), floats);
                break;
            default:
                throw NotNumeric(tensor);
        }
    }

    static void Fill(float[] floats, Func<int, float> element)
    {
        for (int i = 0; i < floats.Length; i++)
        {
            floats[i] = element(i);
        }
    }

    static ModelException NotNumeric(TensorProto tensor) =>
        new($"tensor '{tensor.Name}' of {TensorType.Name(tensor.DataType)} cannot be read as numbers");

    /// <summary>A new tensor of any plain element type, stored as raw data.</summary>
    public static TensorProto Create<T>(string name, DataType type, ReadOnlySpan<T> elements, params ReadOnlySpan<long> dims) where T : unmanaged =>
        Of(name, type, ByteString.CopyFrom(MemoryMarshal.AsBytes(elements)), dims);

    /// <summary>A tensor whose data stays where it is.</summary>
    /// <param name="data">Never changed again.</param>
    public static TensorProto Wrap(string name, DataType type, ReadOnlyMemory<byte> data, params ReadOnlySpan<long> dims) =>
        Of(name, type, UnsafeByteOperations.UnsafeWrap(data), dims);

    static TensorProto Of(string name, DataType type, ByteString data, ReadOnlySpan<long> dims)
    {
        var tensor = new TensorProto { Name = name, DataType = (int)type, RawData = data };
        tensor.Dims.AddRange(dims.ToArray());
        return tensor;
    }

    public static TensorProto Floats(string name, ReadOnlySpan<float> elements, params ReadOnlySpan<long> dims) =>
        Create(name, DataType.Float, elements, dims);

    /// <summary>Floats in an element type of their own: float32, the nearest of float16 or bfloat16 (beyond their range infinite), or float64.</summary>
    public static TensorProto Reals(string name, DataType type, ReadOnlySpan<float> elements, params ReadOnlySpan<long> dims)
    {
        switch (type)
        {
            case DataType.Float:
                return Floats(name, elements, dims);
            case DataType.Double:
                var doubles = new double[elements.Length];
                TensorPrimitives.ConvertTruncating<float, double>(elements, doubles);
                return Create<double>(name, type, doubles, dims);
            case DataType.Float16:
                var halves = new Half[elements.Length];
                TensorPrimitives.ConvertToHalf(elements, halves);
                return Create<Half>(name, type, halves, dims);
            case DataType.Bfloat16:
                var upper = new ushort[elements.Length];
                for (int i = 0; i < upper.Length; i++)
                {
                    upper[i] = BFloat16Bits(elements[i]);
                }
                return Create<ushort>(name, type, upper, dims);
            default:
                throw new ArgumentException($"{TensorType.Name((int)type)} is no type of floats");
        }
    }

    /// <summary>What is left of floats that went through an element type.</summary>
    public static void RoundTo(DataType type, Span<float> values)
    {
        for (int i = 0; i < values.Length && type is DataType.Float16 or DataType.Bfloat16; i++)
        {
            values[i] = type == DataType.Float16 ? (float)(Half)values[i] : BitConverter.Int32BitsToSingle(BFloat16Bits(values[i]) << 16);
        }
    }

    /// <summary>The upper half of a float's bits, rounded to the nearest, ties to even.</summary>
    static ushort BFloat16Bits(float value)
    {
        uint bits = BitConverter.SingleToUInt32Bits(value);
        return float.IsNaN(value) ? (ushort)((bits >> 16) | 0x40) : (ushort)((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16);
    }

    public static TensorProto Int64s(string name, ReadOnlySpan<long> elements) =>
        Create(name, DataType.Int64, elements, elements.Length);

    public static TensorProto Scalar(string name, float value) => Create<float>(name, DataType.Float, [value]);
}
