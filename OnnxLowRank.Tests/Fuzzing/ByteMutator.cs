namespace OnnxLowRank.Tests.Fuzzing;

/// <summary>Changes that know nothing of the format: flips, magic numbers, cuts, doubled and moved pieces.</summary>
static class ByteMutator
{
    static readonly byte[][] s_magic =
    [
        [0], [0x7F], [0x80], [0xFF], [0xFF, 0xFF], [0xFF, 0xFF, 0xFF, 0x7F], [0xFF, 0xFF, 0xFF, 0xFF], [0, 0, 0, 0x80],
        [0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0x7F], [0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 1], [0, 0, 0, 0, 0, 0, 0, 0],
    ];

    /// <summary>One to four changes.</summary>
    public static byte[] Mutate(byte[] valid, Random random)
    {
        var bytes = valid.ToList();
        for (int edits = random.Next(1, 5); edits > 0 && bytes.Count > 0; edits--)
        {
            Change(bytes, random);
        }
        return [.. bytes];
    }

    static void Change(List<byte> bytes, Random random)
    {
        int at = random.Next(bytes.Count), length = Math.Min(random.Next(1, 40), bytes.Count - at);
        switch (random.Next(9))
        {
            case 0:
                bytes.RemoveRange(at, length);
                break;
            case 1:
                bytes.InsertRange(random.Next(bytes.Count), bytes.GetRange(at, length));
                break;
            case 2:
                bytes.RemoveRange(at, bytes.Count - at);
                break;
            case 3:
                byte[] magic = s_magic[random.Next(s_magic.Length)];
                for (int i = 0; i < magic.Length && at + i < bytes.Count; i++)
                {
                    bytes[at + i] = magic[i];
                }
                break;
            case 4:
                bytes[at] = (byte)"0123456789(),'{}<>|TF-L"[random.Next(23)];
                break;
            case 5:
                bytes[at] += (byte)random.Next(-2, 3);
                break;
            default:
                bytes[at] ^= (byte)(1 << random.Next(8));
                break;
        }
    }
}
