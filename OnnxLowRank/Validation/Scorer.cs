using OnnxLowRank.Samples;
using OnnxLowRank.Statistics;

namespace OnnxLowRank.Validation;

/// <summary>
/// One metric: what to remember of the original's output of a sample, how to compare a candidate's with it, and how to sum up.
/// A comparison is a few numbers per sample; their meaning is the scorer's own.
/// </summary>
abstract class Scorer
{
    /// <summary>What is remembered per sample may be as large as the output itself; then memory is limited by running the original again.</summary>
    public virtual bool KeepsOutputs => false;

    /// <summary>What a comparison needs of the original.</summary>
    /// <exception cref="ModelException">The original's output is not finite.</exception>
    /// <exception cref="DataException">Labels do not fit the output.</exception>
    public abstract float[] Remember(SampleOutput original);

    /// <summary>The comparison of one sample, as numbers that <see cref="Sum"/> understands.</summary>
    public abstract double[] Compare(float[] original, SampleOutput candidate);

    /// <summary>The loss over samples. A candidate whose outputs are not numbers is infinitely bad, whatever the metric makes of them.</summary>
    /// <param name="rows">One comparison per sample.</param>
    /// <param name="alpha">1 − confidence of the interval.</param>
    public Loss Total(List<double[]> rows, double alpha) => rows.TrueForAll(row => Array.TrueForAll(row, double.IsFinite))
        ? Sum(rows, alpha)
        : new(double.PositiveInfinity, double.PositiveInfinity, double.PositiveInfinity, 0, 0, rows.Count);

    /// <summary>The loss over samples whose comparisons are finite.</summary>
    public abstract Loss Sum(IReadOnlyList<double[]> rows, double alpha);

    /// <summary>An estimate of the same loss with less noise but perhaps a little bias, for searching; null where there is none.</summary>
    public virtual Interval? Smooth(IReadOnlyList<double[]> rows, double alpha) => null;

    protected static Loss Of(Interval interval, int samples, double original = 0, double compressed = 0) =>
        new(interval.Estimate, interval.Low, interval.High, original, compressed, samples);

    protected static double[] Column(IReadOnlyList<double[]> rows, int column) => [.. rows.Select(row => row[column])];

    protected static ModelException NotFinite(SampleOutput output) =>
        new($"output '{output.Name}' of the original model is NaN or infinite on sample {output.Sample}");
}

/// <summary>What a model said about one sample.</summary>
/// <param name="name">Name of the (first) output.</param>
/// <param name="sample">Index of the sample.</param>
/// <param name="values">Elements of all compared outputs, one after the other.</param>
/// <param name="shape">Shape of the first output, without the batch axis.</param>
/// <param name="inputIds">The sample's first integer input, or empty: what a language model read.</param>
/// <param name="lengths">Elements per output.</param>
readonly ref struct SampleOutput(string name, int sample, ReadOnlySpan<float> values, ReadOnlySpan<long> shape, ReadOnlySpan<int> inputIds, ReadOnlySpan<int> lengths)
{
    public string Name { get; } = name;

    public int Sample { get; } = sample;

    public ReadOnlySpan<float> Values { get; } = values;

    public ReadOnlySpan<long> Shape { get; } = shape;

    public ReadOnlySpan<int> InputIds { get; } = inputIds;

    public ReadOnlySpan<int> Lengths { get; } = lengths;

    public ClassOutput Classes { get; } = new(values, shape);
}
