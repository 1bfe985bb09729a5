using OnnxLowRank.Onnx.Proto;
using OnnxLowRank.Statistics;
using OnnxLowRank.Tests.Samples;

namespace OnnxLowRank.Tests;

/// <summary>Pairs of models with known differences: A puts out what it reads, B the same with the last of three classes doubled.</summary>
public sealed class ComparerTests : IDisposable
{
    /// <summary>Logits by sample; doubling the last one turns answers 1 and 3 wrong and 4 right, and moves the others by what they have there.</summary>
    static readonly float[][] s_logits =
    [
        [5, 1, 1], // 0 → 0
        [3, 1, 2], // 0 → 2: broken
        [0, 4, 1], // 1 → 1
        [0, 4, 3], // 1 → 2: broken
        [2, 0, 1.5f], // 0 → 2: mended
        [1, 2, 0], // 1 → 1, unmoved
        [1, 0, 6], // 2 → 2, moves most
    ];

    static readonly int[] s_labels = [0, 0, 1, 1, 2, 0, 2];

    readonly TempFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    static TinyModel Scaled(float last, params long?[] dims)
    {
        var model = new TinyModel();
        model.Input("x", dims.Length > 0 ? dims : [null, 3]);
        model.Node("MatMul", ["x", model.Floats("w", [1, 0, 0, 0, 1, 0, 0, 0, last], 3, 3)], "y");
        return model;
    }

    string Save(string name, TinyModel model, params string[] outputs)
    {
        if (model.Graph.Output.Count == 0)
        {
            model.Outputs(outputs.Length > 0 ? outputs : [model.Graph.Node[^1].Output[0]]);
        }
        return _folder.File(name, model.Build().ToBytes());
    }

    ComparisonReport Compare(TinyModel a, TinyModel b, bool withLabels = true, int? batch = null, int worst = 10, string[]? outputs = null) => Comparer.Run(new()
    {
        First = Save("a.onnx", a, outputs ?? []),
        Second = Save("b.onnx", b, outputs ?? []),
        Calibration = _folder.Npy("x.npy", [s_logits.Length, 3], [.. s_logits.SelectMany(row => row)]),
        Labels = withLabels ? _folder.Npy("labels.npy", [s_labels.Length], s_labels) : null,
        Threads = 1,
        Batch = batch,
        Worst = worst,
    });

    static ComparedMetric Metric(ComparisonReport report, string name, string output = "y") =>
        report.Metrics.Single(metric => metric.Metric == name && metric.Output == output);

    /// <summary>In doubles, by definition.</summary>
    static double[] Probabilities(float[] logits)
    {
        double[] powers = Array.ConvertAll(logits, logit => Math.Exp(logit));
        return Array.ConvertAll(powers, power => power / powers.Sum());
    }

    static float[] Doubled(float[] logits) => [logits[0], logits[1], 2 * logits[2]];

    static double Change(float[] logits) => logits[2] / Math.Sqrt(logits.Sum(value => (double)value * value));

    [Theory]
    [InlineData(null)]
    [InlineData(1)]
    [InlineData(3)]
    public void Every_metric_is_what_its_definition_gives(int? batch)
    {
        var report = Compare(Scaled(1), Scaled(2), batch: batch);

        Assert.Equal(["accuracy", "agreement", "nll", "kl", "relative", "cosine"], report.Metrics.Select(metric => metric.Metric));
        Assert.Equal(7, report.Samples);
        var accuracy = PairedAccuracy.Loss(7, broken: 2, fixedCount: 1, 0.05);
        Assert.Equal(new("accuracy", "y", 5 / 7.0, 4 / 7.0, accuracy.Estimate, accuracy.Low, accuracy.High), Metric(report, "accuracy"));
        var agreement = Agreement.Loss(7, disagreements: 3, 0.05);
        Assert.Equal(new("agreement", "y", 1, 1 - 3 / 7.0, agreement.Estimate, agreement.Low, agreement.High), Metric(report, "agreement"));

        double[] before = [.. s_logits.Zip(s_labels, (row, label) => -Math.Log(Probabilities(row)[label]))];
        double[] after = [.. s_logits.Zip(s_labels, (row, label) => -Math.Log(Probabilities(Doubled(row))[label]))];
        Near(MeanInterval.OfMean([.. after.Zip(before, (b, a) => b - a)], 0.05), Metric(report, "nll"));
        Assert.Equal((before.Average(), after.Average()), (Metric(report, "nll").A!.Value, Metric(report, "nll").B!.Value), (a, b) => Math.Abs(a.Item1 - b.Item1) + Math.Abs(a.Item2 - b.Item2) < 1e-6);

        double[] kl = [.. s_logits.Select(row => Probabilities(row).Zip(Probabilities(Doubled(row)), (p, q) => p * Math.Log(p / q)).Sum())];
        Near(MeanInterval.OfRatio(kl, [1, 1, 1, 1, 1, 1, 1], 0.05), Metric(report, "kl")); // never below zero
        double[] cosines = [.. s_logits.Select(row => 1 - row.Zip(Doubled(row), (a, b) => (double)a * b).Sum() / Math.Sqrt(row.Sum(a => (double)a * a) * Doubled(row).Sum(b => (double)b * b)))];
        Near(MeanInterval.OfMean(cosines, 0.05), Metric(report, "cosine"));
        double relative = Math.Sqrt(s_logits.Sum(row => (double)row[2] * row[2]) / s_logits.Sum(row => row.Sum(value => (double)value * value)));
        Assert.Equal(relative, Metric(report, "relative").Loss, 1e-9);
        Assert.All(report.Metrics, metric => Assert.InRange(metric.Loss, metric.Low, metric.High));
        Assert.Null(Metric(report, "kl").A);
    }

    /// <summary>Floats of about 1 are rounded at 1e-7.</summary>
    static void Near(Interval expected, ComparedMetric actual)
    {
        Assert.Equal(expected.Estimate, actual.Loss, 1e-6);
        Assert.Equal(expected.Low, actual.Low, 1e-6);
        Assert.Equal(expected.High, actual.High, 1e-6);
    }

    [Fact]
    public void Classes_are_those_of_the_labels()
    {
        var classes = Compare(Scaled(1), Scaled(2)).Classes;

        Assert.Equal([0, 1, 2], classes.Select(item => item.Class));
        Assert.Equal([3, 2, 2], classes.Select(item => item.Count));
        Assert.Equal([2 / 3.0, 1, 0.5], classes.Select(item => item.A)); // sample 5 is wrong in both
        Assert.Equal([1 / 3.0, 0.5, 1], classes.Select(item => item.B));
        var last = PairedAccuracy.Loss(2, broken: 0, fixedCount: 1, 0.05);
        Assert.Equal((last.Estimate, last.Low, last.High), (classes[2].Loss, classes[2].Low, classes[2].High));
    }

    [Fact]
    public void Without_labels_classes_are_what_the_first_model_answers()
    {
        var report = Compare(Scaled(1), Scaled(2), withLabels: false);

        Assert.Equal(["agreement", "kl", "relative", "cosine"], report.Metrics.Select(metric => metric.Metric));
        Assert.Equal([(0, 3L, 1 / 3.0), (1, 3L, 2 / 3.0), (2, 1L, 1.0)], report.Classes.Select(item => (item.Class, item.Count, Math.Round(item.B, 12))), (a, b) => a.Item1 == b.Item1 && a.Item2 == b.Item2 && Math.Abs(a.Item3 - b.Item3) < 1e-9);
        var first = Agreement.Loss(3, disagreements: 2, 0.05);
        Assert.Equal((first.Low, first.High), (report.Classes[0].Low, report.Classes[0].High));
        Assert.Empty(report.Broken);
        Assert.All(report.Worst, sample => Assert.Null(sample.Label ?? sample.Broken));
    }

    [Theory]
    [InlineData(10, null)]
    [InlineData(3, 1)]
    [InlineData(0, null)]
    public void The_worst_samples_are_those_that_moved_most(int worst, int? batch)
    {
        var report = Compare(Scaled(1), Scaled(2), worst: worst, batch: batch);

        var expected = s_logits.Select((row, i) => (Sample: i, Change: Change(row))).Where(item => item.Change > 0).OrderByDescending(item => item.Change).Take(worst).ToList();
        Assert.Equal(expected.Select(item => item.Sample), report.Worst.Select(sample => sample.Sample));
        Assert.All(expected.Zip(report.Worst), pair => Assert.Equal(pair.First.Change, pair.Second.RelativeChange, 1e-6));
        Assert.Equal([1, 3], report.Broken.Select(sample => sample.Sample));
        Assert.Equal((0, 0, 2, 1), (report.Broken[0].Label, report.Broken[0].A, report.Broken[0].B, report.Broken[0].Broken));
    }

    [Fact]
    public void A_model_is_exactly_as_good_as_itself()
    {
        var report = Compare(Scaled(1), Scaled(1));

        Assert.All(report.Metrics, metric => Assert.Equal(0, metric.Loss));
        Assert.Empty(report.Worst);
        Assert.Empty(report.Broken);
    }

    [Fact]
    public void A_fixed_batch_is_met_by_an_open_one()
    {
        var expected = Compare(Scaled(1), Scaled(2));

        foreach (var (a, b) in new[] { (Scaled(1, 1, 3), Scaled(2)), (Scaled(1), Scaled(2, 1, 3)), (Scaled(1, 4, 3), Scaled(2, 4, 3)) })
        {
            var report = Compare(a, b);

            Assert.Equal(expected.Metrics, report.Metrics);
            Assert.Equal(expected.Worst, report.Worst);
            Assert.Equal(expected.Classes, report.Classes);
        }
    }

    [Fact]
    public void Every_output_has_metrics_of_its_own()
    {
        TinyModel Two(float last, float factor)
        {
            var model = Scaled(last);
            model.Node("Mul", ["x", model.Floats("factor", [factor])], "z");
            return model;
        }

        var report = Compare(Two(1, 1), Two(1, 1.25f), outputs: ["y", "z"]);

        Assert.Equal(0, Metric(report, "relative", "y").Loss);
        Assert.Equal(0.25, Metric(report, "relative", "z").Loss, 1e-6);
        Assert.DoesNotContain(report.Metrics, metric => metric.Output == "z" && metric.Metric == "accuracy"); // labels are for the first
        Assert.All(report.Worst, sample => Assert.Equal(("z", 0), (sample.Output, sample.Broken)));
    }

    [Fact]
    public void A_model_whose_outputs_are_no_numbers_is_as_bad_as_can_be()
    {
        var report = Compare(Scaled(1), Scaled(float.NaN));

        foreach (string metric in new[] { "nll", "kl", "relative", "cosine" })
        {
            Assert.Equal((double.PositiveInfinity, null), (Metric(report, metric).Loss, Metric(report, metric).B));
        }
        Assert.Equal((5 / 7.0, 0.0), (Metric(report, "accuracy").A, Metric(report, "accuracy").B));
        Assert.Equal(double.PositiveInfinity, report.Worst[0].RelativeChange);
    }

    [Fact]
    public void Probabilities_are_judged_as_such()
    {
        TinyModel Soft(float last)
        {
            var model = Scaled(last);
            model.Node("Softmax", ["y"], "p");
            return model;
        }

        var (logits, soft) = (Compare(Scaled(1), Scaled(2)), Compare(Soft(1), Soft(2)));
        foreach (string metric in new[] { "accuracy", "agreement", "nll", "kl" })
        {
            Assert.Equal(Metric(logits, metric).Loss, Metric(soft, metric, "p").Loss, 1e-6);
        }

        TinyModel bare = Scaled(1), half = Soft(1);
        bare.Node("Identity", ["y"], "p");
        var mixed = Compare(bare, half);
        Assert.DoesNotContain(mixed.Metrics, metric => metric.Metric is "nll" or "kl");
        Assert.Contains(mixed.Notes, note => note.Contains("output 'p' comes from a Softmax in one model only", StringComparison.Ordinal));
        Assert.Equal(0, Metric(mixed, "accuracy", "p").Loss);
    }

    /// <summary>ids (N, T) → rows of a table (N, T, V): the next token's logits. Tokens of one text are not independent.</summary>
    [Fact]
    public void Language_models_are_judged_by_the_next_token()
    {
        TinyModel Language(float factor)
        {
            var model = new TinyModel();
            model.Graph.Input.Add(TinyModel.Value("ids", TensorProto.Types.DataType.Int64, null, 3));
            model.Node("Gather", [model.Floats("table", [3, 0, 1, 0, 2, 0, 1, 1, 1], 3, 3), "ids"], "rows");
            model.Node("Mul", ["rows", model.Floats("factor", [factor])], "y");
            return model;
        }
        long[] ids = [0, 0, 1, 1, 1, 1, 2, 0, 2];
        _folder.Npy("ids/ids.npy", [3, 3], ids);

        var report = Comparer.Run(new()
        {
            First = Save("a.onnx", Language(1)),
            Second = Save("b.onnx", Language(0.5f)),
            Calibration = Path.Combine(_folder.Path, "ids"),
            Threads = 1,
        }, TestContext.Current.CancellationToken);

        float[][] table = [[3, 0, 1], [0, 2, 0], [1, 1, 1]];
        double Nats(float factor) => Enumerable.Range(0, 9).Where(i => i % 3 < 2)
            .Average(i => -Math.Log(Probabilities(Array.ConvertAll(table[ids[i]], value => factor * value))[ids[i + 1]]));
        Assert.Equal(Nats(0.5f) - Nats(1), Metric(report, "nll").Loss, 1e-6);
        Assert.Equal(Math.Exp(Nats(1)), Metric(report, "perplexity").A!.Value, 1e-6);
        Assert.Equal(Math.Exp(Nats(0.5f)) / Math.Exp(Nats(1)) - 1, Metric(report, "perplexity").Loss, 1e-6);
        Assert.Equal([(0, 5L), (1, 4L)], report.Classes.Select(item => (item.Class, item.Count))); // a tie is the first class
        Assert.All(report.Worst, sample => Assert.Equal((0.5, null), (Math.Round(sample.RelativeChange, 6), sample.A)));
    }
}
