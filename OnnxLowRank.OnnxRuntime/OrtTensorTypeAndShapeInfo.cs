using Microsoft.ML.OnnxRuntime.Tensors;
using static Microsoft.ML.OnnxRuntime.Native.Ort;

namespace Microsoft.ML.OnnxRuntime;

/// <summary>Element type and shape of a tensor.</summary>
public struct OrtTensorTypeAndShapeInfo
{
    /// <summary>Type of the elements.</summary>
    public TensorElementType ElementDataType { get; private set; }

    /// <summary>Length of each dimension; empty for a scalar.</summary>
    public long[] Shape { get; private set; }

    /// <summary>How many elements there are.</summary>
    public long ElementCount { get; private set; }

    /// <summary>How many dimensions there are.</summary>
    public readonly int DimensionsCount => Shape.Length;

    /// <summary>Whether the elements are text.</summary>
    public readonly bool IsString => ElementDataType == TensorElementType.String;

    /// <summary>Of a tensor value, not of a graph input: every dimension is a number.</summary>
    internal static unsafe OrtTensorTypeAndShapeInfo OfTensor(nint value)
    {
        nint info;
        Check(Api->GetTensorTypeAndShape(value, &info));
        try
        {
            nuint count;
            Check(Api->GetTensorShapeElementCount(info, &count));
            return new() { ElementDataType = ElementType(info), Shape = Dimensions(info), ElementCount = (long)count };
        }
        finally
        {
            Api->ReleaseTensorTypeAndShapeInfo(info);
        }
    }

    internal static unsafe TensorElementType ElementType(nint info)
    {
        TensorElementType type;
        Check(Api->GetTensorElementType(info, &type));
        return type;
    }

    /// <summary>-1 for a dimension that is not a number.</summary>
    internal static unsafe long[] Dimensions(nint info)
    {
        nuint rank;
        Check(Api->GetDimensionsCount(info, &rank));
        var dimensions = new long[rank];
        fixed (long* first = dimensions)
        {
            Check(Api->GetDimensions(info, first, rank));
        }
        return dimensions;
    }
}
