using static OnnxLowRank.Onnx.Proto.TensorProto.Types;

namespace OnnxLowRank.Onnx;

/// <summary>What the format says of element types: their width and their names in messages.</summary>
static class TensorType
{
    /// <summary>Bits of one element, 0 for strings and undefined types.</summary>
    public static int Bits(DataType type) => type switch
    {
        DataType.Uint2 or DataType.Int2 => 2,
        DataType.Uint4 or DataType.Int4 or DataType.Float4E2M1 => 4,
        DataType.Bool or DataType.Int8 or DataType.Uint8 => 8,
        DataType.Float8E4M3Fn or DataType.Float8E4M3Fnuz or DataType.Float8E5M2 or DataType.Float8E5M2Fnuz or DataType.Float8E8M0 => 8,
        DataType.Int16 or DataType.Uint16 or DataType.Float16 or DataType.Bfloat16 => 16,
        DataType.Int32 or DataType.Uint32 or DataType.Float => 32,
        DataType.Int64 or DataType.Uint64 or DataType.Double or DataType.Complex64 => 64,
        DataType.Complex128 => 128,
        _ => 0,
    };

    /// <summary>Bytes that a tensor of this type and element count takes as raw data; sub-byte types are packed.</summary>
    public static long Bytes(DataType type, long elements) => checked((elements * Bits(type) + 7) / 8);

    /// <summary>Whether elements are floats that kernels compute with.</summary>
    public static bool IsReal(DataType type) => type is DataType.Float or DataType.Float16 or DataType.Bfloat16 or DataType.Double;

    /// <summary>The type as users write it: float32, int64, …</summary>
    public static string Name(int type) => (DataType)type switch
    {
        DataType.Float => "float32",
        DataType.Double => "float64",
        var other when Enum.IsDefined(other) => other.ToString().ToLowerInvariant(),
        _ => $"type {type}",
    };
}
