using OnnxLowRank.Tests.Samples;

namespace OnnxLowRank.Tests.Fuzzing;

/// <summary>Arrays of small numbers as .npy files, in every way that they may be stored, and the ways to spoil one.</summary>
static class NpySeeds
{
    /// <summary>(N, Width) of floats or doubles.</summary>
    public static byte[] Samples(Random random) => Array(random, ["<f4", ">f4", "<f8", ">f8", "=f4", "f8"], [random.Next(1, 40), FuzzTarget.Width]);

    /// <summary>(N) or (N, T) of integers.</summary>
    public static byte[] Labels(Random random) => Array(
        random, ["|i1", "|u1", "<i2", ">u2", "<i4", ">i4", "<u4", "<i8", ">u8"], random.Next(2) == 0 ? [random.Next(1, 60)] : [random.Next(1, 20), random.Next(1, 6)]);

    static byte[] Array(Random random, string[] types, int[] shape)
    {
        string type = types[random.Next(types.Length)];
        bool isFortran = random.Next(3) == 0;
        string header = NpyText.Valid(type, isFortran, shape, random);
        int size = type[^1] - '0', count = shape.Aggregate(1, (product, length) => product * length);
        return TempFolder.NpyBytes(header, Elements(random, type, size, count), (byte)random.Next(1, 4));
    }

    static byte[] Elements(Random random, string type, int size, int count)
    {
        byte[] bytes = new byte[size * count];
        for (int i = 0; i < count; i++)
        {
            byte[] value = type.EndsWith("f4", StringComparison.Ordinal) ? BitConverter.GetBytes(random.NextSingle())
                : type.EndsWith("f8", StringComparison.Ordinal) ? BitConverter.GetBytes(random.NextDouble())
                : [(byte)random.Next(100), .. new byte[size - 1]];
            if (type[0] == '>')
            {
                System.Array.Reverse(value);
            }
            value.CopyTo(bytes, i * size);
        }
        return bytes;
    }

    /// <summary>Bytes changed anywhere, another header with a length that may lie, or elements cut, added or not finite.</summary>
    public static byte[] Mutate(byte[] valid, Random random)
    {
        int before = valid[6] == 1 ? 10 : 12;
        int header = valid[6] == 1 ? BitConverter.ToUInt16(valid, 8) : BitConverter.ToInt32(valid, 8);
        byte[] elements = valid[(before + header)..];
        switch (random.Next(5))
        {
            case 0:
                return TempFolder.NpyBytes(NpyText.Wild(random), elements, (byte)random.Next(1, 4));
            case 1:
                byte[] lying = [.. valid];
                BitConverter.GetBytes(random.Next(3) == 0 ? random.Next() : header + random.Next(-9, 10)).AsSpan(0, before - 8).CopyTo(lying.AsSpan(8));
                return lying;
            case 2:
                byte[] changed = ByteMutator.Mutate(valid[..(before + header)], random);
                return [.. changed, .. elements];
            case 3:
                return [.. valid.AsSpan(0, before + header), .. ByteMutator.Mutate(elements, random)];
            default:
                return ByteMutator.Mutate(valid, random);
        }
    }
}
