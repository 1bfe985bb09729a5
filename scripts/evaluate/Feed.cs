using Microsoft.ML.OnnxRuntime;
using Microsoft.ML.OnnxRuntime.Tensors;

namespace Evaluate;

/// <summary>The test data as a model's inputs.</summary>
sealed class Feed
{
    readonly List<(string Name, NpyArray Array, TensorElementType Type, bool IsWhole)> _inputs = [];

    public Feed(InferenceSession session, string folder)
    {
        foreach (var (name, metadata) in session.InputMetadata)
        {
            string path = Path.Combine(folder, name + ".npy");
            if (!File.Exists(path))
            {
                path = Path.Combine(folder, string.Concat(name.Select(c => "/\\:*?\"<>|".Contains(c) ? '_' : c)) + ".npy");
            }
            var array = NpyArray.Read(path);
            bool isWhole = array.Shape.Length == metadata.Dimensions.Length + 1;
            _inputs.Add((name, array, metadata.ElementDataType, isWhole));
            FixedBatch ??= isWhole ? 1 : metadata.Dimensions[0] > 0 ? metadata.Dimensions[0] : null;
        }
    }

    /// <summary>Samples per run when the model does not leave it open.</summary>
    public int? FixedBatch { get; }

    public int Count => _inputs[0].Array.Rows;

    public IReadOnlyCollection<string> Names => [.. _inputs.Select(input => input.Name)];

    /// <summary>Samples start … start + count − 1; beyond the last sample it starts over.</summary>
    public List<OrtValue> Take(int start, int count) => [.. _inputs.Select(input => Take(input.Array, input.Type, input.IsWhole, start, count))];

    static OrtValue Take(NpyArray array, TensorElementType type, bool isWhole, int start, int count)
    {
        byte[] rows = new byte[(long)array.RowBytes * count];
        for (int i = 0; i < count; i++)
        {
            array.Data.AsSpan((start + i) % array.Rows * array.RowBytes, array.RowBytes).CopyTo(rows.AsSpan(i * array.RowBytes));
        }
        long[] shape = isWhole ? array.Shape[1..] : [count, .. array.Shape[1..]];
        return type switch
        {
            TensorElementType.Float => Value<float>(rows, shape),
            TensorElementType.Int64 => Value<long>(rows, shape),
            TensorElementType.Int32 => Value<int>(rows, shape),
            TensorElementType.Double => Value<double>(rows, shape),
            TensorElementType.UInt8 => Value<byte>(rows, shape),
            _ => throw new NotSupportedException($"inputs of type {type}"),
        };
    }

    static OrtValue Value<T>(byte[] bytes, long[] shape) where T : unmanaged
    {
        var values = new T[bytes.Length / System.Runtime.CompilerServices.Unsafe.SizeOf<T>()];
        System.Runtime.InteropServices.MemoryMarshal.Cast<byte, T>(bytes).CopyTo(values);
        return OrtValue.CreateTensorValueFromMemory(values, shape);
    }
}
