using System.Buffers;
using Microsoft.ML.OnnxRuntime.Native;
using Microsoft.ML.OnnxRuntime.Tensors;
using static Microsoft.ML.OnnxRuntime.Native.Ort;

namespace Microsoft.ML.OnnxRuntime;

public sealed unsafe partial class OrtValue
{
    /// <summary>A tensor on an array, which is pinned and not copied: who changes the array changes the tensor, and the reverse.</summary>
    /// <inheritdoc cref="CreateTensorValueFromMemory{T}(OrtMemoryInfo, Memory{T}, long[])"/>
    public static OrtValue CreateTensorValueFromMemory<T>(T[] data, long[] shape) where T : unmanaged
    {
        ArgumentNullException.ThrowIfNull(data);
        return CreateTensorValueFromMemory(OrtMemoryInfo.DefaultInstance, data.AsMemory(), shape);
    }

    /// <summary>A tensor on managed memory, which is pinned and not copied: who changes the memory changes the tensor, and the reverse.</summary>
    /// <param name="memory">Can be longer than the shape needs; then the rest is not used.</param>
    /// <param name="shape">No dimension may be negative; empty for a scalar.</param>
    /// <exception cref="OnnxRuntimeException">There are no tensors of T, or the memory is shorter than the shape needs.</exception>
    /// <exception cref="ArgumentOutOfRangeException">A dimension is negative.</exception>
    public static OrtValue CreateTensorValueFromMemory<T>(OrtMemoryInfo memoryInfo, Memory<T> memory, long[] shape)
        where T : unmanaged
    {
        var elements = ElementTypes.Of(typeof(T));
        long needed = ElementCount(shape);
        if (needed > memory.Length)
        {
            throw new OnnxRuntimeException(ErrorCode.InvalidArgument,
                $"shape [{string.Join(", ", shape)}] has {needed} elements, the memory has {memory.Length}");
        }
        var pin = memory.Pin();
        try
        {
            long bytes = (long)memory.Length * sizeof(T);
            return new(OnMemory(memoryInfo, elements.Element, shape, pin.Pointer, bytes, pin), OnnxValueType.ONNX_TYPE_TENSOR);
        }
        catch
        {
            pin.Dispose();
            throw;
        }
    }

    /// <summary>A tensor on memory that is the caller's, who must keep it longer than the value and whatever the value is bound to.</summary>
    /// <param name="bufferLengthInBytes">Can be more than the shape needs.</param>
    /// <exception cref="OnnxRuntimeException">The memory is shorter than the shape needs, or the elements have no managed type, or are text.</exception>
    /// <exception cref="ArgumentOutOfRangeException">A dimension is negative.</exception>
    public static OrtValue CreateTensorValueWithData(
        OrtMemoryInfo memInfo, TensorElementType elementType, long[] shape, IntPtr dataBufferPtr, long bufferLengthInBytes)
    {
        var elements = ElementTypes.Of(elementType);
        if (elementType == TensorElementType.String)
        {
            throw new OnnxRuntimeException(ErrorCode.InvalidArgument, "text cannot lie in a block of memory; use CreateTensorWithEmptyStrings");
        }
        long needed = checked(ElementCount(shape) * elements.Bytes);
        if (needed > bufferLengthInBytes)
        {
            throw new OnnxRuntimeException(ErrorCode.InvalidArgument,
                $"shape [{string.Join(", ", shape)}] needs {needed} bytes, the memory has {bufferLengthInBytes}");
        }
        return new(OnMemory(memInfo, elementType, shape, (void*)dataBufferPtr, bufferLengthInBytes), OnnxValueType.ONNX_TYPE_TENSOR);
    }

    /// <summary>A tensor in memory of its own, not initialized.</summary>
    public static OrtValue CreateAllocatedTensorValue(OrtAllocator allocator, TensorElementType elementType, long[] shape)
    {
        ArgumentNullException.ThrowIfNull(shape);
        nint value;
        using var from = new Borrowed(allocator);
        fixed (long* dimensions = shape)
        {
            Check(Api->CreateTensorAsOrtValue(from.Pointer, dimensions, (nuint)shape.Length, elementType, &value));
        }
        var handle = new ValueHandle(value);
        handle.SharesMemoryOf(allocator);
        return new(handle, OnnxValueType.ONNX_TYPE_TENSOR);
    }

    static ValueHandle OnMemory(
        OrtMemoryInfo place, TensorElementType type, long[] shape, void* data, long bytes, MemoryHandle pin = default)
    {
        nint value;
        using var info = new Borrowed(place);
        fixed (long* dimensions = shape)
        {
            Check(Api->CreateTensorWithDataAsOrtValue(
                info.Pointer, data, (nuint)bytes, dimensions, (nuint)shape.Length, type, &value));
        }
        return new(value, pin);
    }

    static long ElementCount(long[] shape)
    {
        ArgumentNullException.ThrowIfNull(shape);
        long count = 1;
        foreach (long dimension in shape)
        {
            ArgumentOutOfRangeException.ThrowIfNegative(dimension, nameof(shape));
            count = checked(count * dimension);
        }
        return count;
    }
}
