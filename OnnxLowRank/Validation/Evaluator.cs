using Microsoft.ML.OnnxRuntime;
using OnnxLowRank.Calibration;
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
    readonly OutputCuts _cuts;
    readonly Dictionary<int, float[]> _remembered = [];
    long _rememberedBytes;

    /// <param name="outputs">Names of the float outputs that are compared.</param>
    public Evaluator(Scorer scorer, string[] outputs, Sampling sampling, ModelSession original)
    {
        (_scorer, _outputs, _sampling, _original, _cuts) = (scorer, outputs, sampling, original, new(outputs, sampling));
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

    /// <summary>What a list of comparisons comes to.</summary>
    public Loss Sum(List<double[]> rows, double alpha) => _scorer.Total(rows, alpha);

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

    void Visit(IReadOnlyList<OrtValue> results, SampleRun run, ReadOnlyMemory<int> indices, OutputVisitor visit)
    {
        for (int i = 0; i < run.Valid; i++)
        {
            visit(_cuts.At(results, run, indices.Span[i], i));
        }
    }
}
