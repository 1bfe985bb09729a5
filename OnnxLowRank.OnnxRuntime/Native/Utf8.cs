using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using System.Text;

namespace Microsoft.ML.OnnxRuntime.Native;

/// <summary>Text on its way in and out of the library: zero-terminated UTF-8, except paths on Windows.</summary>
static unsafe class Utf8
{
    /// <summary>The text as zero-terminated UTF-8.</summary>
    /// <exception cref="ArgumentException">The text has a zero inside, which would silently cut it short.</exception>
    public static byte[] Bytes(string text, [CallerArgumentExpression(nameof(text))] string name = "") =>
        Terminated(Encoding.UTF8, text, name);

    /// <summary>The path as ORTCHAR_T*: UTF-16 on Windows, UTF-8 elsewhere, zero-terminated.</summary>
    public static byte[] Path(string path, [CallerArgumentExpression(nameof(path))] string name = "") =>
        Terminated(OperatingSystem.IsWindows() ? Encoding.Unicode : Encoding.UTF8, path, name);

    /// <summary>A copy of text that stays the library's; null reads as "".</summary>
    public static string Read(byte* text) => Marshal.PtrToStringUTF8((nint)text) ?? "";

    /// <summary>A copy of text that the library allocated for us with its default allocator, where it is freed again.</summary>
    public static string Take(byte* text)
    {
        try
        {
            return Read(text);
        }
        finally
        {
            OrtAllocator.FreeDefault(text);
        }
    }

    static byte[] Terminated(Encoding encoding, string text, string name)
    {
        ArgumentNullException.ThrowIfNull(text, name);
        if (text.Contains('\0'))
        {
            throw new ArgumentException("text for ONNX Runtime cannot have a zero character inside", name);
        }
        return encoding.GetBytes(text + '\0');
    }
}
