using System.Text;
using Microsoft.ML.OnnxRuntime.Native;
using Microsoft.ML.OnnxRuntime.Tensors;
using static Microsoft.ML.OnnxRuntime.Native.Ort;

namespace Microsoft.ML.OnnxRuntime;

public sealed unsafe partial class OrtValue
{
    /// <summary>A tensor of empty texts, to be set one by one.</summary>
    public static OrtValue CreateTensorWithEmptyStrings(OrtAllocator allocator, long[] shape) =>
        CreateAllocatedTensorValue(allocator, TensorElementType.String, shape);

    /// <summary>Sets one text.</summary>
    /// <param name="index">Counted through all dimensions, the last one fastest.</param>
    public void StringTensorSetElementAt(ReadOnlySpan<char> str, int index)
    {
        int length = Encoding.UTF8.GetByteCount(str);
        using var value = new Borrowed(Handle);
        Encoding.UTF8.GetBytes(str, Element(value, index, length));
    }

    /// <inheritdoc cref="StringTensorSetElementAt(ReadOnlySpan{char}, int)"/>
    public void StringTensorSetElementAt(ReadOnlyMemory<char> rom, int index) => StringTensorSetElementAt(rom.Span, index);

    /// <summary>Sets one text from its UTF-8.</summary>
    /// <inheritdoc cref="StringTensorSetElementAt(ReadOnlySpan{char}, int)"/>
    public void StringTensorSetElementAt(ReadOnlySpan<byte> utf8Bytes, int index)
    {
        using var value = new Borrowed(Handle);
        utf8Bytes.CopyTo(Element(value, index, utf8Bytes.Length));
    }

    /// <summary>A copy of one text.</summary>
    /// <param name="index">Counted through all dimensions, the last one fastest.</param>
    /// <exception cref="OnnxRuntimeException">It is not a tensor of text, or has no such element.</exception>
    public string GetStringElement(int index)
    {
        nuint length;
        using var value = new Borrowed(Handle);
        RequireText(value, index);
        Check(Api->GetStringTensorElementLength(value.Pointer, (nuint)index, &length));
        var bytes = new byte[length];
        fixed (byte* first = bytes)
        {
            Check(Api->GetStringTensorElement(value.Pointer, length, (nuint)index, first));
        }
        return Encoding.UTF8.GetString(bytes);
    }

    /// <summary>Copies of all texts.</summary>
    /// <exception cref="OnnxRuntimeException">It is not a tensor of text.</exception>
    public string[] GetStringTensorAsArray()
    {
        long count = GetTensorTypeAndShape().ElementCount;
        using (var value = new Borrowed(Handle))
        {
            RequireText(value, index: 0);
        }
        return [.. Enumerable.Range(0, checked((int)count)).Select(GetStringElement)];
    }

    /// <summary>Memory of the element, made as long as this. Good while the value is borrowed.</summary>
    Span<byte> Element(Borrowed value, int index, int length)
    {
        byte* buffer;
        RequireText(value, index);
        Check(Api->GetResizedStringTensorElementBuffer(value.Pointer, (nuint)index, (nuint)length, &buffer));
        return new(buffer, length);
    }

    /// <summary>The library itself would read a tensor of numbers as if it held text.</summary>
    void RequireText(Borrowed value, int index)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(index);
        RequireTensor(sparseWillDo: false);
        if (!OrtTensorTypeAndShapeInfo.OfTensor(value.Pointer).IsString)
        {
            throw new OnnxRuntimeException(ErrorCode.InvalidArgument, "the elements of the tensor are not text");
        }
    }
}
