using OnnxLowRank.Onnx;
using OnnxLowRank.Runtime;
using OnnxLowRank.Samples;

namespace OnnxLowRank.Validation;

/// <summary>One metric at one output of two models that are compared.</summary>
/// <param name="Rows">A comparison per sample, in the order of the samples; metrics that are sums of the same comparisons share them.</param>
sealed record Measure(string Metric, string Output, Scorer Scorer, List<double[]> Rows)
{
    public const string Accuracy = "accuracy", Agreement = "agreement", Relative = "relative";

    Measure(string metric, string output, Scorer scorer) : this(metric, output, scorer, [])
    {
    }

    /// <summary>
    /// Every metric that applies. Labels are for the first float output. Outputs that hold scores of classes (<see cref="MetricChoice.IsClassifier"/>,
    /// <see cref="MetricChoice.IsLanguageModel"/>) are judged as such, all of them by how far they moved.
    /// </summary>
    /// <param name="notes">Gets what is left out, and why.</param>
    public static List<Measure> All(Labels? labels, OnnxModel first, OnnxModel second, ModelSession session, List<string> notes)
    {
        GraphIndex before = new(first.Graph), after = new(second.Graph);
        string[] floats = MetricChoice.Floats(session);
        foreach (string other in session.OutputNames.Except(floats))
        {
            notes.Add($"output '{other}' is not compared: it holds no floats");
        }
        var all = new List<Measure>();
        foreach (string output in floats)
        {
            var own = output == floats[0] ? labels : null;
            bool isLanguage = MetricChoice.IsLanguageModel(session, first.Graph, before, output);
            if (own != null || isLanguage || MetricChoice.IsClassifier(session, before, output))
            {
                bool areProbabilities = MetricChoice.AreProbabilities(before, output), areComparable = areProbabilities == MetricChoice.AreProbabilities(after, output);
                if (!areComparable)
                {
                    notes.Add($"output '{output}' comes from a Softmax in one model only: likelihoods are not compared");
                }
                bool hasTokens = session.Outputs[output].Dimensions.Length == 3;
                all.AddRange(OfClasses(output, own, areProbabilities, areComparable, hasAnswers: own != null || isLanguage, hasTokens));
            }
            all.Add(new(Relative, output, new RelativeScorer()));
            all.Add(new("cosine", output, new CosineScorer()));
        }
        return all;
    }

    static IEnumerable<Measure> OfClasses(string output, Labels? labels, bool areProbabilities, bool areComparable, bool hasAnswers, bool hasTokens)
    {
        if (labels != null)
        {
            yield return new(Accuracy, output, new AccuracyScorer(labels, areProbabilities));
        }
        yield return new(Agreement, output, new AgreementScorer());
        if (!areComparable)
        {
            yield break;
        }
        if (hasAnswers)
        {
            var likelihood = new Measure("nll", output, new LikelihoodScorer(labels, areProbabilities));
            yield return likelihood;
            if (hasTokens)
            {
                yield return likelihood with { Metric = "perplexity", Scorer = new PerplexityScorer(labels, areProbabilities) };
            }
        }
        yield return new("kl", output, new KlScorer(areProbabilities));
    }
}
