using OnnxLowRank.Quantization;

namespace OnnxLowRank.Tests.Quantization;

public class NBitPackingTests
{
    [Theory]
    [InlineData(4, 6, 3)]
    [InlineData(4, 7, 4)]
    [InlineData(3, 21, 8)]
    [InlineData(3, 22, 16)]
    [InlineData(5, 12, 8)]
    [InlineData(6, 11, 16)]
    public void Words_are_filled_before_another_is_begun(int bits, int values, int bytes)
    {
        Assert.Equal(bytes, NBitPacking.Bytes(values, bits));
        Assert.Equal(bytes, NBitPacking.Pack(new sbyte[values], bits).Length);
    }

    [Theory]
    [InlineData(3)]
    [InlineData(4)]
    [InlineData(5)]
    [InlineData(6)]
    public void Value_i_is_in_word_i_modulo_their_number_fields_from_below(int bits)
    {
        int half = 1 << (bits - 1), perWord = NBitPacking.PerWord(bits), wordBytes = NBitPacking.WordBits(bits) / 8;
        sbyte[] values = [.. Enumerable.Range(0, 5 * perWord - 1).Select(i => (sbyte)(i * 7 % (2 * half) - half))];

        byte[] packed = NBitPacking.Pack(values, bits);

        Assert.Equal(5 * wordBytes, packed.Length);
        for (int i = 0; i < values.Length; i++)
        {
            ulong word = 0;
            for (int k = 0; k < wordBytes; k++)
            {
                word |= (ulong)packed[i % 5 * wordBytes + k] << (8 * k);
            }
            int value = (int)(word >> (i / 5 * bits)) & (2 * half - 1);
            Assert.Equal(values[i], value < half ? value : value - 2 * half);
        }
    }
}
