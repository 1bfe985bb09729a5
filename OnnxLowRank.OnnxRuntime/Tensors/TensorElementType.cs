namespace Microsoft.ML.OnnxRuntime.Tensors;

/// <summary>
/// Type of a tensor's elements, with the numbers of TensorProto.DataType.
/// The library knows newer ones (float8, int4 …) that have no name here.
/// </summary>
public enum TensorElementType
{
    /// <summary>32-bit float.</summary>
    Float = 1,

    /// <summary><see cref="byte"/>.</summary>
    UInt8 = 2,

    /// <summary><see cref="sbyte"/>.</summary>
    Int8 = 3,

    /// <summary><see cref="ushort"/>.</summary>
    UInt16 = 4,

    /// <summary><see cref="short"/>.</summary>
    Int16 = 5,

    /// <summary><see cref="int"/>.</summary>
    Int32 = 6,

    /// <summary><see cref="long"/>.</summary>
    Int64 = 7,

    /// <summary>Text; the elements are not in one block of memory.</summary>
    String = 8,

    /// <summary>One byte each.</summary>
    Bool = 9,

    /// <summary><see cref="OnnxRuntime.Float16"/>.</summary>
    Float16 = 10,

    /// <summary>64-bit float.</summary>
    Double = 11,

    /// <summary><see cref="uint"/>.</summary>
    UInt32 = 12,

    /// <summary><see cref="ulong"/>.</summary>
    UInt64 = 13,

    /// <summary>Two 32-bit floats; no managed type.</summary>
    Complex64 = 14,

    /// <summary>Two 64-bit floats; no managed type.</summary>
    Complex128 = 15,

    /// <summary><see cref="OnnxRuntime.BFloat16"/>.</summary>
    BFloat16 = 16,

    /// <summary>One more than the last.</summary>
    DataTypeMax = 17,
}
