using System.IO.MemoryMappedFiles;
using Google.Protobuf;
using OnnxLowRank.Storage;

namespace OnnxLowRank.Onnx;

/// <summary>A file that tensors lie in. Disposing closes it; what was read stays.</summary>
/// <exception cref="IOException">It cannot be opened.</exception>
sealed class ExternalFile(string path) : IDisposable
{
    /// <summary>Bytes from which on a tensor stays in its file: below, reading it is cheaper than mapping.</summary>
    const int SmallestMapped = 1 << 16;

    /// <summary>Offsets at which processors read elements where they lie.</summary>
    const int ElementAlignment = 4;

    readonly FileStream _file = RegularFile.Open(path);
    readonly Dictionary<(long Offset, int Length), ByteString> _known = [];
    Func<long, int, Memory<byte>>? _map;

    public long Length => _file.Length;

    /// <summary>Bytes that were asked for, each place counted once.</summary>
    public long BytesRead { get; private set; }

    /// <summary>The bytes at a place within the file; the same ones each time.</summary>
    public ByteString Read(long offset, int length)
    {
        if (!_known.TryGetValue((offset, length), out var bytes))
        {
            BytesRead += length;
            _known[(offset, length)] = bytes = length >= SmallestMapped && offset % ElementAlignment == 0
                ? UnsafeByteOperations.UnsafeWrap((_map ??= MappedMemory<byte>.Map(_file, MemoryMappedFileAccess.Read))(offset, length))
                : UnsafeByteOperations.UnsafeWrap(Copy(offset, length));
        }
        return bytes;
    }

    byte[] Copy(long offset, int length)
    {
        var bytes = new byte[length];
        _file.Position = offset;
        _file.ReadExactly(bytes);
        return bytes;
    }

    public void Dispose() => _file.Dispose();
}
