using System.Numerics.Tensors;
using OnnxLowRank.Statistics;

namespace OnnxLowRank.Validation;

/// <summary>1 − cosine of the outputs. Rows: the distance.</summary>
sealed class CosineScorer : Scorer
{
    public override bool KeepsOutputs => true;

    public override float[] Remember(SampleOutput original) =>
        original.Values.IsEmpty || float.IsFinite(TensorPrimitives.MaxMagnitude(original.Values)) ? original.Values.ToArray() : throw NotFinite(original);

    public override double[] Compare(float[] original, SampleOutput candidate)
    {
        double dot = 0, a = 0, b = 0;
        for (int i = 0; i < original.Length; i++)
        {
            dot += (double)original[i] * candidate.Values[i];
            a += (double)original[i] * original[i];
            b += (double)candidate.Values[i] * candidate.Values[i];
        }
        return [a == 0 && b == 0 ? 0 : a == 0 || b == 0 ? 1 : 1 - dot / Math.Sqrt(a * b)];
    }

    public override Loss Sum(IReadOnlyList<double[]> rows, double alpha) =>
        Of(MeanInterval.OfMean(Column(rows, 0), alpha), rows.Count, original: 1, compressed: 1 - rows.Average(row => row[0]));
}

/// <summary>‖Δy‖/‖y‖, per output; the worst output counts. Rows: per output ‖Δy‖² and ‖y‖².</summary>
sealed class RelativeScorer : Scorer
{
    public override bool KeepsOutputs => true;

    public override float[] Remember(SampleOutput original) =>
        original.Values.IsEmpty || float.IsFinite(TensorPrimitives.MaxMagnitude(original.Values)) ? original.Values.ToArray() : throw NotFinite(original);

    public override double[] Compare(float[] original, SampleOutput candidate)
    {
        var row = new double[2 * candidate.Lengths.Length];
        for (int output = 0, start = 0; output < candidate.Lengths.Length; start += candidate.Lengths[output++])
        {
            for (int i = start; i < start + candidate.Lengths[output]; i++)
            {
                double difference = (double)candidate.Values[i] - original[i];
                row[2 * output] += difference * difference;
                row[2 * output + 1] += (double)original[i] * original[i];
            }
        }
        return row;
    }

    public override Loss Sum(IReadOnlyList<double[]> rows, double alpha)
    {
        var worst = new Interval(0, 0, 0);
        for (int output = 0; output < rows[0].Length / 2; output++)
        {
            double[] differences = Column(rows, 2 * output), norms = Column(rows, 2 * output + 1);
            double sum = norms.Sum();
            // An output that is zero on all samples has no scale of its own: any difference is infinitely wrong.
            var square = sum > 0 ? MeanInterval.OfRatio(differences, norms, alpha)
                : differences.Sum() == 0 ? new Interval(0, 0, 0)
                : new Interval(double.PositiveInfinity, double.PositiveInfinity, double.PositiveInfinity);
            var interval = new Interval(Math.Sqrt(square.Estimate), Math.Sqrt(Math.Max(0, square.Low)), Math.Sqrt(square.High));
            worst = interval.Estimate > worst.Estimate || double.IsNaN(interval.Estimate) ? interval : worst;
        }
        return Of(worst, rows.Count);
    }
}
