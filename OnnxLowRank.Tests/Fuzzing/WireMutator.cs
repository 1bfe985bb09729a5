using Google.Protobuf.Reflection;

namespace OnnxLowRank.Tests.Fuzzing;

/// <summary>Changes fields of a protobuf message: dropped, doubled, moved, renamed, of other types and lengths than they say, nested without need.</summary>
static class WireMutator
{
    static readonly ulong[] s_numbers =
    [
        0, 1, 2, 3, 6, 7, 10, 11, 16, 23, 127, 128, 255, 1 << 16, int.MaxValue, 1ul << 31, uint.MaxValue, 1ul << 32, 1ul << 40, 1ul << 61, 1ul << 62, long.MaxValue, 1ul << 63, ulong.MaxValue,
    ];

    static readonly string[] s_texts = ["", ".", "..", "../up.bin", "/etc/passwd", "a\0b", "\e[31m", "x", "9223372036854775808", "-1", "18446744073709551615"];

    /// <summary>Deeper than readers of protobuf go, or not.</summary>
    const int DeepestNest = 150;

    /// <summary>One to three changes.</summary>
    public static byte[] Mutate(byte[] valid, MessageDescriptor type, Random random)
    {
        var root = WireField.Parse(valid, type);
        for (int edits = random.Next(1, 4); edits > 0; edits--)
        {
            var places = new List<(List<WireField> Message, int Index)>();
            Collect(root, places);
            if (places.Count == 0)
            {
                break;
            }
            Change(places, random);
        }
        return WireField.Write(root);
    }

    static void Collect(List<WireField> message, List<(List<WireField> Message, int Index)> places)
    {
        for (int i = 0; i < message.Count; i++)
        {
            places.Add((message, i));
            if (message[i].Fields is { } inner)
            {
                Collect(inner, places);
            }
        }
    }

    static void Change(List<(List<WireField> Message, int Index)> places, Random random)
    {
        var (message, index) = places[random.Next(places.Count)];
        var field = message[index];
        var (otherMessage, otherIndex) = places[random.Next(places.Count)];
        var other = otherMessage[otherIndex];
        switch (random.Next(12))
        {
            case 0:
                message.RemoveAt(index);
                break;
            case 1:
                message.InsertRange(random.Next(message.Count), Enumerable.Range(0, random.Next(4) == 0 ? random.Next(1, 200) : 1).Select(_ => field.Copy()));
                break;
            case 2:
                int to = random.Next(message.Count);
                (message[index], message[to]) = (message[to], field);
                break;
            case 3:
                field.WireType = random.Next(8);
                break;
            case 4:
                field.Number = random.Next(8) == 0 ? random.Next(1 << 29) : random.Next(20);
                break;
            case 5:
                field.AnnouncedLength = random.Next(2) == 0 ? s_numbers[random.Next(s_numbers.Length)] : (ulong)random.Next(300);
                break;
            case 6 when field.Fields != null:
                Nest(message, index, random.Next(1, DeepestNest));
                break;
            case 7 when other.Fields != null && field.Fields != null:
                field.Fields = other.Copy().Fields;
                break;
            default:
                ChangeContent(field, other, random);
                break;
        }
    }

    static void Nest(List<WireField> message, int index, int depth)
    {
        var field = message[index];
        for (int i = 0; i < depth; i++)
        {
            field = new() { Number = field.Number, WireType = WireField.Bytes, Fields = [field] };
        }
        message[index] = field;
    }

    static void ChangeContent(WireField field, WireField other, Random random)
    {
        if (field.WireType == WireField.Varint)
        {
            field.Value = random.Next(3) switch
            {
                0 => s_numbers[random.Next(s_numbers.Length)],
                1 => field.Value + (ulong)random.Next(-2, 3),
                _ => (ulong)random.Next(30),
            };
        }
        else if (field.Fields == null)
        {
            field.Content = random.Next(6) switch
            {
                0 => [],
                1 => field.Content[..random.Next(field.Content.Length + 1)],
                2 => [.. field.Content, .. field.Content],
                3 => System.Text.Encoding.UTF8.GetBytes(s_texts[random.Next(s_texts.Length)]),
                4 => ByteMutator.Mutate(field.Content, random),
                _ => other.Content, // a name where another was
            };
        }
    }
}
