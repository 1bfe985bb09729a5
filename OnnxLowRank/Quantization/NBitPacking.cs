using System.Buffers.Binary;

namespace OnnxLowRank.Quantization;

/// <summary>
/// Values of few bits, several in one word: as many bytes where they fill one, 64 bits otherwise, of which they leave at most four unused.
/// Value number i is in word i mod <see cref="Words"/>: the words' lowest fields hold the first values, in order, then come the fields above.
/// </summary>
static class NBitPacking
{
    /// <summary>Bits of a word: 8 or 64.</summary>
    public static int WordBits(int bits) => 8 % bits == 0 ? 8 : 64;

    /// <summary>Values in a word.</summary>
    public static int PerWord(int bits) => WordBits(bits) / bits;

    public static long Words(long values, int bits) => (values + PerWord(bits) - 1) / PerWord(bits);

    public static long Bytes(long values, int bits) => Words(values, bits) * (WordBits(bits) / 8);

    /// <summary>Two's complement of the values; words are little-endian.</summary>
    public static byte[] Pack(ReadOnlySpan<sbyte> values, int bits)
    {
        int words = (int)Words(values.Length, bits), wordBytes = WordBits(bits) / 8;
        var packed = new byte[words * wordBytes];
        ulong mask = (1UL << bits) - 1;
        for (int word = 0; word < words; word++)
        {
            ulong filled = 0;
            for (int i = word, shift = 0; i < values.Length; i += words, shift += bits)
            {
                filled |= ((ulong)values[i] & mask) << shift;
            }
            if (wordBytes == 1)
            {
                packed[word] = (byte)filled;
            }
            else
            {
                BinaryPrimitives.WriteUInt64LittleEndian(packed.AsSpan(word * wordBytes), filled);
            }
        }
        return packed;
    }
}
