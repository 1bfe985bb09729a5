using OnnxLowRank.Calibration;
using OnnxLowRank.Runtime;
using OnnxLowRank.Samples;

namespace OnnxLowRank.Validation;

/// <summary>Runs two models on the same samples, once each, and compares output by output. Outputs of one run are held at a time.</summary>
/// <param name="second">The model that is judged.</param>
/// <param name="classes">Counts by class at the output <paramref name="classOutput"/>; null where no output holds scores of classes.</param>
sealed class Comparison(ModelFile first, ModelFile second, Sampling sampling, IReadOnlyList<Measure> measures, ClassTally? classes, string? classOutput)
{
    readonly string[] _outputs = [.. measures.Select(measure => measure.Output).Distinct()];

    /// <summary>Adds a row per sample to every measure.</summary>
    /// <exception cref="ModelException">A model cannot be run, the first one's outputs are not finite, or outputs are not of the same shape.</exception>
    /// <exception cref="DataException">Labels do not fit the output.</exception>
    /// <exception cref="OperationCanceledException">The user wants to stop.</exception>
    public void Run(ReadOnlyMemory<int> samples)
    {
        var cuts = Array.ConvertAll(_outputs, output => new OutputCuts([output], sampling));
        sampling.ForEach(samples, (run, indices) =>
        {
            using var before = first.Run(run, _outputs);
            using var after = second.Run(run, _outputs);
            for (int i = 0; i < run.Valid; i++)
            {
                for (int output = 0; output < _outputs.Length; output++)
                {
                    int at = i, sample = indices.Span[i];
                    var cut = cuts[output];
                    Compare(cut.At([before[output]], run, sample, at), cut.At([after[output]], run, sample, at));
                }
            }
        });
    }

    void Compare(SampleOutput before, SampleOutput after)
    {
        if (!before.Shape.SequenceEqual(after.Shape))
        {
            throw new ModelException($"{second.Path}: output '{after.Name}' is {Text(after.Shape)} for a sample, but {Text(before.Shape)} in {first.Path}");
        }
        var done = new HashSet<List<double[]>>();
        foreach (var measure in measures)
        {
            if (measure.Output == before.Name && done.Add(measure.Rows))
            {
                measure.Rows.Add(measure.Scorer.Compare(Remember(measure.Scorer, before), after));
            }
        }
        if (before.Name == classOutput)
        {
            classes?.Add(before, after);
        }
    }

    float[] Remember(Scorer scorer, SampleOutput before)
    {
        try
        {
            return scorer.Remember(before);
        }
        catch (ModelException e)
        {
            throw new ModelException($"{first.Path}: {e.Message}", e);
        }
    }

    static string Text(ReadOnlySpan<long> shape) => ElementTypes.Text(shape.ToArray());
}
