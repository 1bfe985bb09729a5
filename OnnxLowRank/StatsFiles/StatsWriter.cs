using System.Buffers.Binary;
using System.Runtime.InteropServices;
using System.Security.Cryptography;
using System.Text.Json;
using OnnxLowRank.Calibration;

namespace OnnxLowRank.StatsFiles;

/// <summary>Writes a stats file; it appears whole or not at all, in the place of an older one.</summary>
static class StatsWriter
{
    /// <summary>Bytes that are written at a time.</summary>
    const int Piece = 1 << 20;

    /// <summary>Where a file is while it is written. The same every time, so that what a killed process left is written over.</summary>
    public static string Temporary(string path) => Path.Combine(Path.GetDirectoryName(Path.GetFullPath(path))!, $".{Path.GetFileName(path)}.tmp");

    /// <param name="samples">Hashes of the samples that are in.</param>
    /// <exception cref="IOException">The disk is full, or another process writes the same file; the message names it.</exception>
    public static void Write(string path, StatsHeader header, ReadOnlySpan<ulong> samples, Tally<WideMoments> tally)
    {
        string temporary = Temporary(path);
        try
        {
            using (var file = new FileStream(temporary, FileMode.Create, FileAccess.Write, FileShare.None, bufferSize: 1 << 16))
            {
                using var hash = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
                void Put(ReadOnlySpan<byte> bytes)
                {
                    for (int done = 0; done < bytes.Length; done += Piece)
                    {
                        var piece = bytes.Slice(done, Math.Min(Piece, bytes.Length - done));
                        hash.AppendData(piece);
                        file.Write(piece);
                    }
                }

                Put(StatsLayout.Magic);
                Put(Start(header));
                Put(MemoryMarshal.AsBytes(samples));
                foreach (var moments in tally.Moments)
                {
                    foreach (var part in (Memory<double>[])[moments.SumsHigh, moments.SumsLow, moments.ProductsHigh, moments.ProductsLow])
                    {
                        Put(MemoryMarshal.AsBytes(part.Span));
                    }
                }
                foreach (var maxima in tally.Maxima)
                {
                    Put(MemoryMarshal.AsBytes(maxima.Counts));
                }
                file.Write(hash.GetHashAndReset());
                file.Flush(flushToDisk: true);
            }
            File.Move(temporary, path, overwrite: true);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw new IOException($"{path}: cannot be written: {e.Message}", e);
        }
    }

    /// <summary>Version, length, and the header, with spaces behind it up to a multiple of eight bytes.</summary>
    static byte[] Start(StatsHeader header)
    {
        byte[] json = JsonSerializer.SerializeToUtf8Bytes(header, StatsContext.Default.StatsHeader);
        int length = (json.Length + 7) / 8 * 8;
        byte[] start = new byte[8 + length];
        BinaryPrimitives.WriteInt32LittleEndian(start, StatsLayout.Version);
        BinaryPrimitives.WriteInt32LittleEndian(start.AsSpan(4), length);
        start.AsSpan(8).Fill((byte)' ');
        json.CopyTo(start, 8);
        return start;
    }
}
