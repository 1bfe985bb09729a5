using Microsoft.ML.OnnxRuntime.Native;
using Microsoft.ML.OnnxRuntime.Tensors;
using static Microsoft.ML.OnnxRuntime.Native.Ort;

namespace Microsoft.ML.OnnxRuntime;

/// <summary>
/// A value that goes into a model or comes out of one; mostly a tensor. Its data is read and written where it is, without a copy:
/// a span from here is good until the value is disposed, or not referenced any more.
/// </summary>
public sealed unsafe partial class OrtValue : IDisposable
{
    readonly ValueHandle _value;
    bool _disposed; // the handle may live on, in a binding or a session

    OrtValue(ValueHandle value, OnnxValueType type) => (_value, OnnxType) = (value, type);

    /// <summary>Takes over a native value; if that fails, it has been released.</summary>
    internal OrtValue(nint value)
    {
        _value = new(value);
        OnnxValueType type;
        try
        {
            Check(Api->GetValueType(value, &type));
        }
        catch
        {
            _value.Dispose();
            throw;
        }
        OnnxType = type;
    }

    internal ValueHandle Handle
    {
        get
        {
            ObjectDisposedException.ThrowIf(_disposed, this);
            return _value;
        }
    }

    /// <summary>What kind of value it is.</summary>
    public OnnxValueType OnnxType { get; }

    /// <summary>Whether it is a dense tensor.</summary>
    public bool IsTensor => OnnxType == OnnxValueType.ONNX_TYPE_TENSOR;

    /// <summary>Whether it is a sparse tensor.</summary>
    public bool IsSparseTensor => OnnxType == OnnxValueType.ONNX_TYPE_SPARSETENSOR;

    /// <summary>Element type and shape.</summary>
    /// <exception cref="OnnxRuntimeException">It is not a tensor.</exception>
    public OrtTensorTypeAndShapeInfo GetTensorTypeAndShape()
    {
        RequireTensor(sparseWillDo: true);
        using var value = new Borrowed(Handle);
        return OrtTensorTypeAndShapeInfo.OfTensor(value.Pointer);
    }

    /// <summary>Where its memory is; keeps the value while it is looked at.</summary>
    /// <exception cref="OnnxRuntimeException">It is not a tensor.</exception>
    public OrtMemoryInfo GetTensorMemoryInfo()
    {
        RequireTensor(sparseWillDo: true);
        nint info;
        using var value = new Borrowed(Handle);
        Check(Api->GetTensorMemoryInfo(value.Pointer, &info));
        return new(info, owner: Handle);
    }

    /// <summary>The elements, in place. CPU memory only.</summary>
    /// <typeparam name="T">Exactly the managed type of the elements (<see cref="Float16"/>, not Half), or byte for the raw bytes.</typeparam>
    /// <exception cref="OnnxRuntimeException">It is not a tensor, or its elements are of another type, or text.</exception>
    public ReadOnlySpan<T> GetTensorDataAsSpan<T>() where T : unmanaged => Data<T>();

    /// <inheritdoc cref="GetTensorDataAsSpan{T}"/>
    public Span<T> GetTensorMutableDataAsSpan<T>() where T : unmanaged => Data<T>();

    /// <summary>The bytes of the elements, in place. CPU memory only.</summary>
    /// <exception cref="OnnxRuntimeException">It is not a tensor, or its elements are text.</exception>
    public Span<byte> GetTensorMutableRawData() => Data<byte>();

    /// <summary>Releases the value, and the managed memory it lies on; once nothing else uses them (a binding, a session, a run).</summary>
    public void Dispose()
    {
        _disposed = true;
        _value.Dispose();
    }

    Span<T> Data<T>() where T : unmanaged
    {
        RequireTensor(sparseWillDo: false);
        using var value = new Borrowed(Handle);
        var tensor = OrtTensorTypeAndShapeInfo.OfTensor(value.Pointer);
        if (tensor.IsString)
        {
            throw new OnnxRuntimeException(ErrorCode.InvalidArgument, "a tensor of text has no block of data; use GetStringElement");
        }
        var elements = ElementTypes.Of(tensor.ElementDataType);
        if (typeof(T) != typeof(byte) && typeof(T) != elements.Managed)
        {
            throw new OnnxRuntimeException(ErrorCode.InvalidArgument, $"the elements are {elements.Managed}, not {typeof(T)}");
        }
        if (tensor.ElementCount == 0)
        {
            return [];
        }
        long length = checked(tensor.ElementCount * elements.Bytes) / sizeof(T);
        if (length > int.MaxValue)
        {
            throw new OnnxRuntimeException(ErrorCode.InvalidArgument, $"{length} items of {typeof(T)} are more than a span can hold");
        }
        void* data;
        Check(Api->GetTensorMutableData(value.Pointer, &data));
        return new(data, (int)length);
    }

    void RequireTensor(bool sparseWillDo)
    {
        if (!IsTensor && !(sparseWillDo && IsSparseTensor))
        {
            throw new OnnxRuntimeException(ErrorCode.InvalidArgument, $"the value is {OnnxType}, not a tensor");
        }
    }
}
