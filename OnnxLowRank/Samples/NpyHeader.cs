using System.Buffers.Binary;
using System.Text;
using DataType = OnnxLowRank.Onnx.Proto.TensorProto.Types.DataType;

namespace OnnxLowRank.Samples;

/// <summary>What the header of a .npy array says; Bytes is checked to be Π shape · element size, without overflow.</summary>
/// <param name="Fortran">Elements are in column-major order: the first index changes fastest.</param>
/// <param name="HeaderBytes">Where the first element is, counted from the start of the file.</param>
sealed record NpyHeader(DataType ElementType, bool BigEndian, bool Fortran, long[] Shape, long Bytes, int HeaderBytes)
{
    static ReadOnlySpan<byte> Magic => [0x93, (byte)'N', (byte)'U', (byte)'M', (byte)'P', (byte)'Y'];

    /// <summary>NumPy arrays of numbers have headers of 128 bytes; only structured types, which are refused, need long ones.</summary>
    const int LongestHeader = 65535;

    /// <summary>NumPy's own limit.</summary>
    const int MostAxes = 64;

    public static bool IsMagic(ReadOnlySpan<byte> start) => start.StartsWith(Magic);

    /// <summary>Reads a header of format version 1.0, 2.0 or 3.0 and leaves the stream at the first element.</summary>
    /// <param name="name">The array, for messages.</param>
    /// <exception cref="DataException">The header is not what the format says, or the elements are not plain numbers.</exception>
    /// <remarks>Source: numpy.lib.format, "Format Version 1.0" to "3.0".</remarks>
    public static NpyHeader Read(Stream stream, string name)
    {
        byte[] start = new byte[8];
        int got = DataFile.Reading(name, () => stream.ReadAtLeast(start, start.Length, throwOnEndOfStream: false));
        if (got < start.Length || !IsMagic(start))
        {
            throw new DataException($"{name}: is not a .npy file, which would start with \\x93NUMPY");
        }
        var (major, minor) = (start[6], start[7]);
        if (major is < 1 or > 3 || minor != 0)
        {
            throw new DataException($"{name}: .npy format version {major}.{minor} is not one of 1.0, 2.0, 3.0");
        }

        byte[] size = Exactly(stream, major == 1 ? 2 : 4, name);
        uint length = major == 1 ? BinaryPrimitives.ReadUInt16LittleEndian(size) : BinaryPrimitives.ReadUInt32LittleEndian(size);
        if (length > LongestHeader)
        {
            throw new DataException($"{name}: announces a header of {length} bytes, an array of numbers needs at most {LongestHeader}");
        }
        byte[] header = Exactly(stream, (int)length, name);
        string text = (major == 3 ? Encoding.UTF8 : Encoding.Latin1).GetString(header);
        return Parse(text, start.Length + size.Length + header.Length, name);
    }

    static byte[] Exactly(Stream stream, int count, string name) => DataFile.Reading(name, () =>
    {
        byte[] bytes = new byte[count];
        stream.ReadExactly(bytes);
        return bytes;
    });

    /// <summary>The header is a Python dictionary with exactly the keys descr, fortran_order and shape, in any order, spacing and kind of quotes.</summary>
    static NpyHeader Parse(string header, int headerBytes, string name)
    {
        var text = new PythonLiteral(header, name);
        string? description = null;
        bool? fortran = null;
        long[]? shape = null;

        text.Expect('{');
        while (!text.Take('}'))
        {
            string key = text.Quoted();
            text.Expect(':');
            switch (key)
            {
                case "descr" when description is null:
                    if (text.Next is '[' or '(')
                    {
                        throw new DataException($"{name}: holds records of several fields (a structured dtype); save one array of numbers per model input");
                    }
                    description = text.Quoted();
                    break;
                case "fortran_order" when fortran is null:
                    fortran = text.Boolean();
                    break;
                case "shape" when shape is null:
                    shape = text.Tuple(MostAxes);
                    break;
                default:
                    throw new DataException($"{name}: .npy header has the unknown or repeated key '{key}'");
            }
            if (!text.Take(','))
            {
                text.Expect('}');
                break;
            }
        }
        text.ExpectEnd();

        if (description is null || fortran is null || shape is null)
        {
            throw new DataException($"{name}: .npy header lacks '{(description is null ? "descr" : fortran is null ? "fortran_order" : "shape")}'");
        }
        var (type, bigEndian) = TypeOf(description, name);
        long bytes = ElementTypes.Bytes(type, shape)
            ?? throw new DataException($"{name}: shape {ElementTypes.Text(shape)} of {ElementTypes.Name(type)} is larger than any file");
        return new(type, bigEndian, fortran.Value && shape.Length > 1, shape, bytes, headerBytes);
    }

    /// <summary>A type such as "&lt;f4": byte order, kind, bytes.</summary>
    static (DataType Type, bool BigEndian) TypeOf(string description, string name)
    {
        bool ordered = description.Length > 0 && description[0] is '<' or '>' or '=' or '|';
        string kind = ordered ? description[1..] : description;
        DataType type = kind switch
        {
            "b1" or "?" => DataType.Bool,
            "i1" => DataType.Int8,
            "i2" => DataType.Int16,
            "i4" => DataType.Int32,
            "i8" => DataType.Int64,
            "u1" => DataType.Uint8,
            "u2" => DataType.Uint16,
            "u4" => DataType.Uint32,
            "u8" => DataType.Uint64,
            "f2" => DataType.Float16,
            "f4" => DataType.Float,
            "f8" => DataType.Double,
            _ => throw new DataException($"{name}: dtype '{description}' {Refusal(kind)}"),
        };
        return (type, ordered && description[0] == '>' && ElementTypes.Size(type) > 1);
    }

    static string Refusal(string kind) => (kind.Length == 0 ? ' ' : kind[0]) switch
    {
        'O' => "is pickled Python objects, which are never loaded; make it numbers with x.astype(np.float32)",
        'U' or 'S' or 'a' => "is strings, which calibration does not support; feed the model behind its tokenizer",
        'V' => "is raw records or a type that NumPy does not know (bfloat16?); save numbers such as float32",
        'c' => "is complex numbers, which calibration does not support",
        'M' or 'm' => "is dates or durations; make it numbers with x.astype(np.int64)",
        'f' or 'g' => "is not one of float16, float32, float64",
        _ => "is not known",
    };
}
