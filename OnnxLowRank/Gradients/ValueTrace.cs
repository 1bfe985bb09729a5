using Microsoft.ML.OnnxRuntime;
using Microsoft.ML.OnnxRuntime.Tensors;
using OnnxLowRank.Calibration;
using OnnxLowRank.Onnx;
using OnnxLowRank.Onnx.Proto;
using OnnxLowRank.Runtime;
using static OnnxLowRank.Onnx.Proto.TensorProto.Types;

namespace OnnxLowRank.Gradients;

/// <summary>
/// What values of a graph are when samples run: element types, shapes, and the integers that operators take for axes, places or sizes. What one sample and two say differently
/// follows the number of samples.
/// </summary>
sealed class ValueTrace
{
    /// <summary>Longer vectors of integers are data.</summary>
    const int MostIntegers = 65536;

    readonly Dictionary<string, long[]> _shapes = new(StringComparer.Ordinal);
    readonly Dictionary<string, long[]> _integers = new(StringComparer.Ordinal);
    readonly HashSet<string> _others = new(StringComparer.Ordinal);

    ValueTrace()
    {
    }

    /// <summary>Bytes of all the floats that one sample makes: a backward pass needs most of them again.</summary>
    public long BytesPerSample { get; private set; }

    /// <summary>Whether a value holds numbers in single precision, the only ones that gradients are taken of.</summary>
    public bool IsSingle(string value) => _shapes.ContainsKey(value);

    /// <summary>Whether a value is a tensor: dense, and there.</summary>
    public bool IsTensor(string value) => IsSingle(value) || _others.Contains(value);

    /// <summary>Of a value in single precision; −1 for an axis whose length follows the number of samples.</summary>
    public long[] Shape(string value) => _shapes[value];

    /// <summary>The integers of a value, or null where it has none or they follow the number of samples.</summary>
    public long[]? Integers(string value) => _integers.GetValueOrDefault(value);

    /// <summary>Runs a model on one sample and on two.</summary>
    /// <param name="values">That are asked for; constants are known without running.</param>
    /// <exception cref="ModelException">The model cannot be run.</exception>
    public static ValueTrace Of(OnnxModel model, IEnumerable<string> values, Sampling sampling, Device device, int threads)
    {
        var trace = new ValueTrace();
        var constants = model.Graph.Initializer.ToDictionary(tensor => tensor.Name, StringComparer.Ordinal);
        var graph = new ProbeGraph(model);
        foreach (string value in values.Distinct())
        {
            if (constants.TryGetValue(value, out var constant))
            {
                trace.Add(constant);
            }
            else
            {
                graph.AddValue(value);
            }
        }
        if (graph.Outputs.Count == 0)
        {
            return trace;
        }
        using var session = ModelSession.Open(graph.ToModel(), device, threads);
        foreach (int samples in new[] { 1, 2 })
        {
            sampling.First(samples, run =>
            {
                using var results = session.Run(run, graph.Outputs);
                foreach (var (name, result) in graph.Outputs.Zip(results).Where(pair => pair.Second.IsTensor))
                {
                    trace.Add(name, result, isFirst: samples == 1);
                }
            });
        }
        return trace;
    }

    void Add(TensorProto constant)
    {
        if (constant.DataType == (int)DataType.Float)
        {
            _shapes[constant.Name] = [.. constant.Dims];
            return;
        }
        _others.Add(constant.Name);
        if ((DataType)constant.DataType is DataType.Int64 or DataType.Int32 && constant.ElementCount() <= MostIntegers)
        {
            _integers[constant.Name] = constant.ToInt64s();
        }
    }

    void Add(string name, OrtValue value, bool isFirst)
    {
        var info = value.GetTensorTypeAndShape();
        if (info.ElementDataType == TensorElementType.Float)
        {
            BytesPerSample += isFirst ? sizeof(float) * info.ElementCount : 0;
            _shapes[name] = !isFirst && _shapes.TryGetValue(name, out long[]? before) ? Common(before, info.Shape) : info.Shape;
            return;
        }
        _others.Add(name);
        if (info.ElementCount > MostIntegers || Integers(value, info.ElementDataType) is not { } integers)
        {
            return;
        }
        if (isFirst)
        {
            _integers[name] = integers;
        }
        else if (!(_integers.TryGetValue(name, out long[]? known) && known.AsSpan().SequenceEqual(integers)))
        {
            _integers.Remove(name);
        }
    }

    static long[]? Integers(OrtValue value, TensorElementType type) => type switch
    {
        TensorElementType.Int64 => value.GetTensorDataAsSpan<long>().ToArray(),
        TensorElementType.Int32 => Array.ConvertAll(value.GetTensorDataAsSpan<int>().ToArray(), number => (long)number),
        _ => null,
    };

    static long[] Common(long[] one, long[] two) => one.Length == two.Length ? [.. one.Zip(two, (a, b) => a == b ? a : -1)] : two;
}
