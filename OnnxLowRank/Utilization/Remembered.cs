using Microsoft.ML.OnnxRuntime;
using Microsoft.ML.OnnxRuntime.Tensors;
using OnnxLowRank.Calibration;
using OnnxLowRank.Onnx;
using OnnxLowRank.Runtime;

namespace OnnxLowRank.Utilization;

/// <summary>What the prefix of a <see cref="LayerCut"/> computes on samples, run by run.</summary>
sealed class Remembered : IDisposable
{
    /// <summary>By the first sample of a run.</summary>
    readonly Dictionary<int, Dictionary<string, OrtValue>> _runs = [];

    long _bytes;

    /// <summary>Element types of the live values.</summary>
    public Dictionary<string, TensorElementType> Types { get; } = new(StringComparer.Ordinal);

    /// <summary>The live values of a run.</summary>
    public IReadOnlyDictionary<string, OrtValue> Of(ReadOnlyMemory<int> samples) => _runs[samples.Span[0]];

    /// <summary>Runs the prefix; null where what it computes takes more bytes than the limit or is no tensor.</summary>
    public static Remembered? Of(OnnxModel model, LayerCut cut, Device device, int threads, Sampling sampling, ReadOnlyMemory<int> samples, long limit)
    {
        var remembered = new Remembered();
        bool fits = false;
        try
        {
            fits = remembered.Fill(model, cut, device, threads, sampling, samples, limit);
            return fits ? remembered : null;
        }
        finally
        {
            if (!fits)
            {
                remembered.Dispose();
            }
        }
    }

    bool Fill(OnnxModel model, LayerCut cut, Device device, int threads, Sampling sampling, ReadOnlyMemory<int> samples, long limit)
    {
        if (cut.Live.Count == 0)
        {
            AddEmptyRuns(samples, sampling.RunSize);
            return true;
        }
        var graph = new ProbeGraph(model);
        foreach (string value in cut.Live)
        {
            graph.AddValue(value);
        }
        using var session = ModelSession.Open(graph.ToModel(), device, threads);
        int size = sampling.RunSize, runs = (samples.Length + size - 1) / size;
        for (int start = 0; start < samples.Length; start += size)
        {
            bool fits = true;
            sampling.ForEach(samples.Slice(start, Math.Min(size, samples.Length - start)), (run, indices) =>
                fits = Add(indices, cut.Live, session.Run(run, graph.Outputs)));
            if (!fits || _bytes / _runs.Count * runs > limit) // known after the first run already
            {
                return false;
            }
        }
        return true;
    }

    void AddEmptyRuns(ReadOnlyMemory<int> samples, int size)
    {
        for (int start = 0; start < samples.Length; start += size)
        {
            _runs[samples.Span[start]] = [];
        }
    }

    bool Add(ReadOnlyMemory<int> indices, IReadOnlyList<string> names, IReadOnlyList<OrtValue> values)
    {
        var run = _runs[indices.Span[0]] = names.Zip(values).ToDictionary(pair => pair.First, pair => pair.Second);
        foreach (var (name, value) in run)
        {
            if (!value.IsTensor || value.GetTensorTypeAndShape() is { ElementDataType: TensorElementType.String })
            {
                return false;
            }
            Types[name] = value.GetTensorTypeAndShape().ElementDataType;
            _bytes += value.GetTensorMutableRawData().Length;
        }
        return true;
    }

    public void Dispose()
    {
        foreach (var value in _runs.Values.SelectMany(run => run.Values))
        {
            value.Dispose();
        }
        _runs.Clear();
    }
}
