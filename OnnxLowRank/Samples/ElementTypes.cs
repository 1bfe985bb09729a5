using DataType = OnnxLowRank.Onnx.Proto.TensorProto.Types.DataType;

namespace OnnxLowRank.Samples;

/// <summary>Sizes and names of the element types that calibration data can have, and texts of shapes.</summary>
static class ElementTypes
{
    /// <summary>Bytes of one element; 0 for a type that is not read: strings, complex numbers, float8 and what is smaller than a byte.</summary>
    public static int Size(DataType type) => type switch
    {
        DataType.Bool or DataType.Int8 or DataType.Uint8 => 1,
        DataType.Int16 or DataType.Uint16 or DataType.Float16 or DataType.Bfloat16 => 2,
        DataType.Int32 or DataType.Uint32 or DataType.Float => 4,
        DataType.Int64 or DataType.Uint64 or DataType.Double => 8,
        _ => 0,
    };

    /// <summary>The name that NumPy uses: "float32", where ONNX says FLOAT.</summary>
    public static string Name(DataType type) => type switch
    {
        DataType.Float => "float32",
        DataType.Double => "float64",
        DataType.Undefined => "no type",
        _ => Enum.IsDefined(type) ? type.ToString().ToLowerInvariant() : $"the unknown type {(int)type}",
    };

    /// <summary>Bytes of a whole array, or null if a dimension is negative or the product of the others is beyond 2⁶³.</summary>
    public static long? Bytes(DataType type, IReadOnlyList<long> shape)
    {
        UInt128 bytes = (UInt128)Size(type);
        bool empty = false;
        foreach (long dimension in shape)
        {
            if (dimension < 0 || bytes > long.MaxValue)
            {
                return null;
            }
            empty |= dimension == 0;
            bytes *= dimension == 0 ? 1 : (UInt128)dimension;
        }
        return bytes > long.MaxValue ? null : empty ? 0 : (long)bytes;
    }

    /// <summary>"2000x3x32x32", as in messages.</summary>
    public static string Text(IReadOnlyList<long> shape) => shape.Count == 0 ? "scalar" : string.Join('x', shape);
}
