using System.Text;

namespace OnnxLowRank.Tests.Fuzzing;

/// <summary>Headers of .npy files: true ones in all their spellings, and ones that are nearly true.</summary>
static class NpyText
{
    static readonly string[] s_types =
    [
        "<f4", ">f4", "<f8", ">f8", "<f2", "|b1", "|i1", "|u1", "<i2", "<i4", ">i8", "<u8", "=f4", "f4", "|O", "<U7", "|S3", "|V8", "<c8", "<M8[ns]", "<f16", "", "<", "f", "4", "<f4\\n", "\0",
    ];

    static readonly string[] s_lengths =
    [
        "0", "1", "2", "3", "5", "11", "12", "13", "64", "-1", "+1", "1.0", "1e3", "0x10", "65535", "4294967295", "4294967296", "1099511627776", "2305843009213693952", "4611686018427387904",
        "9223372036854775807", "9223372036854775808", "99999999999999999999", "3L", "", "None", "(1,)", "True",
    ];

    /// <summary>A header that NumPy could have written, in one of its spellings.</summary>
    public static string Valid(string type, bool isFortran, IEnumerable<int> shape, Random random)
    {
        string quote = random.Next(2) == 0 ? "'" : "\"", space = random.Next(2) == 0 ? " " : "";
        string[] entries =
        [
            $"{quote}descr{quote}:{space}{quote}{type}{quote}",
            $"{quote}fortran_order{quote}:{space}{(isFortran ? "True" : "False")}",
            $"{quote}shape{quote}:{space}({string.Concat(shape.Select(length => $"{length}{(random.Next(8) == 0 ? "L" : "")},{space}"))})",
        ];
        random.Shuffle(entries);
        return $"{{{string.Join($",{space}", entries)}{(random.Next(2) == 0 ? "," : "")}{space}}}";
    }

    /// <summary>A header made by the grammar, with a rule broken here and there.</summary>
    public static string Wild(Random random)
    {
        var text = new StringBuilder(Rarely(random) ? "" : "{");
        foreach (string key in Keys(random))
        {
            text.Append(Rarely(random) ? key : $"'{key}'").Append(Rarely(random) ? " " : ": ").Append(Value(key, random)).Append(Rarely(random) ? "" : ", ");
        }
        return text.Append(Rarely(random) ? "" : "}").Append(Rarely(random) ? " + exit()" : "").ToString();
    }

    static bool Rarely(Random random) => random.Next(25) == 0;

    static List<string> Keys(Random random)
    {
        List<string> keys = ["descr", "fortran_order", "shape"];
        if (Rarely(random))
        {
            keys.RemoveAt(random.Next(3));
        }
        if (Rarely(random))
        {
            keys.Add(random.Next(2) == 0 ? "shape" : "x");
        }
        return keys;
    }

    static string Value(string key, Random random) => key switch
    {
        "descr" => Rarely(random) ? "[('a', '<f4')]" : $"'{s_types[random.Next(random.Next(3) == 0 ? s_types.Length : 5)]}'",
        "fortran_order" => Rarely(random) ? "0" : random.Next(2) == 0 ? "True" : "False",
        _ => $"({string.Concat(Enumerable.Range(0, random.Next(20) == 0 ? 70 : random.Next(4)).Select(_ => s_lengths[random.Next(random.Next(2) == 0 ? s_lengths.Length : 9)] + ","))})",
    };
}
