using Google.Protobuf;
using Microsoft.ML.OnnxRuntime;
using OnnxLowRank.Onnx;
using OnnxLowRank.Onnx.Proto;
using static OnnxLowRank.Onnx.Proto.TensorProto.Types;

namespace Coverage;

/// <summary>Folders of test data: a case's own several times, because the program wants samples for three purposes, or made for a model.</summary>
static class TestData
{
    /// <summary>One set, linked several times.</summary>
    public static string Repeated(string folder, string data, int count)
    {
        for (int i = 0; i < count; i++)
        {
            Directory.CreateDirectory(Path.Combine(folder, $"test_data_set_{i}"));
            foreach (string file in Directory.EnumerateFiles(Path.Combine(data, "test_data_set_0"), "input_*.pb"))
            {
                File.CreateSymbolicLink(Path.Combine(folder, $"test_data_set_{i}", Path.GetFileName(file)), Path.GetFullPath(file));
            }
        }
        return folder;
    }

    /// <summary>Sets with other floats, normal ones; whatever else a case's set holds (ids, sizes, masks) stays, as only its author knows what fits.</summary>
    public static string Varied(string folder, string data, int count)
    {
        var tensors = Directory.EnumerateFiles(Path.Combine(data, "test_data_set_0"), "input_*.pb").ToDictionary(file => Path.GetFileName(file), Answers.Tensor);
        return Write(folder, count, random => tensors.Select(item => (item.Key, item.Value.DataType == (int)DataType.Float ? Normal(item.Value.Name, [.. item.Value.Dims], random) : item.Value)));
    }

    /// <summary>Sets for a model without data: floats are normal, integers 0…255; open dimensions are 1 in front and 32 elsewhere.</summary>
    /// <exception cref="NotSupportedException">An input is of a type that is not made here.</exception>
    public static string Made(string folder, Case item, int count)
    {
        using var session = new InferenceSession(item.Model);
        var inputs = session.InputNames.Select(name => (Name: name, Value: session.InputMetadata[name])).ToList();
        long[] Shape(string name, int[] dims) => item.Shapes.TryGetValue(name, out long[]? ran) ? ran : [.. dims.Select((dim, i) => dim >= 0 ? dim : i == 0 ? 1L : 32L)];
        return Write(folder, count, random => inputs.Select((input, i) => ($"input_{i}.pb", Make(input.Name, (DataType)(int)input.Value.ElementDataType, Shape(input.Name, input.Value.Dimensions), random))));
    }

    static string Write(string folder, int count, Func<Random, IEnumerable<(string File, TensorProto Tensor)>> make)
    {
        var random = new Random(1);
        for (int i = 0; i < count; i++)
        {
            string set = Directory.CreateDirectory(Path.Combine(folder, $"test_data_set_{i}")).FullName;
            foreach (var (file, tensor) in make(random))
            {
                File.WriteAllBytes(Path.Combine(set, file), tensor.ToByteArray());
            }
        }
        return folder;
    }

    static TensorProto Make(string name, DataType type, long[] shape, Random random) => type switch
    {
        DataType.Float => Normal(name, shape, random),
        DataType.Int64 => TensorData.Create<long>(name, type, Fill(shape, () => Integer(name, random)), shape),
        DataType.Int32 => TensorData.Create<int>(name, type, Fill(shape, () => (int)Integer(name, random)), shape),
        _ => throw new NotSupportedException($"input '{name}' is {type}"),
    };

    /// <summary>A sampling rate is no random number.</summary>
    static long Integer(string name, Random random) => name == "sr" ? 16000 : random.Next(256);

    static TensorProto Normal(string name, long[] shape, Random random) =>
        TensorData.Floats(name, Fill(shape, () => (float)(Math.Sqrt(-2 * Math.Log(1 - random.NextDouble())) * Math.Cos(2 * Math.PI * random.NextDouble()))), shape);

    static T[] Fill<T>(long[] shape, Func<T> next)
    {
        var values = new T[shape.Aggregate(1L, (product, dim) => product * dim)];
        for (int i = 0; i < values.Length; i++)
        {
            values[i] = next();
        }
        return values;
    }
}
