using OnnxLowRank.Onnx.Proto;
using OnnxLowRank.Runtime;
using OnnxLowRank.Samples;
using OnnxLowRank.Validation;

namespace OnnxLowRank.Tests.Validation;

public class MetricChoiceTests
{
    static readonly Labels s_labels = new([0, 1], [2]);

    /// <summary>x (?, 24) through a MatMul to (?, classes), and what else a test adds.</summary>
    static TinyModel Model(int classes = 5)
    {
        var model = new TinyModel();
        model.Input("x", null, 24);
        model.Node("MatMul", ["x", model.Weight("w", 24, classes)], "y");
        return model;
    }

    static MetricChoice Choose(TinyModel model, Metric? wanted = null, Labels? labels = null)
    {
        if (model.Graph.Output.Count == 0)
        {
            model.Outputs(model.Graph.Node[^1].Output[0]);
        }
        var built = model.Build();
        using var session = ModelSession.Open(built.ToBytes(), Device.Cpu, threads: 1);
        return MetricChoice.Of(wanted, labels, built, session);
    }

    [Fact]
    public void Labels_mean_accuracy()
    {
        Assert.Equal(Metric.Accuracy, Choose(Model(), labels: s_labels).Metric);
    }

    [Theory]
    [InlineData("MatMul")]
    [InlineData("Softmax")]
    [InlineData("LogSoftmax")]
    public void Classifiers_are_judged_by_agreement(string last)
    {
        var model = Model();
        if (last != "MatMul")
        {
            model.Node(last, ["y"], "z");
        }

        Assert.Equal(Metric.Agreement, Choose(model).Metric);
    }

    /// <summary>x (?, 24) → probabilities or numbers (?, 5) → copied, cast, and given another axis and rid of it again.</summary>
    [Theory]
    [InlineData("Softmax", Metric.Agreement)]
    [InlineData("LogSoftmax", Metric.Agreement)]
    [InlineData("Identity", Metric.Agreement)] // a MatMul is behind it
    [InlineData("Relu", Metric.Relative)]
    public void Copies_casts_and_axes_of_one_do_not_hide_a_classifier(string last, Metric expected)
    {
        var model = Model();
        model.Node(last, ["y"], "last");
        model.Node("Identity", ["last"], "copied");
        model.Node("Cast", ["copied"], "half", ("to", (int)TensorProto.Types.DataType.Float16));
        model.Node("Cast", ["half"], "whole", ("to", (int)TensorProto.Types.DataType.Float));
        model.Node("Unsqueeze", ["whole", model.Ints("axes", 1)], "wide");
        model.Node("Squeeze", ["wide", "axes"], "z");

        Assert.Equal(expected, Choose(model).Metric);
    }

    [Theory]
    [InlineData(5, Metric.Agreement)]
    [InlineData(10, Metric.Relative)] // two rows became one: an axis of 10, but no 10 classes
    public void A_reshaped_product_is_a_classifier_when_its_columns_are_the_classes(int columns, Metric expected)
    {
        var model = Model();
        model.Node("Reshape", ["y", model.Ints("shape", -1, columns)], "z");

        Assert.Equal(expected, Choose(model).Metric);
    }

    [Fact]
    public void A_reshaped_Softmax_may_be_of_several_things()
    {
        var model = Model();
        model.Node("Softmax", ["y"], "last");
        model.Node("Reshape", ["last", model.Ints("shape", -1, 10)], "z");

        Assert.Equal(Metric.Relative, Choose(model).Metric);
    }

    [Fact]
    public void Anything_else_is_judged_by_its_relative_error()
    {
        var relu = Model();
        relu.Node("Relu", ["y"], "z");
        var sum = Model(); // several numbers behind an Add may as well be a regression
        sum.Node("Add", ["y", sum.Weight("b", 5)], "z");
        var two = Model();
        two.Node("Softmax", ["y"], "z");
        two.Outputs("z", "y");

        Assert.Equal(Metric.Relative, Choose(relu).Metric);
        Assert.Equal(Metric.Relative, Choose(sum).Metric);
        Assert.Equal(Metric.Relative, Choose(Model(classes: 1)).Metric);
        Assert.Equal(["z", "y"], Choose(two).Outputs);
    }

    [Theory]
    [InlineData(Metric.Agreement)]
    [InlineData(Metric.Kl)]
    [InlineData(Metric.Cosine)]
    [InlineData(Metric.Relative)]
    public void What_the_user_wants_wins_even_over_labels(Metric wanted)
    {
        Assert.Equal(wanted, Choose(Model(), wanted, s_labels).Metric);
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void Kl_knows_a_Softmax(bool isCopied)
    {
        var softmax = Model();
        softmax.Node("Softmax", ["y"], "z");
        if (isCopied)
        {
            softmax.Node("Identity", ["z"], "copy");
        }
        float[] p = [0.5f, 0.25f, 0.25f], q = [0.25f, 0.5f, 0.25f];

        double Loss(Scorer scorer) => scorer.Compare(scorer.Remember(new("o", 0, p, [3], [], [3])), new("o", 0, q, [3], [], [3]))[0];

        Assert.Equal(0.25 * Math.Log(2), Loss(Choose(softmax, Metric.Kl).Scorer), 1e-6);
        Assert.NotEqual(0.25 * Math.Log(2), Loss(Choose(Model(), Metric.Kl).Scorer), 1e-3);
    }

    [Fact]
    public void Outputs_that_are_no_floats_are_passed_over()
    {
        var model = Model();
        model.Node("ArgMax", ["y"], "best");
        model.Graph.Output.Add(TinyModel.Value("best", TensorProto.Types.DataType.Int64, null));
        model.Outputs("y");
        var none = Model();
        none.Node("ArgMax", ["y"], "best");
        none.Graph.Output.Add(TinyModel.Value("best", TensorProto.Types.DataType.Int64, null));

        Assert.Equal(["y"], Choose(model, Metric.Relative).Outputs);
        Assert.Throws<ModelException>(() => Choose(none));
    }

    [Fact]
    public void Metrics_say_what_they_lack()
    {
        var accuracy = Assert.Throws<DataException>(() => Choose(Model(), Metric.Accuracy));
        var perplexity = Assert.Throws<ModelException>(() => Choose(Model(), Metric.Perplexity));

        Assert.Equal("--metric accuracy needs --labels", accuracy.Message);
        Assert.Equal("--metric perplexity wants an output (samples, tokens, vocabulary); 'y' is not one", perplexity.Message);
    }

    [Fact]
    public void Perplexity_needs_ids_or_labels()
    {
        static TinyModel Tokens()
        {
            var model = new TinyModel();
            model.Input("x", null, 6, 24);
            model.Node("MatMul", ["x", model.Weight("w", 24, 5)], "y");
            return model;
        }

        var e = Assert.Throws<DataException>(() => Choose(Tokens(), Metric.Perplexity));
        var withLabels = Choose(Tokens(), Metric.Perplexity, new Labels(new int[12], [2, 6]));

        Assert.Contains("needs --labels", e.Message, StringComparison.Ordinal);
        Assert.Equal(Metric.Perplexity, withLabels.Metric);
    }
}
