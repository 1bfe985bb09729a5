using Microsoft.ML.OnnxRuntime;
using Microsoft.ML.OnnxRuntime.Tensors;

namespace Evaluate;

/// <summary>How well a model does; NaN for what the data does not tell.</summary>
/// <param name="Accuracy">Share of labels at which the first output is largest.</param>
/// <param name="Nll">Mean negative log likelihood of the labels, in nats; outputs may be logits, log-probabilities or probabilities.</param>
/// <param name="Difference">‖y − y₀‖ / ‖y₀‖ over all float outputs, y₀ the first model's.</param>
sealed record Score(double Accuracy, double Nll, double Difference)
{
    const int Batch = 64;

    /// <param name="reference">Outputs of the first model, run by run: filled when <paramref name="isFirst"/>.</param>
    public static Score Of(InferenceSession session, string folder, NpyArray? labels, List<float[]> reference, bool isFirst)
    {
        var feed = new Feed(session, folder);
        int batch = feed.FixedBatch ?? Batch, at = 0;
        string[] outputs = [.. session.OutputNames.Where(name => session.OutputMetadata[name] is { IsTensor: true, ElementDataType: TensorElementType.Float })];
        double correct = 0, counted = 0, nll = 0, difference = 0, energy = 0;
        using var options = new RunOptions();
        for (int start = 0; start < feed.Count; start += batch)
        {
            int valid = Math.Min(batch, feed.Count - start), run = feed.FixedBatch ?? valid;
            var inputs = feed.Take(start, run);
            using var results = session.Run(options, feed.Names, inputs, outputs);
            inputs.ForEach(input => input.Dispose());
            for (int i = 0; i < outputs.Length; i++)
            {
                float[] values = results[i].GetTensorDataAsSpan<float>().ToArray();
                if (i == 0 && labels != null)
                {
                    Judge(values, (int)results[i].GetTensorTypeAndShape().Shape[^1], labels, start, valid, ref correct, ref counted, ref nll);
                }
                if (isFirst)
                {
                    reference.Add(values);
                    continue;
                }
                float[] wanted = reference[at++];
                for (int k = 0; k < values.Length; k++)
                {
                    double delta = (double)values[k] - wanted[k];
                    difference += delta * delta;
                    energy += (double)wanted[k] * wanted[k];
                }
            }
        }
        return new(correct / counted, nll / counted, isFirst ? 0 : Math.Sqrt(difference / energy));
    }

    static void Judge(float[] values, int classes, NpyArray labels, int start, int valid, ref double correct, ref double counted, ref double nll)
    {
        for (int sample = 0; sample < valid; sample++)
        {
            long[] answers = labels.Integers(start + sample);
            for (int t = 0; t < answers.Length; t++)
            {
                if (answers[t] < 0)
                {
                    continue;
                }
                var row = values.AsSpan((sample * answers.Length + t) * classes, classes);
                int best = 0;
                double sum = 0, total = 0;
                bool isDistribution = true;
                for (int c = 0; c < classes; c++)
                {
                    best = row[c] > row[best] ? c : best;
                    isDistribution &= row[c] >= 0;
                    total += row[c];
                }
                for (int c = 0; c < classes; c++)
                {
                    sum += Math.Exp(row[c] - (double)row[best]);
                }
                int answer = (int)answers[t];
                bool areProbabilities = isDistribution && Math.Abs(total - 1) < 1e-3;
                correct += best == answer ? 1 : 0;
                nll += areProbabilities ? -Math.Log(Math.Max(row[answer], 1e-30)) : row[best] + Math.Log(sum) - row[answer];
                counted++;
            }
        }
    }
}
