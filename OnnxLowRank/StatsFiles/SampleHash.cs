using System.Buffers.Binary;
using System.Security.Cryptography;
using OnnxLowRank.Samples;

namespace OnnxLowRank.StatsFiles;

/// <summary>Tells samples apart by what they feed to the model, wherever they are stored.</summary>
static class SampleHash
{
    /// <summary>Samples that are read at a time.</summary>
    const int AtATime = 16;

    /// <summary>Of the samples with these indices, in this order.</summary>
    /// <exception cref="DataException">A sample cannot be read.</exception>
    public static ulong[] Of(SampleSource source, ReadOnlySpan<int> indices, CancellationToken cancellation)
    {
        int size = source.RunSize(AtATime);
        var hashes = new List<ulong>(indices.Length);
        for (int start = 0; start < indices.Length; start += size)
        {
            cancellation.ThrowIfCancellationRequested();
            using var run = source.Read(indices.Slice(start, Math.Min(size, indices.Length - start)));
            hashes.AddRange(Of(run, source.RunSize(1)));
        }
        return [.. hashes];
    }

    /// <summary>Of the samples of a run: the first 64 bits of the SHA-256 of all inputs' bytes, each behind their number.</summary>
    /// <param name="least">Samples that a run has at least: more than are valid where it is padded.</param>
    public static ulong[] Of(SampleRun run, int least)
    {
        int rows = Math.Max(run.Valid, least);
        var hashes = new ulong[run.Valid];
        using var hash = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
        Span<byte> digest = stackalloc byte[SHA256.HashSizeInBytes], length = stackalloc byte[sizeof(int)];
        for (int i = 0; i < hashes.Length; i++)
        {
            foreach (var input in run.Inputs)
            {
                int bytes = input.Bytes.Length / rows;
                BinaryPrimitives.WriteInt32LittleEndian(length, bytes);
                hash.AppendData(length);
                hash.AppendData(input.Bytes.Span.Slice(i * bytes, bytes));
            }
            hash.GetHashAndReset(digest);
            hashes[i] = BinaryPrimitives.ReadUInt64LittleEndian(digest);
        }
        return hashes;
    }
}
