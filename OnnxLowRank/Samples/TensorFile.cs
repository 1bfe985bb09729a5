using System.Runtime.InteropServices;
using OnnxLowRank.Onnx.Proto;
using DataType = OnnxLowRank.Onnx.Proto.TensorProto.Types.DataType;

namespace OnnxLowRank.Samples;

/// <summary>One tensor of an ONNX test-data folder: a file that holds a serialized TensorProto.</summary>
/// <param name="Name">As inside the file; may be empty.</param>
/// <param name="Bytes">Row-major, little-endian.</param>
sealed record TensorFile(string Name, DataType ElementType, long[] Shape, byte[] Bytes)
{
    /// <exception cref="DataException">The file is no TensorProto, or its elements are not plain numbers that fill its shape exactly.</exception>
    /// <remarks>Memory: about three times the size of the file while decoding.</remarks>
    public static TensorFile Read(string path)
    {
        using var file = DataFile.Open(path);
        return Of(DataFile.Reading(path, () => TensorProto.Parser.ParseFrom(file)), path);
    }

    /// <param name="path">Where the tensor is from, for messages.</param>
    /// <exception cref="DataException">Its elements are not plain numbers that fill its shape exactly.</exception>
    public static TensorFile Of(TensorProto tensor, string path)
    {
        var type = (DataType)tensor.DataType;
        long[] shape = [.. tensor.Dims];
        if (ElementTypes.Size(type) == 0)
        {
            throw new DataException($"{path}: holds {ElementTypes.Name(type)}, which calibration does not support");
        }
        if (tensor.DataLocation == TensorProto.Types.DataLocation.External || tensor.Segment is not null)
        {
            throw new DataException($"{path}: keeps its elements in another file or in segments, which calibration does not support");
        }
        long needed = ElementTypes.Bytes(type, shape)
            ?? throw new DataException($"{path}: has the impossible shape {ElementTypes.Text(shape)}");

        byte[] bytes = tensor.HasRawData ? tensor.RawData.ToByteArray() : TypedField(tensor, type)
            ?? throw new DataException($"{path}: has a number that is no {ElementTypes.Name(type)}");
        if (bytes.Length != needed)
        {
            throw new DataException($"{path}: shape {ElementTypes.Text(shape)} of {ElementTypes.Name(type)} is {needed} bytes, but {bytes.Length} are there");
        }
        return new(tensor.Name, type, shape, bytes);
    }

    /// <summary>Which field holds which type is said in onnx.proto; float16 and bfloat16 are bit patterns in int32_data. Null: out of range.</summary>
    static byte[]? TypedField(TensorProto tensor, DataType type)
    {
        try
        {
            return type switch
            {
                DataType.Float => Pack(tensor.FloatData, value => value),
                DataType.Double => Pack(tensor.DoubleData, value => value),
                DataType.Int64 => Pack(tensor.Int64Data, value => value),
                DataType.Uint64 => Pack(tensor.Uint64Data, value => value),
                DataType.Uint32 => Pack(tensor.Uint64Data, value => checked((uint)value)),
                DataType.Int32 => Pack(tensor.Int32Data, value => value),
                DataType.Int16 => Pack(tensor.Int32Data, value => checked((short)value)),
                DataType.Int8 => Pack(tensor.Int32Data, value => checked((sbyte)value)),
                DataType.Uint8 or DataType.Bool => Pack(tensor.Int32Data, value => checked((byte)value)),
                _ => Pack(tensor.Int32Data, value => checked((ushort)value)),
            };
        }
        catch (OverflowException)
        {
            return null;
        }
    }

    static byte[] Pack<TField, T>(IReadOnlyList<TField> field, Func<TField, T> convert) where T : unmanaged
    {
        var packed = new T[field.Count];
        for (int i = 0; i < packed.Length; i++)
        {
            packed[i] = convert(field[i]);
        }
        return MemoryMarshal.AsBytes<T>(packed).ToArray();
    }
}
