using OnnxLowRank.Calibration;
using OnnxLowRank.Onnx;
using OnnxLowRank.Runtime;
using OnnxLowRank.Samples;
using OnnxLowRank.Validation;

namespace OnnxLowRank.Tests.Validation;

/// <summary>Whole models measured against each other.</summary>
public class EvaluatorTests
{
    /// <summary>y = x·W·factor.</summary>
    static OnnxModel Model(float factor, long?[]? dims = null)
    {
        var model = new TinyModel();
        model.Input("x", dims ?? [null, 24]);
        model.Node("MatMul", ["x", model.Weight("w", 24, 5)], "a");
        model.Node("Mul", ["a", model.Floats("factor", [factor])], "y");
        model.Node("ReduceSum", ["y", model.Ints("axes", 1)], "sum", ("keepdims", 0));
        model.Outputs("y", "sum");
        return model.Build();
    }

    static Loss Measure(Scorer scorer, OnnxModel original, OnnxModel candidate, MemorySamples samples, string[] outputs, int? batch = null)
    {
        using var first = ModelSession.Open(original.ToBytes(), Device.Cpu, threads: 1);
        using var second = ModelSession.Open(candidate.ToBytes(), Device.Cpu, threads: 1);
        var evaluator = new Evaluator(scorer, outputs, new Sampling(samples, batch, CancellationToken.None), first);
        evaluator.Measure(second, samples.All[..3], 0.05); // some samples are remembered then
        return evaluator.Measure(second, samples.All, 0.05);
    }

    [Fact]
    public void What_the_original_said_before_is_remembered()
    {
        var samples = Samples();
        OnnxModel original = Model(1), candidate = Model(1.1f);
        var first = ModelSession.Open(original, Device.Cpu, threads: 1);
        using var second = ModelSession.Open(candidate, Device.Cpu, threads: 1);
        var evaluator = new Evaluator(new RelativeScorer(), ["y"], new Sampling(samples, 4, CancellationToken.None), first);

        Assert.True(evaluator.Prepare(samples.All));
        first.Dispose();

        Assert.Equal(Measure(new RelativeScorer(), original, candidate, samples, ["y"]), evaluator.Measure(second, samples.All, 0.05));
    }

    static MemorySamples Samples() => new([Feed.Random("x", 10, 24)]);

    public static TheoryData<string> Scorers => ["accuracy", "agreement", "perplexity", "kl", "cosine", "relative"];

    static Scorer Make(string name) => name switch
    {
        "accuracy" => new AccuracyScorer(new Labels([.. Enumerable.Range(0, 10).Select(i => i % 5)], [10]), areProbabilities: false),
        "agreement" => new AgreementScorer(),
        "perplexity" => new PerplexityScorer(new Labels([.. Enumerable.Range(0, 10).Select(i => i % 5)], [10]), areProbabilities: false),
        "kl" => new KlScorer(areProbabilities: false),
        "cosine" => new CosineScorer(),
        _ => new RelativeScorer(),
    };

    [Theory, MemberData(nameof(Scorers))]
    public void A_model_is_as_good_as_itself_however_it_is_batched(string name)
    {
        foreach (int? batch in new int?[] { null, 1, 3 })
        {
            var loss = Measure(Make(name), Model(1), Model(1), Samples(), ["y"], batch);

            Assert.Equal(0, loss.Estimate, 1e-6);
            Assert.Equal(10, loss.Samples);
        }
    }

    [Theory, MemberData(nameof(Scorers))]
    public void A_candidate_whose_outputs_are_no_numbers_is_as_bad_as_can_be(string name)
    {
        foreach (float factor in new[] { float.NaN, float.PositiveInfinity })
        {
            var loss = Measure(Make(name), Model(1), Model(factor), Samples(), ["y"]);

            if (name is "accuracy")
            {
                Assert.Equal((loss.Original, 0.0), (loss.Estimate, loss.Compressed)); // every right answer is lost
            }
            else
            {
                Assert.Equal(name == "agreement" ? 1 : double.PositiveInfinity, loss.Estimate);
            }
        }
    }

    [Fact]
    public void Relative_error_over_several_outputs()
    {
        var loss = Measure(Make("relative"), Model(1), Model(1.5f), Samples(), ["y", "sum"]);

        Assert.Equal(0.5, loss.Estimate, 1e-5);
    }

    [Fact]
    public void Padding_of_a_fixed_batch_is_not_measured()
    {
        var feed = Feed.Random("x", 10, 24);
        var free = Measure(Make("relative"), Model(1), Model(1.5f), new([feed]), ["y"]);

        var padded = Measure(Make("relative"), Model(1, [8, 24]), Model(1.5f, [8, 24]), new([feed], fixedBatch: 8), ["y"]);

        Assert.Equal((free.Estimate, free.Samples), (padded.Estimate, padded.Samples));
    }

    [Fact]
    public void An_output_of_another_size_is_an_error()
    {
        var model = new TinyModel();
        model.Input("x", null, 24);
        model.Node("MatMul", ["x", model.Weight("w", 24, 6)], "y");
        model.Outputs("y");

        var e = Assert.Throws<ModelException>(() => Measure(Make("relative"), Model(1), model.Build(), Samples(), ["y"]));

        Assert.Equal("output 'y' of the rewritten model has 6 elements instead of 5", e.Message);
    }

    [Fact]
    public void An_output_without_a_place_for_every_sample_is_an_error()
    {
        var model = new TinyModel();
        model.Input("x", null, 24);
        model.Node("ReduceSum", ["x", model.Ints("axes", 0)], "y", ("keepdims", 0));
        model.Node("ReduceSum", ["x"], "total", ("keepdims", 0));
        model.Outputs("y", "total");
        var built = model.Build();

        var e = Assert.Throws<ModelException>(() => Measure(Make("relative"), built, built, new([Feed.Random("x", 30, 24)]), ["y"], batch: 30));

        Assert.Contains("output 'y' of shape [24] does not have one entry per sample", e.Message, StringComparison.Ordinal);
        Assert.Equal(0, Measure(Make("relative"), built, built, Samples(), ["total"], batch: 1).Estimate);
    }

    [Fact]
    public void Whole_samples_have_outputs_without_a_batch_axis()
    {
        var model = new TinyModel();
        model.Input("x", 7, 24);
        model.Node("MatMul", ["x", model.Weight("w", 24, 5)], "y");
        model.Outputs("y");
        var built = model.Build();
        var samples = new MemorySamples([Feed.Random("x", 10, 7, 24)], isWhole: true);
        var labels = new Labels(new int[70], [10, 7]);

        var loss = Measure(new AccuracyScorer(labels, false), built, built, samples, ["y"]);

        Assert.Equal(0, loss.Estimate);
        Assert.True(loss.Original is > 0 and < 1);
    }
}
