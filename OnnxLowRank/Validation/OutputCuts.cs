using System.Numerics.Tensors;
using System.Runtime.InteropServices;
using Microsoft.ML.OnnxRuntime;
using Microsoft.ML.OnnxRuntime.Tensors;
using OnnxLowRank.Calibration;
using OnnxLowRank.Onnx.Proto;
using OnnxLowRank.Samples;

namespace OnnxLowRank.Validation;

/// <summary>Cuts what a run put out into samples.</summary>
/// <param name="outputs">Names of the float outputs, in the order of the results.</param>
sealed class OutputCuts(string[] outputs, Sampling sampling)
{
    float[] _joined = [];

    /// <summary>What the model said about one sample of the run; valid until the next call.</summary>
    /// <param name="sample">Index of the sample among all.</param>
    /// <param name="index">Its place in the run.</param>
    /// <exception cref="ModelException">An output does not have one entry per sample.</exception>
    public SampleOutput At(IReadOnlyList<OrtValue> results, SampleRun run, int sample, int index)
    {
        long[] shape = results[0].GetTensorTypeAndShape().Shape;
        bool isWhole = sampling.RunSize == 1 && (shape.Length == 0 || shape[0] != 1); // one sample whose output has no batch axis
        int[] lengths = new int[results.Count];
        var parts = Part(results[0], outputs[0], index, run, isWhole);
        lengths[0] = parts.Length;
        if (results.Count > 1)
        {
            int end = 0;
            Join(parts, ref end);
            for (int output = 1; output < results.Count; output++)
            {
                var part = Part(results[output], outputs[output], index, run, isWhole);
                lengths[output] = part.Length;
                Join(part, ref end);
            }
            parts = _joined.AsSpan(0, end);
        }
        return new(outputs[0], sample, parts, isWhole ? shape : shape.AsSpan(Math.Min(1, shape.Length)), Ids(run, index), lengths);
    }

    /// <summary>Puts a part behind what is joined already; the buffer grows once and is used again for every sample.</summary>
    void Join(ReadOnlySpan<float> part, ref int end)
    {
        if (_joined.Length < end + part.Length)
        {
            Array.Resize(ref _joined, end + part.Length);
        }
        part.CopyTo(_joined.AsSpan(end));
        end += part.Length;
    }

    static ReadOnlySpan<float> Part(OrtValue result, string name, int index, SampleRun run, bool isWhole)
    {
        var info = result.GetTensorTypeAndShape();
        long[] shape = info.Shape;
        int length = (int)info.ElementCount;
        if (isWhole)
        {
            return Floats(result, info.ElementDataType, 0, length);
        }
        int batch = shape.Length > 0 ? (int)shape[0] : 0;
        if (batch < run.Valid)
        {
            return run.Valid == 1 ? Floats(result, info.ElementDataType, 0, length) : throw new ModelException(
                $"output '{name}' of shape [{string.Join(',', shape)}] does not have one entry per sample; give one sample per run (arrays with one axis more than the input)");
        }
        int size = length / batch;
        return Floats(result, info.ElementDataType, index * size, size);
    }

    /// <summary>Some of a value's elements; those that are not float32 are converted.</summary>
    static ReadOnlySpan<float> Floats(OrtValue value, TensorElementType type, int start, int length)
    {
        if (type == TensorElementType.Float)
        {
            return value.GetTensorDataAsSpan<float>().Slice(start, length);
        }
        var floats = new float[length];
        switch (type)
        {
            case TensorElementType.Float16:
                TensorPrimitives.ConvertToSingle(MemoryMarshal.Cast<Float16, Half>(value.GetTensorDataAsSpan<Float16>().Slice(start, length)), floats);
                break;
            case TensorElementType.BFloat16:
                var upper = MemoryMarshal.Cast<BFloat16, ushort>(value.GetTensorDataAsSpan<BFloat16>().Slice(start, length));
                for (int i = 0; i < length; i++)
                {
                    floats[i] = BitConverter.Int32BitsToSingle(upper[i] << 16);
                }
                break;
            default:
                TensorPrimitives.ConvertTruncating(value.GetTensorDataAsSpan<double>().Slice(start, length), floats);
                break;
        }
        return floats;
    }

    /// <summary>What a language model read: the first integer input, cut to one sample.</summary>
    static int[] Ids(SampleRun run, int index)
    {
        foreach (var input in run.Inputs)
        {
            var bytes = input.Bytes.Span;
            int batch = Math.Max(1, input.Shape.Length > 1 ? (int)input.Shape[0] : 1);
            switch (input.Input.ElementType)
            {
                case TensorProto.Types.DataType.Int64:
                    var longs = MemoryMarshal.Cast<byte, long>(bytes);
                    return Array.ConvertAll(longs.Slice(index * (longs.Length / batch), longs.Length / batch).ToArray(), id => (int)id);
                case TensorProto.Types.DataType.Int32:
                    var ints = MemoryMarshal.Cast<byte, int>(bytes);
                    return ints.Slice(index * (ints.Length / batch), ints.Length / batch).ToArray();
            }
        }
        return [];
    }
}
