using System.Runtime.InteropServices;
using System.Text;

namespace MakeDigits;

/// <summary>NumPy's .npy format, version 1.0, as bytes.</summary>
static class NpyFile
{
    public static byte[] Of(float[] values, params ReadOnlySpan<int> shape) => [.. Header("<f4", shape), .. MemoryMarshal.AsBytes<float>(values)];

    public static byte[] Of(long[] values, params ReadOnlySpan<int> shape) => [.. Header("<i8", shape), .. MemoryMarshal.AsBytes<long>(values)];

    /// <summary>Magic, version, length, a Python dictionary padded so that the data starts at a multiple of 64.</summary>
    static byte[] Header(string type, params ReadOnlySpan<int> shape)
    {
        string sizes = string.Join(", ", shape.ToArray()) + (shape.Length == 1 ? "," : "");
        string text = $"{{'descr': '{type}', 'fortran_order': False, 'shape': ({sizes}), }}";
        text = text.PadRight((10 + text.Length + 1 + 63) / 64 * 64 - 10 - 1) + "\n";
        return [0x93, .. "NUMPY"u8, 1, 0, (byte)text.Length, (byte)(text.Length >> 8), .. Encoding.ASCII.GetBytes(text)];
    }
}
