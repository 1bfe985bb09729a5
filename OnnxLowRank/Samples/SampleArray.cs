using Microsoft.Win32.SafeHandles;
using DataType = OnnxLowRank.Onnx.Proto.TensorProto.Types.DataType;

namespace OnnxLowRank.Samples;

/// <summary>
/// One array on disk, row-major and little-endian. Rows (indices of the first axis) are copied out on demand, so that memory
/// is bounded by what the caller asks for, not by the file. Safe for concurrent reading.
/// </summary>
/// <remarks>
/// Positioned reads, not a memory map: a map would count toward the process's memory, and would kill the process instead of
/// throwing when the file is cut short or its disk fails in the meantime.
/// </remarks>
/// <param name="name">What messages call it: the path of the file, or archive(name).</param>
/// <param name="file">Owned.</param>
/// <param name="start">Where in the file the first element is.</param>
sealed class SampleArray(string name, DataType elementType, long[] shape, FileStream file, long start) : IDisposable
{
    /// <summary>Taken once: asking a stream for it moves the stream's position, which several threads at a time must not.</summary>
    readonly SafeFileHandle _handle = file.SafeFileHandle;

    public string Name => name;

    public DataType ElementType => elementType;

    public IReadOnlyList<long> Shape => shape;

    /// <summary>The length of the first axis; a scalar is one row.</summary>
    public long Rows { get; } = shape.Length == 0 ? 1 : shape[0];

    /// <summary>Bytes from one index of the first axis to the next.</summary>
    public long RowBytes { get; } = ElementTypes.Bytes(elementType, shape.Length == 0 ? [] : shape[1..])!.Value;

    /// <summary>Fills <paramref name="rows"/> from row <paramref name="first"/> on.</summary>
    /// <exception cref="DataException">The file became unreadable or shorter since it was opened.</exception>
    public void CopyRows(long first, Span<byte> rows) => CopyBytes(first * RowBytes, rows);

    /// <summary>Fills <paramref name="bytes"/> from <paramref name="offset"/> bytes behind the first element on.</summary>
    /// <exception cref="DataException">The file became unreadable or shorter since it was opened.</exception>
    public void CopyBytes(long offset, Span<byte> bytes)
    {
        if (offset < 0 || bytes.Length > Rows * RowBytes - offset)
        {
            throw new ArgumentException($"{name} has {Rows * RowBytes} bytes; {bytes.Length} from {offset} on are not inside");
        }
        ReadExactly(_handle, start + offset, bytes, name);
    }

    /// <summary>Positioned reads until all bytes are there.</summary>
    public static void ReadExactly(SafeFileHandle file, long position, Span<byte> bytes, string name)
    {
        while (bytes.Length > 0)
        {
            int got;
            try
            {
                got = RandomAccess.Read(file, bytes, position);
            }
            catch (IOException e)
            {
                throw new DataException($"{name}: cannot be read: {e.Message}", e);
            }
            if (got == 0)
            {
                throw new DataException($"{name}: has become shorter while in use");
            }
            bytes = bytes[got..];
            position += got;
        }
    }

    public void Dispose() => file.Dispose();
}
