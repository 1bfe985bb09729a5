using OnnxLowRank.Samples;

namespace OnnxLowRank.Validation;

/// <summary>
/// Counts by class: with labels, of the places that have the label, how many answers are right; without, of those that the first model
/// gives the class, how many the second gives the same.
/// </summary>
sealed class ClassTally(Labels? labels)
{
    readonly Scorer _scorer = labels == null ? new AgreementScorer() : new AccuracyScorer(labels, areProbabilities: false);
    readonly AgreementScorer _answers = new();
    readonly SortedDictionary<int, List<double[]>> _rows = [];

    /// <summary>Per sample the class that the first and the second model hold most likely; empty where samples have several places.</summary>
    public List<(int First, int Second)> Answers { get; } = [];

    public void Add(SampleOutput first, SampleOutput second)
    {
        float[] before = _answers.Best(first), after = _answers.Best(second);
        if (before.Length == 1)
        {
            Answers.Add(((int)before[0], (int)after[0]));
        }
        var rows = new Dictionary<int, double[]>(); // places of one sample are not independent: a class has one row per sample
        for (int i = 0; i < before.Length; i++)
        {
            int answer = labels == null ? (int)before[i] : labels.Of(first.Sample)[i];
            if (answer < 0)
            {
                continue;
            }
            if (!rows.TryGetValue(answer, out double[]? row))
            {
                rows[answer] = row = new double[5];
            }
            Count(row, before[i] == answer, after[i] == answer);
        }
        foreach (var (answer, row) in rows)
        {
            if (!_rows.TryGetValue(answer, out var all))
            {
                _rows[answer] = all = [];
            }
            all.Add(row);
        }
    }

    /// <summary>As the rows of <see cref="AccuracyScorer"/> or, without labels, of <see cref="AgreementScorer"/>.</summary>
    void Count(double[] row, bool was, bool isNow)
    {
        if (labels == null)
        {
            row[0] += isNow ? 0 : 1;
            row[1]++;
            return;
        }
        row[0] += was && !isNow ? 1 : 0;
        row[1] += !was && isNow ? 1 : 0;
        row[2] += was ? 1 : 0;
        row[3] += isNow ? 1 : 0;
        row[4]++;
    }

    /// <summary>The loss of every class that occurs, and its places, in the order of the classes.</summary>
    /// <param name="alpha">1 − confidence of each interval, not of all of them together.</param>
    public IEnumerable<(int Class, long Places, Loss Loss)> Losses(double alpha) =>
        _rows.Select(item => (item.Key, (long)item.Value.Sum(row => row[labels == null ? 1 : 4]), _scorer.Sum(item.Value, alpha)));
}
