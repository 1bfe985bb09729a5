using System.Buffers.Binary;
using DataType = OnnxLowRank.Onnx.Proto.TensorProto.Types.DataType;

namespace OnnxLowRank.Samples;

/// <summary>The right answers: one class index per sample, or per token of each sample.</summary>
/// <param name="Values">Row-major. A negative value means that there is no answer and this place is not counted (−100 is the custom).</param>
/// <param name="Shape">(N), or (N, T) for T tokens per sample.</param>
sealed record Labels(int[] Values, int[] Shape)
{
    /// <summary>N, the number of samples.</summary>
    public int Count => Shape[0];

    /// <summary>T, or 1 where each sample has one label.</summary>
    public int PerSample => Values.Length / Count;

    /// <summary>The labels of one sample.</summary>
    public ReadOnlySpan<int> Of(int sample) => Values.AsSpan(sample * PerSample, PerSample);

    /// <summary>Reads labels for this many samples.</summary>
    /// <exception cref="DataException">As for the other overload, or there are more or fewer.</exception>
    public static Labels Read(string path, int samples) => Read(path) is var labels && labels.Count == samples
        ? labels
        : throw new DataException($"{path}: {labels.Count} labels for {samples} samples");

    /// <summary>Reads a .npy of any integer type.</summary>
    /// <exception cref="DataException">The file is broken, empty, not of integers, not of one or two axes, or a label is beyond 32 bits.</exception>
    public static Labels Read(string path)
    {
        using var array = Npy.Open(path);
        if (array.ElementType is DataType.Float or DataType.Double or DataType.Float16 or DataType.Bool)
        {
            throw new DataException($"{path}: labels are {ElementTypes.Name(array.ElementType)}; they are class indices, save x.astype(np.int64)");
        }
        if (array.Shape.Count is not 1 and not 2)
        {
            throw new DataException($"{path}: labels of shape {ElementTypes.Text(array.Shape)}; expected N, or NxT with one label per token");
        }
        int size = ElementTypes.Size(array.ElementType);
        long count = array.Rows * array.RowBytes / size;
        if (count == 0 || count > Array.MaxLength)
        {
            throw new DataException($"{path}: {count} labels; expected 1 to {Array.MaxLength}");
        }

        int[] values = new int[count];
        byte[] block = new byte[size * Math.Min(values.Length, 1 << 16)];
        for (int at = 0; at < values.Length;)
        {
            var part = block.AsSpan(0, Math.Min(block.Length / size, values.Length - at) * size);
            array.CopyBytes((long)at * size, part);
            for (; part.Length > 0; part = part[size..], at++)
            {
                values[at] = Narrow(array.ElementType, part, path, at);
            }
        }
        return new(values, [.. array.Shape.Select(dimension => (int)dimension)]);
    }

    static int Narrow(DataType type, ReadOnlySpan<byte> bytes, string path, int index)
    {
        Int128 value = type switch
        {
            DataType.Int8 => (sbyte)bytes[0],
            DataType.Uint8 => bytes[0],
            DataType.Int16 => BinaryPrimitives.ReadInt16LittleEndian(bytes),
            DataType.Uint16 => BinaryPrimitives.ReadUInt16LittleEndian(bytes),
            DataType.Int32 => BinaryPrimitives.ReadInt32LittleEndian(bytes),
            DataType.Uint32 => BinaryPrimitives.ReadUInt32LittleEndian(bytes),
            DataType.Int64 => BinaryPrimitives.ReadInt64LittleEndian(bytes),
            _ => BinaryPrimitives.ReadUInt64LittleEndian(bytes),
        };
        return value >= int.MinValue && value <= int.MaxValue
            ? (int)value
            : throw new DataException($"{path}: label {index} is {value}, beyond 32 bits");
    }
}
