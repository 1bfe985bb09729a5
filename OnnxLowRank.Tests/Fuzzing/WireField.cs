using Google.Protobuf.Reflection;

namespace OnnxLowRank.Tests.Fuzzing;

/// <summary>One field of a protobuf message, taken apart as far as the schema says what is inside: to change a part and let the lengths around it follow.</summary>
sealed class WireField
{
    public const int Varint = 0, Fixed64 = 1, Bytes = 2, Fixed32 = 5;

    public int Number { get; set; }

    public int WireType { get; set; }

    /// <summary>Of a varint.</summary>
    public ulong Value { get; set; }

    /// <summary>Of everything else that is no message.</summary>
    public byte[] Content { get; set; } = [];

    /// <summary>Of a message.</summary>
    public List<WireField>? Fields { get; set; }

    /// <summary>What is announced instead of the true length; null for the truth.</summary>
    public ulong? AnnouncedLength { get; set; }

    /// <summary>The fields of a valid message.</summary>
    public static List<WireField> Parse(ReadOnlySpan<byte> message, MessageDescriptor type)
    {
        var fields = new List<WireField>();
        for (int at = 0; at < message.Length;)
        {
            ulong tag = ReadVarint(message, ref at);
            var field = new WireField { Number = (int)(tag >> 3), WireType = (int)(tag & 7) };
            switch (field.WireType)
            {
                case Varint:
                    field.Value = ReadVarint(message, ref at);
                    break;
                case Bytes:
                    int length = (int)ReadVarint(message, ref at);
                    var inner = type.FindFieldByNumber(field.Number) is { FieldType: FieldType.Message } known ? known.MessageType : null;
                    var content = message.Slice(at, length);
                    at += length;
                    if (inner == null)
                    {
                        field.Content = content.ToArray();
                    }
                    else
                    {
                        field.Fields = Parse(content, inner);
                    }
                    break;
                default:
                    int size = field.WireType == Fixed32 ? 4 : 8;
                    field.Content = message.Slice(at, size).ToArray();
                    at += size;
                    break;
            }
            fields.Add(field);
        }
        return fields;
    }

    public static byte[] Write(List<WireField> fields)
    {
        using var stream = new MemoryStream();
        foreach (var field in fields)
        {
            field.WriteTo(stream);
        }
        return stream.ToArray();
    }

    public WireField Copy() => new()
    {
        Number = Number,
        WireType = WireType,
        Value = Value,
        Content = Content,
        Fields = Fields?.ConvertAll(field => field.Copy()),
        AnnouncedLength = AnnouncedLength,
    };

    void WriteTo(Stream stream)
    {
        WriteVarint(stream, (ulong)Number << 3 | (uint)WireType);
        byte[] content = Fields == null ? Content : Write(Fields);
        if (WireType == Varint)
        {
            WriteVarint(stream, Value);
            return;
        }
        if (WireType == Bytes)
        {
            WriteVarint(stream, AnnouncedLength ?? (ulong)content.Length);
        }
        stream.Write(content);
    }

    static ulong ReadVarint(ReadOnlySpan<byte> bytes, ref int at)
    {
        ulong value = 0;
        for (int shift = 0; ; shift += 7)
        {
            byte next = bytes[at++];
            value |= (ulong)(next & 0x7F) << shift;
            if (next < 0x80)
            {
                return value;
            }
        }
    }

    static void WriteVarint(Stream stream, ulong value)
    {
        for (; value >= 0x80; value >>= 7)
        {
            stream.WriteByte((byte)(value | 0x80));
        }
        stream.WriteByte((byte)value);
    }
}
