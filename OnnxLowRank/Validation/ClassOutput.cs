using System.Numerics.Tensors;

namespace OnnxLowRank.Validation;

/// <summary>
/// One sample's output read as scores of classes at places: (C) has one place, (T, V) one per token with the classes last,
/// (C, H, W) one per pixel with the classes first.
/// </summary>
readonly ref struct ClassOutput
{
    readonly ReadOnlySpan<float> _values;
    readonly int _stride;

    /// <param name="values">The sample's elements.</param>
    /// <param name="shape">The sample's shape, without the batch axis.</param>
    public ClassOutput(ReadOnlySpan<float> values, ReadOnlySpan<long> shape)
    {
        _values = values;
        bool classesFirst = shape.Length >= 3;
        Classes = shape.Length == 0 ? 1 : (int)(classesFirst ? shape[0] : shape[^1]);
        Places = Classes == 0 ? 0 : values.Length / Classes;
        _stride = classesFirst ? Places : 1;
    }

    public int Classes { get; }

    public int Places { get; }

    float At(int place, int index) => _stride == 1 ? _values[place * Classes + index] : _values[index * _stride + place];

    /// <summary>The scores of one place, contiguous; <paramref name="buffer"/> holds them when they lie apart.</summary>
    public ReadOnlySpan<float> Scores(int place, float[] buffer)
    {
        if (_stride == 1)
        {
            return _values.Slice(place * Classes, Classes);
        }
        for (int i = 0; i < Classes; i++)
        {
            buffer[i] = At(place, i);
        }
        return buffer.AsSpan(0, Classes);
    }

    /// <summary>The most likely class at a place, or −1 where a score is not a number.</summary>
    public static int Best(ReadOnlySpan<float> scores)
    {
        int best = TensorPrimitives.IndexOfMax(scores);
        return best >= 0 && float.IsFinite(scores[best]) ? best : -1;
    }

    /// <summary>
    /// ln of Σ exp(score), so that score − this is a log-probability; of scores that are log-probabilities already it is 0.
    /// </summary>
    public static double LogSum(ReadOnlySpan<float> scores)
    {
        float max = TensorPrimitives.Max(scores);
        double sum = 0;
        foreach (float score in scores)
        {
            sum += Math.Exp(score - (double)max);
        }
        return max + Math.Log(sum);
    }

    /// <summary>Probabilities below this are taken as this: a Softmax in floats rounds small ones to zero.</summary>
    const double Floor = 1e-12;

    /// <summary>ln of a probability.</summary>
    public static double Log(float probability) => Math.Log(Math.Max(probability, Floor));

    /// <summary>ln of the probability of a class.</summary>
    /// <param name="areProbabilities">Whether scores went through a Softmax; otherwise they are taken as logits or log-probabilities.</param>
    public static double LogProbability(ReadOnlySpan<float> scores, int index, bool areProbabilities) =>
        areProbabilities ? Log(scores[index]) : scores[index] - LogSum(scores);
}
