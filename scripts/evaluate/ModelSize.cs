namespace Evaluate;

/// <summary>Counts a model's constants by walking its protobuf fields: ModelProto.graph (7), GraphProto.node (1) and .initializer (5), and so on.</summary>
static class ModelSize
{
    /// <summary>The model file, and PATH.data or PATH.HASH.data beside it where its weights are stored externally.</summary>
    public static long Bytes(string path) => new FileInfo(path).Length
        + new DirectoryInfo(Path.GetDirectoryName(Path.GetFullPath(path))!).EnumerateFiles(Path.GetFileName(path) + "*.data").Sum(file => file.Length);

    /// <summary>Elements of all initializers and of all tensors of Constant nodes.</summary>
    public static long Parameters(string path)
    {
        byte[] file = File.ReadAllBytes(path);
        return Fields(file).Where(field => field.Number == 7).Sum(field => Graph(field.Bytes));
    }

    static long Graph(ReadOnlyMemory<byte> graph) => Fields(graph).Sum(field => field.Number switch
    {
        1 => Fields(field.Bytes).Where(inner => inner.Number == 5).Sum(attribute => Attribute(attribute.Bytes)),
        5 => Tensor(field.Bytes),
        _ => 0,
    });

    static long Attribute(ReadOnlyMemory<byte> attribute) => Fields(attribute).Sum(field => field.Number switch
    {
        5 when field.Wire == 2 => Tensor(field.Bytes),
        6 when field.Wire == 2 => Graph(field.Bytes),
        _ => 0,
    });

    static long Tensor(ReadOnlyMemory<byte> tensor)
    {
        long elements = 1;
        foreach (var (number, wire, value, bytes) in Fields(tensor))
        {
            if (number != 1)
            {
                continue;
            }
            if (wire == 0)
            {
                elements *= value;
                continue;
            }
            for (int at = 0; at < bytes.Length;)
            {
                elements *= Varint(bytes.Span, ref at); // packed
            }
        }
        return elements;
    }

    static List<(int Number, int Wire, long Value, ReadOnlyMemory<byte> Bytes)> Fields(ReadOnlyMemory<byte> message)
    {
        var fields = new List<(int, int, long, ReadOnlyMemory<byte>)>();
        var span = message.Span;
        for (int at = 0; at < span.Length;)
        {
            long key = Varint(span, ref at);
            int number = (int)(key >> 3), wire = (int)(key & 7);
            long value = wire is 0 or 2 ? Varint(span, ref at) : 0;
            int length = wire switch { 2 => (int)value, 1 => 8, 5 => 4, _ => 0 };
            fields.Add((number, wire, value, message.Slice(at, length)));
            at += length;
        }
        return fields;
    }

    static long Varint(ReadOnlySpan<byte> bytes, ref int at)
    {
        long value = 0;
        for (int shift = 0; ; shift += 7)
        {
            byte next = bytes[at++];
            value |= (long)(next & 0x7f) << shift;
            if (next < 0x80)
            {
                return value;
            }
        }
    }
}
