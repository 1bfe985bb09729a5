using Microsoft.ML.OnnxRuntime.Tensors;
using OnnxLowRank.Calibration;
using OnnxLowRank.Onnx;
using OnnxLowRank.Onnx.Proto;
using OnnxLowRank.Runtime;

namespace OnnxLowRank.Gradients;

/// <summary>What values of a graph are when samples run: element types, shapes, and short vectors of integers that operators take for axes, places or sizes.</summary>
/// <param name="shapes">Of floats, by name; −1 for an axis whose length depends on how many samples run.</param>
/// <param name="integers">That are the same for any number of samples.</param>
/// <param name="others">Tensors of other types.</param>
/// <param name="bytesPerSample">Of all the floats that one sample makes.</param>
sealed class ValueTrace(IReadOnlyDictionary<string, long[]> shapes, IReadOnlyDictionary<string, long[]> integers, IReadOnlySet<string> others, long bytesPerSample)
{
    /// <summary>Longer vectors of integers are data.</summary>
    const int MostIntegers = 65536;

    /// <summary>Whether a value holds numbers in single precision, the only ones that gradients are taken of.</summary>
    public bool IsSingle(string value) => shapes.ContainsKey(value);

    /// <summary>Whether a value is a tensor: dense, and there.</summary>
    public bool IsTensor(string value) => shapes.ContainsKey(value) || others.Contains(value);

    /// <summary>Of a value in single precision.</summary>
    public long[] Shape(string value) => shapes[value];

    /// <summary>The integers of a value, or null where they are not known.</summary>
    public long[]? Integers(string value) => integers.GetValueOrDefault(value);

    /// <summary>Bytes of all the floats that one sample makes: a backward pass needs most of them again.</summary>
    public long BytesPerSample => bytesPerSample;

    /// <summary>Runs a model on one sample and on two.</summary>
    /// <param name="values">That are asked for; constants are known without running.</param>
    /// <exception cref="ModelException">The model cannot be run.</exception>
    public static ValueTrace Of(OnnxModel model, IEnumerable<string> values, Sampling sampling, Device device, int threads)
    {
        var (shapes, integers) = (new Dictionary<string, long[]>(StringComparer.Ordinal), new Dictionary<string, long[]>(StringComparer.Ordinal));
        var constants = model.Graph.Initializer.ToDictionary(tensor => tensor.Name, StringComparer.Ordinal);
        var others = new HashSet<string>(StringComparer.Ordinal);
        long bytes = 0;
        var graph = new ProbeGraph(model);
        var asked = values.Distinct().ToList();
        foreach (string value in asked)
        {
            if (!constants.TryGetValue(value, out var constant))
            {
                graph.AddValue(value);
            }
            else if (constant.DataType == (int)TensorProto.Types.DataType.Float)
            {
                shapes[value] = [.. constant.Dims];
            }
            else
            {
                others.Add(value);
            }
            if (constant?.DataType is (int)TensorProto.Types.DataType.Int64 or (int)TensorProto.Types.DataType.Int32 && constant.ElementCount() <= MostIntegers)
            {
                integers[value] = constant.ToInt64s();
            }
        }
        if (graph.Outputs.Count == 0)
        {
            return new(shapes, integers, others, bytes);
        }
        using var session = ModelSession.Open(graph.ToModel(), device, threads);
        foreach (int samples in new[] { 1, 2 })
        {
            sampling.First(samples, run =>
            {
                using var results = session.Run(run, graph.Outputs);
                foreach (var (name, result) in graph.Outputs.Zip(results).Where(pair => pair.Second.IsTensor))
                {
                    var info = result.GetTensorTypeAndShape();
                    if (info.ElementDataType == TensorElementType.Float)
                    {
                        bytes += samples == 1 ? sizeof(float) * info.ElementCount : 0;
                        shapes[name] = shapes.TryGetValue(name, out long[]? before) ? Common(before, info.Shape) : info.Shape;
                    }
                    else
                    {
                        others.Add(name);
                    }
                    if (info.ElementDataType is TensorElementType.Int64 or TensorElementType.Int32 && info.ElementCount <= MostIntegers)
                    {
                        long[] found = info.ElementDataType == TensorElementType.Int64
                            ? result.GetTensorDataAsSpan<long>().ToArray()
                            : Array.ConvertAll(result.GetTensorDataAsSpan<int>().ToArray(), value => (long)value);
                        if (samples == 1 || (integers.TryGetValue(name, out long[]? known) && known.AsSpan().SequenceEqual(found)))
                        {
                            integers[name] = found;
                        }
                        else
                        {
                            integers.Remove(name);
                        }
                    }
                }
            });
        }
        return new(shapes, integers, others, bytes);
    }

    static long[] Common(long[] one, long[] two) => one.Length == two.Length ? [.. one.Zip(two, (a, b) => a == b ? a : -1)] : two;
}
