using OnnxLowRank.Samples;
using OnnxLowRank.Validation;

namespace OnnxLowRank.Tests.Validation;

/// <summary>Each metric against numbers worked out by hand.</summary>
public class ScorerTests
{
    const double Alpha = 0.05;

    /// <summary>The loss of a candidate whose outputs are these, one row per sample.</summary>
    /// <param name="shape">Of one sample.</param>
    /// <param name="ids">What a language model read, per sample.</param>
    static Loss Measure(Scorer scorer, float[][] original, float[][] candidate, long[] shape, int[][]? ids = null, int[]? lengths = null)
    {
        var rows = new List<double[]>();
        for (int i = 0; i < original.Length; i++)
        {
            int[] read = ids?[i] ?? [];
            int[] sizes = lengths ?? [original[i].Length];
            float[] kept = scorer.Remember(new("out", i, original[i], shape, read, sizes));
            rows.Add(scorer.Compare(kept, new("out", i, candidate[i], shape, read, sizes)));
        }
        return scorer.Sum(rows, Alpha);
    }

    static AccuracyScorer Accuracy(int perSample, params int[] labels) => new(new Labels(labels, perSample == 1 ? [labels.Length] : [labels.Length / perSample, perSample]), areProbabilities: false);

    static float[][] OneHot(int classes, params int[] best) => [.. best.Select(b => Enumerable.Range(0, classes).Select(i => i == b ? 2f : 0f).ToArray())];

    [Fact]
    public void Accuracy_counts_answers_that_were_right_and_are_wrong_less_those_mended()
    {
        // right before: samples 0 1 2 4; right after: 0 3 4
        var loss = Measure(Accuracy(1, 0, 1, 2, 0, 1), OneHot(3, 0, 1, 2, 1, 1), OneHot(3, 0, 2, 1, 0, 1), [3]);

        Assert.Equal((0.2, 0.8, 0.6, 5), (Math.Round(loss.Estimate, 12), loss.Original, loss.Compressed, loss.Samples));
        Assert.True(loss.Low < 0 && loss.High > 0.2);
    }

    [Fact]
    public void Labels_below_zero_are_not_counted()
    {
        var loss = Measure(Accuracy(1, 0, -1, -100, 0), OneHot(3, 0, 1, 2, 0), OneHot(3, 0, 2, 1, 1), [3]);

        Assert.Equal((0.5, 1.0, 0.5), (loss.Estimate, loss.Original, loss.Compressed));
    }

    [Fact]
    public void No_label_at_all_is_an_error()
    {
        Assert.Throws<DataException>(() => Measure(Accuracy(1, -1, -1), OneHot(3, 0, 1), OneHot(3, 0, 1), [3]));
    }

    [Fact]
    public void Several_answers_per_sample_are_averaged_over_places()
    {
        // two samples of three tokens, classes last: (T, V) = (3, 2); one token is not labelled
        float[][] original = [[1, 0, 1, 0, 0, 1], [0, 1, 0, 1, 1, 0]]; // 0 0 1 | 1 1 0
        float[][] candidate = [[1, 0, 0, 1, 0, 1], [0, 1, 1, 0, 1, 0]]; // 0 1 1 | 1 0 0
        var loss = Measure(Accuracy(3, 0, 0, 1, 1, 1, -1), original, candidate, [3, 2]);

        Assert.Equal((0.4, 1.0, 0.6), (loss.Estimate, loss.Original, Math.Round(loss.Compressed, 12)));
    }

    [Fact]
    public void Pixels_have_their_classes_first()
    {
        // (C, H, W) = (2, 1, 3): class 0 at all pixels, then class 1 at all pixels
        float[][] original = [[1, 0, 1, 0, 1, 0]]; // 0 1 0
        float[][] candidate = [[1, 0, 0, 0, 1, 1]]; // 0 1 1
        var scorer = Accuracy(3, 0, 1, 0);

        float[] kept = scorer.Remember(new("out", 0, original[0], [2, 1, 3], [], [6]));
        double[] row = scorer.Compare(kept, new("out", 0, candidate[0], [2, 1, 3], [], [6]));

        Assert.Equal([1, 0, 3, 2, 3], row[..5]);
    }

    [Fact]
    public void An_output_that_is_no_number_is_a_wrong_answer()
    {
        float[][] original = OneHot(3, 0, 1), broken = [[float.NaN, float.NaN, float.NaN], [0, float.PositiveInfinity, 0]];

        var accuracy = Measure(Accuracy(1, 0, 1), original, broken, [3]);
        var agreement = Measure(new AgreementScorer(), original, broken, [3]);

        Assert.Equal((1.0, 0.0), (accuracy.Estimate, accuracy.Compressed));
        Assert.Equal((1.0, 0.0), (agreement.Estimate, agreement.Compressed));
    }

    public static TheoryData<string> Scorers => ["accuracy", "agreement", "perplexity", "kl", "cosine", "relative"];

    [Theory, MemberData(nameof(Scorers))]
    public void An_original_that_is_no_number_is_an_error_that_names_output_and_sample(string name)
    {
        Scorer scorer = name switch
        {
            "accuracy" => Accuracy(1, 0, 0),
            "agreement" => new AgreementScorer(),
            "perplexity" => new PerplexityScorer(new Labels([0, 0], [2]), areProbabilities: false),
            "kl" => new KlScorer(false),
            "cosine" => new CosineScorer(),
            _ => new RelativeScorer(),
        };

        var e = Assert.Throws<ModelException>(() => Measure(scorer, [[1, 0], [float.NaN, 0]], [[1, 0], [1, 0]], [2]));

        Assert.Equal("output 'out' of the original model is NaN or infinite on sample 1", e.Message);
    }

    [Fact]
    public void Labels_that_do_not_fit_the_output_are_errors()
    {
        var places = Assert.Throws<DataException>(() => Measure(Accuracy(3, 0, 0, 0), OneHot(3, 0), OneHot(3, 0), [3]));
        var classes = Assert.Throws<DataException>(() => Measure(Accuracy(1, 3), OneHot(3, 0), OneHot(3, 0), [3]));

        Assert.Equal("labels: 3 per sample, but output 'out' has 1 places per sample", places.Message);
        Assert.Equal("labels: sample 0 has label 3, but output 'out' has 3 classes", classes.Message);
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void The_smooth_loss_counts_answers_by_their_odds_against_the_best_other_one(bool areProbabilities)
    {
        var scorer = new AccuracyScorer(new Labels([0, 2], [2]), areProbabilities);
        float[] Scores(double[] p) => areProbabilities ? Array.ConvertAll(p, value => (float)value) : Logits(p);
        var rows = new List<double[]>();
        foreach (var (sample, before, after) in new (int, double[], double[])[] { (0, [0.6, 0.1, 0.3], [0.3, 0.1, 0.6]), (1, [0.5, 0.25, 0.25], [0.2, 0.4, 0.4]) })
        {
            rows.Add(scorer.Compare(scorer.Remember(new("out", sample, Scores(before), [3], [], [3])), new("out", sample, Scores(after), [3], [], [3])));
        }

        // σ(2·ln odds) = odds²/(1 + odds²): odds of the first sample 2 → 1/2, of the second 1/2 → 1
        Assert.Equal((0.8 - 0.2 + 0.2 - 0.5) / 2, scorer.Smooth(rows, Alpha)!.Value.Estimate, 1e-6);
    }

    [Fact]
    public void Agreement_counts_places_where_the_best_class_differs()
    {
        var loss = Measure(new AgreementScorer(), OneHot(4, 0, 1, 2, 3), OneHot(4, 0, 1, 3, 3), [4]);

        Assert.Equal((0.25, 1.0, 0.75), (loss.Estimate, loss.Original, loss.Compressed));
        Assert.True(loss.Low is > 0 and < 0.25 && loss.High > 0.25);
    }

    [Fact]
    public void Agreement_of_many_places_is_that_of_all()
    {
        var loss = Measure(new AgreementScorer(), [[1, 0, 1, 0], [1, 0, 1, 0]], [[1, 0, 0, 1], [1, 0, 1, 0]], [2, 2]);

        Assert.Equal(0.25, loss.Estimate);
    }

    /// <summary>Log-probabilities of three classes at each place, with an arbitrary constant added as logits have.</summary>
    static float[] Logits(params double[] probabilities) => [.. probabilities.Select((p, i) => (float)(Math.Log(p) + i / 3 * 0.7))];

    [Fact]
    public void Perplexity_takes_the_next_token_from_the_ids()
    {
        // ids 2 0 1: after 2 comes 0, after 0 comes 1; the last place predicts nothing that is known
        float[][] original = [Logits(0.5, 0.25, 0.25, 0.1, 0.8, 0.1, 0.3, 0.3, 0.4)];
        float[][] candidate = [Logits(0.25, 0.5, 0.25, 0.1, 0.4, 0.5, 0.9, 0.05, 0.05)];

        var loss = Measure(new PerplexityScorer(null, areProbabilities: false), original, candidate, [3, 3], [[2, 0, 1]]);

        double before = Math.Exp(-(Math.Log(0.5) + Math.Log(0.8)) / 2), after = Math.Exp(-(Math.Log(0.25) + Math.Log(0.4)) / 2);
        Assert.Equal(before, loss.Original, 1e-6);
        Assert.Equal(after, loss.Compressed, 1e-6);
        Assert.Equal(after / before - 1, loss.Estimate, 1e-6);
    }

    [Fact]
    public void Perplexity_by_labels_ignores_negative_ones()
    {
        float[][] original = [Logits(0.5, 0.25, 0.25, 0.1, 0.8, 0.1, 0.3, 0.3, 0.4)];
        float[][] candidate = [Logits(0.25, 0.5, 0.25, 0.1, 0.4, 0.5, 0.3, 0.5, 0.2)];

        var loss = Measure(new PerplexityScorer(new Labels([0, -100, 2], [1, 3]), areProbabilities: false), original, candidate, [3, 3]);

        Assert.Equal(Math.Sqrt(0.5 * 0.4 / (0.25 * 0.2)) - 1, loss.Estimate, 1e-6);
    }

    [Fact]
    public void Perplexity_is_exp_of_the_mean_over_tokens_not_over_samples()
    {
        float[][] original = [Logits(0.5, 0.25, 0.25, 0.5, 0.25, 0.25), Logits(0.5, 0.25, 0.25, 0.5, 0.25, 0.25)];
        float[][] candidate = [Logits(0.25, 0.5, 0.25, 0.25, 0.5, 0.25), Logits(0.5, 0.25, 0.25, 0.5, 0.25, 0.25)];

        var loss = Measure(new PerplexityScorer(new Labels([0, 0, 0, -1], [2, 2]), areProbabilities: false), original, candidate, [2, 3]);

        Assert.Equal(Math.Pow(2, 2.0 / 3) - 1, loss.Estimate, 1e-6);
    }

    [Fact]
    public void A_token_beyond_the_vocabulary_is_an_error()
    {
        var e = Assert.Throws<DataException>(() => Measure(new PerplexityScorer(null, areProbabilities: false), [new float[6]], [new float[6]], [2, 3], [[0, 3]]));

        Assert.Equal("sample 0 holds token 3, but output 'out' has 3 classes", e.Message);
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void Kl_is_the_divergence_of_the_original_from_the_candidate(bool areProbabilities)
    {
        double[] p = [0.5, 0.25, 0.25, 0.1, 0.8, 0.1], q = [0.25, 0.5, 0.25, 0.1, 0.4, 0.5];
        float[] Output(double[] values) => areProbabilities ? Array.ConvertAll(values, value => (float)value) : Logits(values);

        var loss = Measure(new KlScorer(areProbabilities), [Output(p)], [Output(q)], [2, 3]);
        var same = Measure(new KlScorer(areProbabilities), [Output(p)], [Output(p)], [2, 3]);

        Assert.Equal(p.Zip(q, (a, b) => a * Math.Log(a / b)).Sum() / 2, loss.Estimate, 1e-6);
        Assert.Equal(0, same.Estimate, 1e-12);
    }

    [Fact]
    public void Kl_of_probabilities_that_were_rounded_to_zero_is_finite()
    {
        var loss = Measure(new KlScorer(true), [[1, 0]], [[0, 1]], [2]);

        Assert.Equal(-Math.Log(1e-12), loss.Estimate, 1e-6);
    }

    [Fact]
    public void Kl_of_pixels_has_the_classes_first()
    {
        // two pixels, two classes: p is (0.5, 0.5) and (0.2, 0.8)
        float[] p = [.. new[] { 0.5, 0.2, 0.5, 0.8 }.Select(value => (float)value)], q = [.. new[] { 0.25, 0.2, 0.75, 0.8 }.Select(value => (float)value)];

        var loss = Measure(new KlScorer(true), [p], [q], [2, 1, 2]);

        Assert.Equal(0.5 * (0.5 * Math.Log(2) + 0.5 * Math.Log(0.5 / 0.75)), loss.Estimate, 1e-6);
    }

    [Fact]
    public void Cosine_is_one_minus_the_mean_cosine()
    {
        var loss = Measure(new CosineScorer(), [[1, 0], [3, 4], [0, 0]], [[0, 5], [6, 8], [0, 0]], [2]);

        Assert.Equal(1.0 / 3, loss.Estimate, 1e-12);
        Assert.Equal(1, loss.Original);
        Assert.Equal(2.0 / 3, loss.Compressed, 1e-12);
        Assert.Equal(1, Measure(new CosineScorer(), [[1, 0]], [[0, 0]], [2]).Estimate);
    }

    [Fact]
    public void Relative_is_the_distance_over_all_samples_in_units_of_the_outputs_length()
    {
        var loss = Measure(new RelativeScorer(), [[3, 4], [0, 12]], [[3, 4], [5, 12]], [2]);

        Assert.Equal(5.0 / 13, loss.Estimate, 1e-12);
    }

    [Fact]
    public void Of_several_outputs_the_worst_counts()
    {
        // outputs of 2 and 1 elements: 1/5 and 2/4
        var loss = Measure(new RelativeScorer(), [[3, 4, 4]], [[3, 5, 6]], [2], lengths: [2, 1]);

        Assert.Equal(0.5, loss.Estimate, 1e-12);
    }

    [Fact]
    public void An_output_that_is_always_zero_must_stay_so()
    {
        Assert.Equal(0.5, Measure(new RelativeScorer(), [[0, 4]], [[0, 6]], [2], lengths: [1, 1]).Estimate);
        Assert.Equal(double.PositiveInfinity, Measure(new RelativeScorer(), [[0, 4]], [[1e-9f, 4]], [2], lengths: [1, 1]).Estimate);
    }
}
