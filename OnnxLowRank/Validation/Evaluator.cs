using System.Runtime.InteropServices;
using Microsoft.ML.OnnxRuntime;
using OnnxLowRank.Calibration;
using OnnxLowRank.Onnx.Proto;
using OnnxLowRank.Runtime;
using OnnxLowRank.Samples;
using OnnxLowRank.Statistics;

namespace OnnxLowRank.Validation;

/// <summary>Measures candidates against the original. The original runs once per share; what it said is remembered.</summary>
sealed class Evaluator
{
    /// <summary>Outputs of the original that are kept at most, in bytes; beyond it the original runs again beside each candidate.</summary>
    const long RememberedBytes = 512L << 20;

    readonly Scorer _scorer;
    readonly string[] _outputs;
    readonly Sampling _sampling;
    readonly ModelSession _original;
    readonly Dictionary<int, float[]> _remembered = [];
    long _rememberedBytes;
    float[] _joined = [];

    /// <param name="outputs">Names of the float outputs that are compared.</param>
    public Evaluator(Scorer scorer, string[] outputs, Sampling sampling, ModelSession original)
    {
        (_scorer, _outputs, _sampling, _original) = (scorer, outputs, sampling, original);
    }

    /// <summary>How much worse a candidate is on these samples.</summary>
    /// <param name="alpha">1 − confidence of the interval.</param>
    /// <exception cref="ModelException">A model cannot be run, or its outputs changed shape.</exception>
    public Loss Measure(ModelSession candidate, ReadOnlyMemory<int> samples, double alpha) =>
        Sum(Rows((run, _) => candidate.Run(run, _outputs), samples), alpha);

    /// <summary>The same, with an estimate that has less noise where the metric has one.</summary>
    public (Loss Loss, Interval? Smooth) MeasureSmoothly(ModelSession candidate, ReadOnlyMemory<int> samples, double alpha)
    {
        var rows = Rows((run, _) => candidate.Run(run, _outputs), samples);
        return (Sum(rows, alpha), _scorer.Smooth(rows, alpha));
    }

    /// <summary>Runs the original on samples that will be asked for.</summary>
    /// <returns>Whether all of them are remembered, so that the original need not run on them again.</returns>
    public bool Prepare(ReadOnlyMemory<int> samples)
    {
        _sampling.ForEach(samples, (run, indices) =>
        {
            if (_rememberedBytes <= RememberedBytes)
            {
                Remember(run, indices);
            }
        });
        return _rememberedBytes <= RememberedBytes;
    }

    /// <summary>The comparisons of a candidate's answers with the original's, one per sample: what <see cref="Sum"/> makes a loss of.</summary>
    /// <param name="candidate">What the candidate says on a run of samples: its compared outputs, which are disposed.</param>
    public List<double[]> Rows(Func<SampleRun, ReadOnlyMemory<int>, IDisposableReadOnlyCollection<OrtValue>> candidate, ReadOnlyMemory<int> samples)
    {
        var rows = new List<double[]>(samples.Length);
        _sampling.ForEach(samples, (run, indices) =>
        {
            if (!indices.Span.ToArray().All(_remembered.ContainsKey))
            {
                Remember(run, indices);
            }
            using var results = candidate(run, indices);
            Visit(results, run, indices, output =>
            {
                float[] original = _remembered[output.Sample];
                if (_scorer.KeepsOutputs && original.Length != output.Values.Length)
                {
                    throw new ModelException($"output '{output.Name}' of the rewritten model has {output.Values.Length} elements instead of {original.Length}");
                }
                rows.Add(_scorer.Compare(original, output));
            });
            Forget(indices);
        });
        return rows;
    }

    /// <summary>A candidate whose outputs are not numbers is infinitely bad, whatever the metric makes of them.</summary>
    public Loss Sum(List<double[]> rows, double alpha) => rows.TrueForAll(row => Array.TrueForAll(row, double.IsFinite))
        ? _scorer.Sum(rows, alpha)
        : new(double.PositiveInfinity, double.PositiveInfinity, double.PositiveInfinity, 0, 0, rows.Count);

    void Remember(SampleRun run, ReadOnlyMemory<int> indices)
    {
        using var results = _original.Run(run, _outputs);
        Visit(results, run, indices, output =>
        {
            float[] kept = _scorer.Remember(output);
            if (_remembered.TryAdd(output.Sample, kept))
            {
                _rememberedBytes += sizeof(float) * kept.Length;
            }
        });
    }

    void Forget(ReadOnlyMemory<int> indices)
    {
        foreach (int sample in indices.Span)
        {
            if (_rememberedBytes <= RememberedBytes)
            {
                return;
            }
            if (_remembered.Remove(sample, out float[]? kept))
            {
                _rememberedBytes -= sizeof(float) * kept.Length;
            }
        }
    }

    delegate void OutputVisitor(SampleOutput output);

    /// <summary>Cuts the outputs of a run into samples.</summary>
    void Visit(IReadOnlyList<OrtValue> results, SampleRun run, ReadOnlyMemory<int> indices, OutputVisitor visit)
    {
        long[] shape = results[0].GetTensorTypeAndShape().Shape;
        bool isWhole = _sampling.RunSize == 1 && (shape.Length == 0 || shape[0] != 1); // one sample whose output has no batch axis
        int[] lengths = new int[results.Count];
        for (int i = 0; i < run.Valid; i++)
        {
            var parts = Part(results[0], _outputs[0], i, run, isWhole);
            lengths[0] = parts.Length;
            if (results.Count > 1)
            {
                int end = 0;
                Join(parts, ref end);
                for (int output = 1; output < results.Count; output++)
                {
                    var part = Part(results[output], _outputs[output], i, run, isWhole);
                    lengths[output] = part.Length;
                    Join(part, ref end);
                }
                parts = _joined.AsSpan(0, end);
            }
            visit(new(_outputs[0], indices.Span[i], parts, isWhole ? shape : shape.AsSpan(Math.Min(1, shape.Length)), Ids(run, i), lengths));
        }
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
        var values = result.GetTensorDataAsSpan<float>();
        if (isWhole)
        {
            return values;
        }
        long[] shape = result.GetTensorTypeAndShape().Shape;
        int batch = shape.Length > 0 ? (int)shape[0] : 0;
        if (batch < run.Valid)
        {
            return run.Valid == 1 ? values : throw new ModelException(
                $"output '{name}' of shape [{string.Join(',', shape)}] does not have one entry per sample; give one sample per run (arrays with one axis more than the input)");
        }
        int size = values.Length / batch;
        return values.Slice(index * size, size);
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
