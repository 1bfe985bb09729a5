using System.IO.Compression;
using System.Runtime.InteropServices;
using System.Text;

namespace OnnxLowRank.Tests.Samples;

/// <summary>A folder that vanishes after the test, with what tests of calibration data put into it.</summary>
sealed class TempFolder : IDisposable
{
    public string Path { get; } = Directory.CreateTempSubdirectory("onnx-lowrank-test-").FullName;

    public string File(string name, byte[] content)
    {
        string path = System.IO.Path.Combine(Path, name);
        Directory.CreateDirectory(System.IO.Path.GetDirectoryName(path)!);
        System.IO.File.WriteAllBytes(path, content);
        return path;
    }

    public string Npy<T>(string name, long[] shape, params T[] values) where T : unmanaged => File(name, NpyBytes(shape, values));

    public string Npz(string name, params (string Entry, byte[] Content)[] entries) => File(name, NpzBytes(entries));

    public void Dispose() => Directory.Delete(Path, recursive: true);

    /// <summary>A .npy of version 1.0 with the type of <typeparamref name="T"/>.</summary>
    public static byte[] NpyBytes<T>(long[] shape, T[] values) where T : unmanaged =>
        NpyBytes($"{{'descr': '{Description<T>()}', 'fortran_order': False, 'shape': ({string.Concat(shape.Select(d => $"{d},"))}), }}", MemoryMarshal.AsBytes<T>(values).ToArray());

    /// <summary>A .npy with this header text, padded as NumPy does.</summary>
    public static byte[] NpyBytes(string header, byte[] elements, byte version = 1)
    {
        int before = version == 1 ? 10 : 12;
        byte[] text = Encoding.Latin1.GetBytes(header.PadRight((header.Length + before + 64) / 64 * 64 - before - 1) + "\n");
        byte[] length = version == 1 ? BitConverter.GetBytes((ushort)text.Length) : BitConverter.GetBytes(text.Length);
        return [0x93, .. "NUMPY"u8, version, 0, .. length, .. text, .. elements];
    }

    public static byte[] NpzBytes(params (string Entry, byte[] Content)[] entries) => NpzBytes(CompressionLevel.Optimal, entries);

    public static byte[] NpzBytes(CompressionLevel level, params (string Entry, byte[] Content)[] entries)
    {
        using var memory = new MemoryStream();
        using (var zip = new ZipArchive(memory, ZipArchiveMode.Create, leaveOpen: true))
        {
            foreach (var (name, content) in entries)
            {
                var entry = zip.CreateEntry(name, level);
                entry.LastWriteTime = new(2000, 1, 1, 0, 0, 0, TimeSpan.Zero); // the same bytes at any time
                using var stream = entry.Open();
                stream.Write(content);
            }
        }
        return memory.ToArray();
    }

    static string Description<T>() => default(T) switch
    {
        bool => "|b1",
        sbyte => "|i1",
        byte => "|u1",
        short => "<i2",
        ushort => "<u2",
        int => "<i4",
        uint => "<u4",
        long => "<i8",
        ulong => "<u8",
        Half => "<f2",
        float => "<f4",
        double => "<f8",
        _ => throw new ArgumentException(typeof(T).Name),
    };
}
