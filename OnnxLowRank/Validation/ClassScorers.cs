using System.Numerics.Tensors;
using OnnxLowRank.Samples;
using OnnxLowRank.Statistics;

namespace OnnxLowRank.Validation;

/// <summary>
/// Accuracy by labels, loss = (broken − mended)/places. Rows: broken, mended, right before, right after, places, and the sums of
/// <see cref="SoftlyRight"/> before and after.
/// </summary>
/// <param name="areProbabilities">Whether the output went through a Softmax; otherwise it is taken as logits or log-probabilities.</param>
sealed class AccuracyScorer(Labels labels, bool areProbabilities) : Scorer
{
    float[] _buffer = [];

    public override float[] Remember(SampleOutput original)
    {
        var classes = original.Classes;
        var answers = labels.Of(original.Sample);
        if (classes.Places != answers.Length)
        {
            throw new DataException($"labels: {answers.Length} per sample, but output '{original.Name}' has {classes.Places} places per sample");
        }
        foreach (int answer in answers)
        {
            if (answer >= classes.Classes)
            {
                throw new DataException($"labels: sample {original.Sample} has label {answer}, but output '{original.Name}' has {classes.Classes} classes");
            }
        }
        float[] judged = Judge(original);
        return judged.Contains(float.NaN) ? throw NotFinite(original) : judged;
    }

    public override double[] Compare(float[] original, SampleOutput candidate)
    {
        float[] judged = Judge(candidate);
        double broken = 0, mended = 0, before = 0, after = 0, places = 0, softBefore = 0, softAfter = 0;
        for (int i = 0; i < judged.Length / 2; i++)
        {
            if (labels.Of(candidate.Sample)[i] < 0)
            {
                continue;
            }
            bool was = original[i] == 1, isNow = judged[i] == 1; // NaN, no answer at all, counts as wrong
            places++;
            broken += was && !isNow ? 1 : 0;
            mended += !was && isNow ? 1 : 0;
            before += was ? 1 : 0;
            after += isNow ? 1 : 0;
            softBefore += original[original.Length / 2 + i];
            softAfter += judged[judged.Length / 2 + i];
        }
        return [broken, mended, before, after, places, softBefore, softAfter];
    }

    /// <summary>
    /// First per place 1 where the answer is right, 0 where it is wrong, NaN where the output is not a number; then per place how
    /// softly right it is, 0 where there is no label.
    /// </summary>
    float[] Judge(SampleOutput output)
    {
        var classes = output.Classes;
        Array.Resize(ref _buffer, Math.Max(_buffer.Length, classes.Classes));
        var judged = new float[2 * classes.Places];
        for (int i = 0; i < classes.Places; i++)
        {
            var scores = classes.Scores(i, _buffer);
            int best = ClassOutput.Best(scores), label = labels.Of(output.Sample)[i];
            judged[i] = best < 0 ? float.NaN : best == label ? 1 : 0;
            judged[classes.Places + i] = label < 0 || best < 0 ? 0 : SoftlyRight(scores, label);
        }
        return judged;
    }

    /// <summary>
    /// A right answer's 1 and a wrong one's 0 with the step between them softened: σ(2·margin), the margin being the label's score
    /// less the best other one's, in nats. Half a nat is narrow enough that what it loses follows what accuracy loses, and wide
    /// enough that many samples count.
    /// </summary>
    float SoftlyRight(ReadOnlySpan<float> scores, int label)
    {
        double other = Math.Max(
            label > 0 ? TensorPrimitives.Max(scores[..label]) : double.NegativeInfinity,
            label + 1 < scores.Length ? TensorPrimitives.Max(scores[(label + 1)..]) : double.NegativeInfinity);
        double odds = areProbabilities ? scores[label] / Math.Max(other, 1e-30) : Math.Exp(scores[label] - other);
        return (float)(1 - 1 / (1 + odds * odds));
    }

    /// <summary>
    /// The loss of <see cref="SoftlyRight"/>: every sample near a boundary counts in it, not only those that crossed, which is less
    /// noise than counting flips.
    /// </summary>
    public override Interval? Smooth(IReadOnlyList<double[]> rows, double alpha)
    {
        var counted = rows.Where(row => row[4] > 0).ToList();
        return MeanInterval.OfRatio([.. counted.Select(row => row[5] - row[6])], Column(counted, 4), alpha);
    }

    public override Loss Sum(IReadOnlyList<double[]> rows, double alpha)
    {
        double places = rows.Sum(row => row[4]);
        if (places == 0)
        {
            throw new DataException("labels: no sample of a share has a label");
        }
        double before = rows.Sum(row => row[2]) / places, after = rows.Sum(row => row[3]) / places;
        // One answer per sample: an exact count of independent pairs. Several are correlated: the samples are the units then.
        var interval = rows.All(row => row[4] <= 1)
            ? PairedAccuracy.Loss((long)places, (long)rows.Sum(row => row[0]), (long)rows.Sum(row => row[1]), alpha)
            : MeanInterval.OfRatio([.. rows.Select(row => row[0] - row[1])], Column(rows, 4), alpha);
        return Of(interval, rows.Count, before, after);
    }
}

/// <summary>Top-1 agreement with the original. Rows: places that differ, places.</summary>
sealed class AgreementScorer : Scorer
{
    float[] _buffer = [];

    public override float[] Remember(SampleOutput original)
    {
        float[] best = Best(original);
        return best.Contains(-1) ? throw NotFinite(original) : best;
    }

    public override double[] Compare(float[] original, SampleOutput candidate)
    {
        float[] best = Best(candidate);
        return [best.Zip(original).Count(pair => pair.First != pair.Second), best.Length];
    }

    /// <summary>The most likely class at every place, −1 where a score is not a number.</summary>
    public float[] Best(SampleOutput output)
    {
        var classes = output.Classes;
        Array.Resize(ref _buffer, Math.Max(_buffer.Length, classes.Classes));
        var best = new float[classes.Places];
        for (int i = 0; i < best.Length; i++)
        {
            best[i] = ClassOutput.Best(classes.Scores(i, _buffer));
        }
        return best;
    }

    public override Loss Sum(IReadOnlyList<double[]> rows, double alpha)
    {
        double places = rows.Sum(row => row[1]), different = rows.Sum(row => row[0]);
        var interval = rows.All(row => row[1] == 1)
            ? Statistics.Agreement.Loss((long)places, (long)different, alpha)
            : MeanInterval.OfRatio(Column(rows, 0), Column(rows, 1), alpha);
        return Of(interval, rows.Count, original: 1, compressed: 1 - interval.Estimate);
    }
}

/// <summary>
/// Mean negative log-likelihood of the right answers in nats; they come from labels, or are the next ones of the ids the model read.
/// Rows: nats before, nats after, answers.
/// </summary>
/// <param name="areProbabilities">Whether the output went through a Softmax; otherwise it is taken as logits or log-probabilities.</param>
class LikelihoodScorer(Labels? labels, bool areProbabilities) : Scorer
{
    float[] _buffer = [];

    public sealed override float[] Remember(SampleOutput original)
    {
        var (nats, answers) = Nats(original);
        return float.IsFinite(nats) ? [nats, answers] : throw NotFinite(original);
    }

    public sealed override double[] Compare(float[] original, SampleOutput candidate)
    {
        var (nats, answers) = Nats(candidate);
        return [original[0], nats, answers];
    }

    /// <summary>In floats, as it is remembered: a model is then exactly as good as itself.</summary>
    (float Nats, float Answers) Nats(SampleOutput output)
    {
        var classes = output.Classes;
        Array.Resize(ref _buffer, Math.Max(_buffer.Length, classes.Classes));
        var answers = labels == null ? output.InputIds[1..] : labels.Of(output.Sample);
        double nats = 0, count = 0;
        for (int i = 0; i < Math.Min(answers.Length, classes.Places); i++)
        {
            if (answers[i] < 0)
            {
                continue;
            }
            if (answers[i] >= classes.Classes)
            {
                throw new DataException($"sample {output.Sample} holds {(labels == null ? "token" : "label")} {answers[i]}, but output '{output.Name}' has {classes.Classes} classes");
            }
            nats -= ClassOutput.LogProbability(classes.Scores(i, _buffer), answers[i], areProbabilities);
            count++;
        }
        return ((float)nats, (float)count);
    }

    public override Loss Sum(IReadOnlyList<double[]> rows, double alpha)
    {
        var (nats, before, after) = Means(rows, alpha);
        return Of(nats, rows.Count, before, after);
    }

    /// <summary>Nats per answer: what is lost, and of both models.</summary>
    protected static (Interval Loss, double Before, double After) Means(IReadOnlyList<double[]> rows, double alpha)
    {
        var counted = rows.Where(row => row[2] > 0).ToList();
        if (counted.Count == 0)
        {
            throw new DataException("labels: no sample of a share has an answer");
        }
        double answers = counted.Sum(row => row[2]);
        var loss = MeanInterval.OfRatio([.. counted.Select(row => row[1] - row[0])], Column(counted, 2), alpha);
        return (loss, counted.Sum(row => row[0]) / answers, counted.Sum(row => row[1]) / answers);
    }
}

/// <summary>Perplexity, exp of the mean negative log-likelihood; the loss is its relative growth.</summary>
sealed class PerplexityScorer(Labels? labels, bool areProbabilities) : LikelihoodScorer(labels, areProbabilities)
{
    public override Loss Sum(IReadOnlyList<double[]> rows, double alpha)
    {
        var (nats, before, after) = Means(rows, alpha);
        return Of(new(Math.Exp(nats.Estimate) - 1, Math.Exp(nats.Low) - 1, Math.Exp(nats.High) - 1), rows.Count, Math.Exp(before), Math.Exp(after));
    }
}

/// <summary>KL(original ‖ candidate). Rows: nats summed over places, places.</summary>
/// <param name="areProbabilities">Whether the output went through a Softmax; otherwise it is taken as logits or log-probabilities.</param>
sealed class KlScorer(bool areProbabilities) : Scorer
{
    public override bool KeepsOutputs => true;

    public override float[] Remember(SampleOutput original) =>
        original.Values.ToArray() is var values && values.All(float.IsFinite) ? values : throw NotFinite(original);

    public override double[] Compare(float[] original, SampleOutput candidate)
    {
        var classes = candidate.Classes;
        double nats = 0;
        var reference = new ClassOutput(original, candidate.Shape);
        float[] first = new float[classes.Classes], second = new float[classes.Classes];
        for (int i = 0; i < classes.Places; i++)
        {
            nats += Divergence(reference.Scores(i, first), classes.Scores(i, second));
        }
        return [nats, classes.Places];
    }

    double Divergence(ReadOnlySpan<float> p, ReadOnlySpan<float> q)
    {
        double logSumP = areProbabilities ? 0 : ClassOutput.LogSum(p), logSumQ = areProbabilities ? 0 : ClassOutput.LogSum(q);
        double nats = 0;
        for (int i = 0; i < p.Length; i++)
        {
            double logP = areProbabilities ? ClassOutput.Log(p[i]) : p[i] - logSumP;
            double logQ = areProbabilities ? ClassOutput.Log(q[i]) : q[i] - logSumQ;
            nats += Math.Exp(logP) * (logP - logQ);
        }
        return nats;
    }

    public override Loss Sum(IReadOnlyList<double[]> rows, double alpha) =>
        Of(MeanInterval.OfRatio(Column(rows, 0), Column(rows, 1), alpha), rows.Count);
}
