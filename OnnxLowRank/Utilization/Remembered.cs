using Microsoft.ML.OnnxRuntime;
using Microsoft.ML.OnnxRuntime.Tensors;
using OnnxLowRank.Calibration;
using OnnxLowRank.Onnx;
using OnnxLowRank.Runtime;

namespace OnnxLowRank.Utilization;

/// <summary>
/// What the prefix of a <see cref="LayerCut"/> computes on samples, run by run. From one cut to the next only what lies between them is computed.
/// </summary>
/// <param name="samples">In the runs that <paramref name="sampling"/> makes of them.</param>
/// <param name="limit">Bytes that may be remembered.</param>
sealed class Remembered(OnnxModel model, Device device, int threads, Sampling sampling, ReadOnlyMemory<int> samples, long limit) : IDisposable
{
    /// <summary>By the first sample of a run.</summary>
    readonly Dictionary<int, Dictionary<string, OrtValue>> _runs = [];

    /// <summary>The live values that are remembered, and their element types.</summary>
    public IReadOnlyDictionary<string, TensorElementType> Types { get; private set; } = new Dictionary<string, TensorElementType>();

    /// <summary>The live values of a run.</summary>
    public IReadOnlyDictionary<string, OrtValue> Of(ReadOnlyMemory<int> samples) => _runs.GetValueOrDefault(samples.Span[0]) ?? [];

    /// <summary>Runs what lies before a cut.</summary>
    /// <returns>Whether its live values are remembered now. Otherwise nothing is: they take more than the limit or are no tensors.</returns>
    /// <exception cref="ModelException">ONNX Runtime refuses a part of the model, or it fails.</exception>
    public bool MoveTo(LayerCut cut)
    {
        if (cut.Live.Count == 0)
        {
            Clear();
            return true;
        }
        string[] unknown = [.. cut.Live.Where(value => !Types.ContainsKey(value))];
        var rest = model.Copy();
        LayerCut.CutAt(rest, Types, unknown);
        var graph = new ProbeGraph(rest);
        foreach (string value in unknown)
        {
            graph.AddValue(value);
        }
        Dictionary<string, TensorElementType> types = [];
        bool fits = true;
        long bytes = 0;
        int size = sampling.RunSize, runs = (samples.Length + size - 1) / size;
        using var session = unknown.Length > 0 ? ModelSession.Open(graph.ToModel(), device, threads) : null;
        for (int i = 0; fits && i < runs; i++)
        {
            sampling.ForEach(samples.Slice(i * size, Math.Min(size, samples.Length - i * size)), (run, indices) =>
            {
                var known = _runs.GetValueOrDefault(indices.Span[0]) ?? [];
                IEnumerable<OrtValue> computed = session == null ? [] : session.Run(run, graph.Outputs, known);
                var live = _runs[indices.Span[0]] = unknown.Zip(computed).ToDictionary();
                foreach (var (name, value) in known)
                {
                    if (!cut.Live.Contains(name))
                    {
                        value.Dispose();
                    }
                    else
                    {
                        live.Add(name, value);
                    }
                }
                fits = live.Values.All(value => value.IsTensor && value.GetTensorTypeAndShape().ElementDataType != TensorElementType.String);
                if (fits)
                {
                    types = live.ToDictionary(item => item.Key, item => item.Value.GetTensorTypeAndShape().ElementDataType);
                    bytes += live.Values.Sum(value => (long)value.GetTensorMutableRawData().Length);
                }
            });
            fits &= bytes / (i + 1.0) * runs <= limit; // known after the first run already
        }
        Types = types;
        if (!fits)
        {
            Clear();
        }
        return fits;
    }

    void Clear()
    {
        foreach (var value in _runs.Values.SelectMany(run => run.Values))
        {
            value.Dispose();
        }
        _runs.Clear();
        Types = new Dictionary<string, TensorElementType>();
    }

    public void Dispose() => Clear();
}
