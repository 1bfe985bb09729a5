using Microsoft.ML.OnnxRuntime.Native;
using Microsoft.ML.OnnxRuntime.Tensors;
using static Microsoft.ML.OnnxRuntime.Native.Ort;

namespace Microsoft.ML.OnnxRuntime;

/// <summary>Type and shape of an input, an output or an initializer that inputs may override, as the model declares them.</summary>
public class NodeMetadata
{
    readonly TensorElementType _elements;
    readonly int[] _dimensions = [];
    readonly string[] _symbolicDimensions = [];

    /// <param name="typeInfo">An OrtTypeInfo*, which stays the caller's.</param>
    internal unsafe NodeMetadata(nint typeInfo)
    {
        OnnxValueType type;
        Check(Api->GetOnnxTypeFromTypeInfo(typeInfo, &type));
        OnnxValueType = type;
        if (!IsTensor)
        {
            return;
        }
        nint tensor; // belongs to typeInfo
        Check(Api->CastTypeInfoToTensorInfo(typeInfo, &tensor));
        if (tensor == 0)
        {
            throw new OnnxRuntimeException(ErrorCode.Fail, $"the type says {type}, but has no tensor in it");
        }
        _elements = OrtTensorTypeAndShapeInfo.ElementType(tensor);
        _dimensions = [.. OrtTensorTypeAndShapeInfo.Dimensions(tensor).Select(ToInt)];
        _symbolicDimensions = ReadSymbols(tensor, _dimensions.Length);
    }

    /// <summary>What kind of value it takes.</summary>
    public OnnxValueType OnnxValueType { get; }

    /// <summary>Whether it is a tensor, dense or sparse. Everything below is for tensors only.</summary>
    public bool IsTensor => OnnxValueType is OnnxValueType.ONNX_TYPE_TENSOR or OnnxValueType.ONNX_TYPE_SPARSETENSOR;

    /// <summary>Length of each dimension, -1 where it is not fixed. Empty for a scalar, and where the model gives no shape.</summary>
    /// <exception cref="OnnxRuntimeException">It is not a tensor.</exception>
    public int[] Dimensions => OfTensor(_dimensions);

    /// <summary>Name of each dimension, "" where it has none.</summary>
    /// <exception cref="OnnxRuntimeException">It is not a tensor.</exception>
    public string[] SymbolicDimensions => OfTensor(_symbolicDimensions);

    /// <summary>Type of the elements.</summary>
    /// <exception cref="OnnxRuntimeException">It is not a tensor.</exception>
    public TensorElementType ElementDataType => OfTensor(_elements);

    /// <summary>Managed type of the elements.</summary>
    /// <exception cref="OnnxRuntimeException">It is not a tensor, or its elements have no managed type.</exception>
    public Type ElementType => ElementTypes.Of(ElementDataType).Managed;

    /// <summary>Whether the elements are text.</summary>
    /// <exception cref="OnnxRuntimeException">It is not a tensor.</exception>
    public bool IsString => ElementDataType == TensorElementType.String;

    static int ToInt(long length) => length <= int.MaxValue
        ? (int)length
        : throw new OnnxRuntimeException(ErrorCode.InvalidArgument, $"a dimension of {length} is more than {int.MaxValue}");

    T OfTensor<T>(T value) => IsTensor
        ? value
        : throw new OnnxRuntimeException(ErrorCode.Fail, $"{OnnxValueType} is not a tensor");

    static unsafe string[] ReadSymbols(nint tensor, int rank)
    {
        var symbols = new string[rank];
        var names = new byte*[rank]; // the texts belong to the type; not on the stack, the model chooses the rank
        fixed (byte** first = names)
        {
            Check(Api->GetSymbolicDimensions(tensor, first, (nuint)rank));
        }
        for (int i = 0; i < rank; i++)
        {
            symbols[i] = Utf8.Read(names[i]);
        }
        return symbols;
    }
}
