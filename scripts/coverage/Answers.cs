using System.Runtime.InteropServices;
using Microsoft.ML.OnnxRuntime;
using Microsoft.ML.OnnxRuntime.Tensors;
using OnnxLowRank.Onnx.Proto;
using OnnxLowRank.Samples;

namespace Coverage;

/// <summary>One tensor that a model says: numbers as doubles, texts as their hashes.</summary>
sealed record Answer(long[] Shape, double[] Numbers);

/// <summary>What models say on test data, and what they should. Null stands for values that are no tensors of numbers or texts: sequences, optionals, maps.</summary>
static class Answers
{
    /// <exception cref="OnnxRuntimeException">The model cannot be loaded or run.</exception>
    /// <exception cref="NotSupportedException">An input is no tensor.</exception>
    public static Answer?[] Of(string model, string set)
    {
        using var options = new SessionOptions { IntraOpNumThreads = 1, InterOpNumThreads = 1, LogSeverityLevel = OrtLoggingLevel.ORT_LOGGING_LEVEL_FATAL };
        using var session = new InferenceSession(model, options);
        var inputs = new Dictionary<string, OrtValue>();
        var pins = new List<GCHandle>();
        try
        {
            foreach (var (i, name) in session.InputNames.Index())
            {
                if (!session.InputMetadata[name].IsTensor)
                {
                    throw new NotSupportedException($"input '{name}' is a {session.InputMetadata[name].OnnxValueType}");
                }
                inputs[name] = Value(Tensor(Path.Combine(set, $"input_{i}.pb")), pins);
            }
            using var run = new RunOptions();
            using var values = session.Run(run, inputs, session.OutputNames);
            return [.. values.Select(Read)];
        }
        finally
        {
            foreach (var value in inputs.Values)
            {
                value.Dispose();
            }
            pins.ForEach(pin => pin.Free());
        }
    }

    /// <summary>The outputs that come with a data set, as far as they are tensors.</summary>
    /// <param name="like">What the model says, to know which are.</param>
    public static Answer?[] Expected(string set, Answer?[] like) => [.. like.Select((answer, i) =>
        answer != null && Path.Combine(set, $"output_{i}.pb") is var file && File.Exists(file) ? Read(Tensor(file)) : null)];

    /// <summary>‖Δy‖/‖y‖ of the worst output; infinite where shapes differ, and where what is not finite is not the same.</summary>
    public static double Distance(Answer?[] expected, Answer?[] actual)
    {
        double worst = 0;
        foreach (var (a, b) in expected.Zip(actual))
        {
            if (a != null && b != null)
            {
                worst = Math.Max(worst, Distance(a, b));
            }
        }
        return worst;
    }

    static double Distance(Answer expected, Answer actual)
    {
        if (expected.Numbers.Length != actual.Numbers.Length)
        {
            return double.PositiveInfinity;
        }
        double difference = 0, norm = 0;
        foreach (var (a, b) in expected.Numbers.Zip(actual.Numbers))
        {
            if (a.Equals(b))
            {
                norm += double.IsFinite(a) ? a * a : 0;
                continue;
            }
            difference += (a - b) * (a - b);
            norm += a * a;
        }
        return difference == 0 ? 0 : double.IsFinite(difference) && norm > 0 ? Math.Sqrt(difference / norm) : double.PositiveInfinity;
    }

    public static TensorProto Tensor(string file) => TensorProto.Parser.ParseFrom(File.ReadAllBytes(file));

    static OrtValue Value(TensorProto tensor, List<GCHandle> pins)
    {
        if ((TensorElementType)tensor.DataType == TensorElementType.String)
        {
            var value = OrtValue.CreateTensorWithEmptyStrings(OrtAllocator.DefaultInstance, [.. tensor.Dims]);
            foreach (var (i, text) in tensor.StringData.Index())
            {
                value.StringTensorSetElementAt(text.Span, i);
            }
            return value;
        }
        byte[] bytes = Bytes(tensor);
        var pin = GCHandle.Alloc(bytes, GCHandleType.Pinned);
        pins.Add(pin);
        return OrtValue.CreateTensorValueWithData(OrtMemoryInfo.DefaultInstance, (TensorElementType)tensor.DataType, [.. tensor.Dims], pin.AddrOfPinnedObject(), bytes.Length);
    }

    static byte[] Bytes(TensorProto tensor) => TensorFile.Of(tensor, tensor.Name).Bytes;

    static Answer Read(TensorProto tensor) => new([.. tensor.Dims], (TensorElementType)tensor.DataType == TensorElementType.String
        ? [.. tensor.StringData.Select(text => Number(text.ToStringUtf8()))]
        : Numbers((TensorElementType)tensor.DataType, Bytes(tensor)));

    static Answer? Read(OrtValue value)
    {
        if (!value.IsTensor)
        {
            return null;
        }
        var type = value.GetTensorTypeAndShape();
        return new(type.Shape, type.ElementDataType == TensorElementType.String
            ? [.. value.GetStringTensorAsArray().Select(Number)]
            : Numbers(type.ElementDataType, value.GetTensorMutableRawData()));
    }

    static double Number(string text) => string.GetHashCode(text, StringComparison.Ordinal);

    static double[] Numbers(TensorElementType type, ReadOnlySpan<byte> bytes) => type switch
    {
        TensorElementType.Float => Of<float>(bytes, value => value),
        TensorElementType.Double => Of<double>(bytes, value => value),
        TensorElementType.Float16 => Of<Half>(bytes, value => (double)value),
        TensorElementType.BFloat16 => Of<ushort>(bytes, value => BitConverter.Int32BitsToSingle(value << 16)),
        TensorElementType.Int64 => Of<long>(bytes, value => value),
        TensorElementType.UInt64 => Of<ulong>(bytes, value => value),
        TensorElementType.Int32 => Of<int>(bytes, value => value),
        TensorElementType.UInt32 => Of<uint>(bytes, value => value),
        TensorElementType.Int16 => Of<short>(bytes, value => value),
        TensorElementType.UInt16 => Of<ushort>(bytes, value => value),
        TensorElementType.Int8 => Of<sbyte>(bytes, value => value),
        _ => Of<byte>(bytes, value => value),
    };

    static double[] Of<T>(ReadOnlySpan<byte> bytes, Converter<T, double> convert) where T : unmanaged => Array.ConvertAll(MemoryMarshal.Cast<byte, T>(bytes).ToArray(), convert);
}
