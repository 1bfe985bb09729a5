using System.Buffers.Binary;
using System.Runtime.InteropServices;

namespace OnnxLowRank.Samples;

/// <summary>
/// Opens .npy arrays. A little-endian row-major file is read in place. Any other is converted once into a scratch file of the
/// same size (and a second one while Fortran order is turned around), in blocks of at most 64 MiB or one sample, so that every
/// array is read the same way afterwards.
/// </summary>
static class Npy
{
    const int CopyBlock = 1 << 20;
    const int TransposeBlock = 64 << 20;

    /// <summary>The header alone, with the check that the file holds exactly the elements it announces.</summary>
    public static NpyHeader ReadHeader(string path)
    {
        using var file = DataFile.Open(path);
        return ReadHeader(file, path);
    }

    /// <exception cref="DataException">The file is no array of numbers with at least one axis, or is not as long as its header says.</exception>
    /// <exception cref="IOException">There is no room for the scratch file.</exception>
    public static SampleArray Open(string path)
    {
        var file = DataFile.Open(path);
        try
        {
            var header = ReadHeader(file, path);
            if (!header.BigEndian && !header.Fortran)
            {
                return new(path, header.ElementType, header.Shape, file, header.HeaderBytes);
            }

            var array = Unpack(file, header, path);
            file.Dispose();
            return array;
        }
        catch
        {
            file.Dispose();
            throw;
        }
    }

    /// <summary>The array whose elements come next in a stream, exactly as many bytes as the header announces, as a scratch file.</summary>
    public static SampleArray Unpack(Stream elements, NpyHeader header, string name)
    {
        var scratch = DataFile.Scratch();
        try
        {
            byte[] block = new byte[(int)Math.Min(CopyBlock, header.Bytes)];
            for (long left = header.Bytes; left > 0; left -= block.Length)
            {
                Array.Resize(ref block, (int)Math.Min(block.Length, left));
                DataFile.Reading(name, () => elements.ReadAtLeast(block, block.Length));
                if (header.BigEndian)
                {
                    ReverseElements(block, ElementTypes.Size(header.ElementType));
                }
                scratch.Write(block);
            }
            if (header.Fortran && header.Bytes > 0)
            {
                var columnMajor = scratch;
                scratch = DataFile.Scratch();
                using (columnMajor)
                {
                    ToRowMajor(columnMajor, scratch, header, name, TransposeBlock);
                }
            }
            return new(name, header.ElementType, header.Shape, scratch, 0);
        }
        catch
        {
            scratch.Dispose();
            throw;
        }
    }

    /// <summary>Trailing bytes are refused: they are a second array from np.save into the same file, which would be lost silently.</summary>
    public static void RequireLength(NpyHeader header, long actual, string name)
    {
        if (actual == header.Bytes)
        {
            return;
        }
        string what = $"shape {ElementTypes.Text(header.Shape)} of {ElementTypes.Name(header.ElementType)} is {header.Bytes} bytes, but {actual} follow the header";
        throw new DataException($"{name}: {(actual < header.Bytes ? $"is cut short: {what}" : $"has something behind its array: {what}")}");
    }

    static NpyHeader ReadHeader(FileStream file, string path)
    {
        if (!file.CanSeek)
        {
            throw new DataException($"{path}: is a pipe or device; calibration data must be a file");
        }
        var header = NpyHeader.Read(file, path);
        RequireLength(header, DataFile.Reading(path, () => file.Length) - header.HeaderBytes, path);
        return header;
    }

    static void ReverseElements(byte[] block, int size)
    {
        switch (size)
        {
            case 2:
                var shorts = MemoryMarshal.Cast<byte, ushort>(block.AsSpan());
                BinaryPrimitives.ReverseEndianness(shorts, shorts);
                break;
            case 4:
                var ints = MemoryMarshal.Cast<byte, uint>(block.AsSpan());
                BinaryPrimitives.ReverseEndianness(ints, ints);
                break;
            case 8:
                var longs = MemoryMarshal.Cast<byte, ulong>(block.AsSpan());
                BinaryPrimitives.ReverseEndianness(longs, longs);
                break;
        }
    }

    /// <summary>
    /// Column-major (N, d₁, d₂, …) to row-major, as many rows at a time as fit into <paramref name="blockBytes"/>, at least one.
    /// Column f, the N elements of one place (i₁, i₂, …) in the samples, is contiguous in the source.
    /// </summary>
    internal static void ToRowMajor(FileStream source, Stream target, NpyHeader header, string name, int blockBytes)
    {
        int size = ElementTypes.Size(header.ElementType);
        long count = header.Shape[0];
        long[] inner = header.Shape[1..];
        long columns = header.Bytes / size / count;
        if (columns * size > Array.MaxLength)
        {
            throw new DataException($"{name}: samples of {columns * size} bytes in Fortran order are too large; save np.ascontiguousarray(x)");
        }

        long[] place = new long[inner.Length], strides = new long[inner.Length];   // i₁, i₂, … and what each moves in a row-major row
        long stride = 1;
        for (int axis = inner.Length - 1; axis >= 0; axis--)
        {
            strides[axis] = stride;
            stride *= inner[axis];
        }

        int most = (int)Math.Clamp(blockBytes / (columns * size), 1, count);
        byte[] block = new byte[most * columns * size];
        for (long first = 0; first < count; first += most)
        {
            int rows = (int)Math.Min(most, count - first);

            // Short columns are read whole and many at once, rows not needed now included: cheaper than one read for each.
            bool whole = count * size <= 4096;
            int columnRows = whole ? (int)count : rows;
            int skip = whole ? (int)first : 0;
            int together = whole ? (int)Math.Clamp(CopyBlock / (count * size), 1, columns) : 1;
            byte[] read = new byte[together * columnRows * size];
            Array.Clear(place);
            long to = 0;
            for (long column = 0; column < columns; column++)
            {
                int index = (int)(column % together);
                if (index == 0)
                {
                    int these = (int)Math.Min(together, columns - column);
                    long position = (column * count + (whole ? 0 : first)) * size;
                    SampleArray.ReadExactly(source.SafeFileHandle, position, read.AsSpan(0, these * columnRows * size), name);
                }
                var from = read.AsSpan((index * columnRows + skip) * size, rows * size);
                Scatter(from, block.AsSpan((int)(to * size)), columns, size);

                for (int axis = 0; axis < inner.Length; axis++)   // the next place: i₁ changes fastest
                {
                    to += strides[axis];
                    if (++place[axis] < inner[axis])
                    {
                        break;
                    }
                    to -= place[axis] * strides[axis];
                    place[axis] = 0;
                }
            }
            target.Write(block.AsSpan(0, (int)(rows * columns * size)));
        }
    }

    /// <summary>Puts consecutive elements one row apart.</summary>
    static void Scatter(ReadOnlySpan<byte> from, Span<byte> to, long columns, int size)
    {
        switch (size)
        {
            case 1:
                Scatter(from, to, columns);
                break;
            case 2:
                Scatter(MemoryMarshal.Cast<byte, ushort>(from), MemoryMarshal.Cast<byte, ushort>(to), columns);
                break;
            case 4:
                Scatter(MemoryMarshal.Cast<byte, uint>(from), MemoryMarshal.Cast<byte, uint>(to), columns);
                break;
            default:
                Scatter(MemoryMarshal.Cast<byte, ulong>(from), MemoryMarshal.Cast<byte, ulong>(to), columns);
                break;
        }
    }

    static void Scatter<T>(ReadOnlySpan<T> from, Span<T> to, long columns)
    {
        for (int i = 0; i < from.Length; i++)
        {
            to[(int)(i * columns)] = from[i];
        }
    }
}
