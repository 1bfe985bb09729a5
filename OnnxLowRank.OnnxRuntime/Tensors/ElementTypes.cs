namespace Microsoft.ML.OnnxRuntime.Tensors;

/// <summary>Which managed type stands for which element type.</summary>
static class ElementTypes
{
    /// <summary>One pair. Bytes is 0 for text, which has no size of its own.</summary>
    public sealed record Info(TensorElementType Element, Type Managed, int Bytes);

    static readonly Info[] s_all =
    [
        new(TensorElementType.Float, typeof(float), sizeof(float)),
        new(TensorElementType.UInt8, typeof(byte), sizeof(byte)),
        new(TensorElementType.Int8, typeof(sbyte), sizeof(sbyte)),
        new(TensorElementType.UInt16, typeof(ushort), sizeof(ushort)),
        new(TensorElementType.Int16, typeof(short), sizeof(short)),
        new(TensorElementType.Int32, typeof(int), sizeof(int)),
        new(TensorElementType.Int64, typeof(long), sizeof(long)),
        new(TensorElementType.String, typeof(string), 0),
        new(TensorElementType.Bool, typeof(bool), sizeof(bool)),
        new(TensorElementType.Float16, typeof(Float16), sizeof(ushort)),
        new(TensorElementType.Double, typeof(double), sizeof(double)),
        new(TensorElementType.UInt32, typeof(uint), sizeof(uint)),
        new(TensorElementType.UInt64, typeof(ulong), sizeof(ulong)),
        new(TensorElementType.BFloat16, typeof(BFloat16), sizeof(ushort)),
    ];

    /// <exception cref="OnnxRuntimeException">No element type is stored as this type (<see cref="Half"/>, for one).</exception>
    public static Info Of(Type managed) =>
        Array.Find(s_all, info => info.Managed == managed)
        ?? throw new OnnxRuntimeException(ErrorCode.InvalidArgument, $"there are no tensors of {managed}");

    /// <exception cref="OnnxRuntimeException">The element type has no managed counterpart.</exception>
    public static Info Of(TensorElementType element) =>
        Array.Find(s_all, info => info.Element == element)
        ?? throw new OnnxRuntimeException(ErrorCode.InvalidArgument, $"tensor element type {element} has no managed type");
}
