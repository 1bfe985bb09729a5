using System.Globalization;
using System.Text;
using System.Text.RegularExpressions;

namespace Evaluate;

/// <summary>A .npy file in memory: C order, little-endian, as numpy.save writes it.</summary>
sealed record NpyArray(string Type, long[] Shape, byte[] Data)
{
    public static NpyArray Read(string path)
    {
        byte[] file = File.ReadAllBytes(path);
        int start = file[6] == 1 ? 10 : 12;
        int length = file[6] == 1 ? BitConverter.ToUInt16(file, 8) : BitConverter.ToInt32(file, 8);
        string header = Encoding.Latin1.GetString(file, start, length);
        string type = Regex.Match(header, "'descr': '([^']*)'").Groups[1].Value;
        if (header.Contains("'fortran_order': True", StringComparison.Ordinal) || type.StartsWith('>'))
        {
            throw new NotSupportedException($"{path}: save it in C order and little-endian");
        }
        string shape = Regex.Match(header, @"'shape': \(([^)]*)\)").Groups[1].Value;
        return new(type[1..], [.. shape.Split(',', StringSplitOptions.RemoveEmptyEntries | StringSplitOptions.TrimEntries)
            .Select(text => long.Parse(text, CultureInfo.InvariantCulture))], file[(start + length)..]);
    }

    public int Rows => (int)Shape[0];

    public int RowBytes => Data.Length / Math.Max(1, Rows);

    public int RowLength => (int)Shape.Skip(1).Aggregate(1L, (product, dim) => product * dim);

    /// <summary>The integers of one row.</summary>
    public long[] Integers(int row)
    {
        int size = RowBytes / RowLength, at = row * RowBytes;
        return [.. Enumerable.Range(0, RowLength).Select(i => Type switch
        {
            "i8" or "u8" => BitConverter.ToInt64(Data, at + i * size),
            "i4" => BitConverter.ToInt32(Data, at + i * size),
            "u4" => BitConverter.ToUInt32(Data, at + i * size),
            "i2" => BitConverter.ToInt16(Data, at + i * size),
            "u2" => BitConverter.ToUInt16(Data, at + i * size),
            "u1" => Data[at + i],
            "i1" => (sbyte)Data[at + i],
            _ => throw new NotSupportedException($"labels of type {Type}"),
        })];
    }
}
