using System.Runtime.InteropServices;

namespace Microsoft.ML.OnnxRuntime.Native;

/// <summary>Several texts as the char** of C, in memory that does not move. Dispose frees it.</summary>
readonly unsafe ref struct Utf8Array
{
    public Utf8Array(IReadOnlyCollection<string> texts)
    {
        var encoded = texts.Select(text => Utf8.Bytes(text, nameof(texts))).ToArray();
        nuint pointers = checked((nuint)encoded.Length * (nuint)sizeof(byte*));
        Count = (nuint)encoded.Length;
        Pointers = (byte**)NativeMemory.Alloc(pointers + (nuint)encoded.Sum(bytes => (long)bytes.Length));

        byte* next = (byte*)Pointers + pointers;
        for (int i = 0; i < encoded.Length; i++)
        {
            Pointers[i] = next;
            encoded[i].CopyTo(new Span<byte>(next, encoded[i].Length));
            next += encoded[i].Length;
        }
    }

    public nuint Count { get; }

    public byte** Pointers { get; }

    public void Dispose() => NativeMemory.Free(Pointers);
}
