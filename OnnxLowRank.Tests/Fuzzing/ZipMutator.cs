using System.Buffers.Binary;

namespace OnnxLowRank.Tests.Fuzzing;

/// <summary>Lies in a zip archive's records: sizes, offsets, counts, methods and flags of entries, their directory and its end.</summary>
static class ZipMutator
{
    /// <summary>Signature, and the offsets and sizes of the numbers behind it that readers believe.</summary>
    static readonly (byte[] Signature, (int At, int Size)[] Numbers)[] s_records =
    [
        ([(byte)'P', (byte)'K', 3, 4], [(4, 2), (6, 2), (8, 2), (10, 4), (14, 4), (18, 4), (22, 4), (26, 2), (28, 2)]),
        ([(byte)'P', (byte)'K', 1, 2], [(4, 2), (6, 2), (8, 2), (10, 2), (12, 4), (16, 4), (20, 4), (24, 4), (28, 2), (30, 2), (32, 2), (34, 2), (38, 4), (42, 4), (46, 1)]),
        ([(byte)'P', (byte)'K', 5, 6], [(4, 2), (6, 2), (8, 2), (10, 2), (12, 4), (16, 4), (20, 2)]),
    ];

    static readonly uint[] s_numbers = [0, 1, 2, 8, 9, 12, 14, 20, 45, 0x7F, 0xFF, 0x7FFF, 0xFFFE, 0xFFFF, 0x10000, 0x7FFF_FFFF, 0x8000_0000, 0xFFFF_FFFE, 0xFFFF_FFFF];

    /// <summary>One to three lies.</summary>
    public static byte[] Mutate(byte[] valid, Random random)
    {
        byte[] zip = [.. valid];
        for (int edits = random.Next(1, 4); edits > 0; edits--)
        {
            var (signature, numbers) = s_records[random.Next(s_records.Length)];
            var places = Places(zip, signature);
            if (places.Count == 0)
            {
                continue;
            }
            var (at, size) = numbers[random.Next(numbers.Length)];
            at += places[random.Next(places.Count)];
            Lie(zip.AsSpan(Math.Min(at, zip.Length - size), size), random);
        }
        return zip;
    }

    static void Lie(Span<byte> number, Random random)
    {
        Span<byte> four = stackalloc byte[4];
        four.Clear();
        number.CopyTo(four);
        uint value = random.Next(3) == 0 ? s_numbers[random.Next(s_numbers.Length)] : BinaryPrimitives.ReadUInt32LittleEndian(four) + (uint)random.Next(-20, 21);
        BinaryPrimitives.WriteUInt32LittleEndian(four, value);
        four[..number.Length].CopyTo(number);
    }

    static List<int> Places(ReadOnlySpan<byte> zip, ReadOnlySpan<byte> signature)
    {
        var places = new List<int>();
        for (int at = 0, next; (next = zip[at..].IndexOf(signature)) >= 0; at += next + 1)
        {
            places.Add(at + next);
        }
        return places;
    }
}
