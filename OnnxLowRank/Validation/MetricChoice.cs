using Microsoft.ML.OnnxRuntime.Tensors;
using OnnxLowRank.Onnx;
using OnnxLowRank.Runtime;
using OnnxLowRank.Samples;

namespace OnnxLowRank.Validation;

/// <summary>The metric that is used, and the outputs it looks at.</summary>
sealed record MetricChoice(Metric Metric, Scorer Scorer, string[] Outputs)
{
    /// <summary>
    /// The user's choice, or: accuracy with labels; else agreement for one output (N, C), C > 1, that a classifier's last operator
    /// makes; else relative error.
    /// </summary>
    /// <exception cref="ModelException">The model has no output that the metric can judge.</exception>
    /// <exception cref="DataException">The metric needs labels, or ids to take the next token from.</exception>
    public static MetricChoice Of(Metric? wanted, Labels? labels, OnnxModel model, ModelSession session)
    {
        string[] floats = [.. session.OutputNames.Where(name => session.Outputs[name] is { IsTensor: true, ElementDataType: TensorElementType.Float })];
        if (floats.Length == 0)
        {
            throw new ModelException("the model has no float32 output to compare");
        }
        var index = new GraphIndex(model.Graph);
        var metric = wanted ?? (labels != null ? Metric.Accuracy : IsClassifier(session, index, floats) ? Metric.Agreement : Metric.Relative);
        if (metric == Metric.Relative)
        {
            return new(metric, new RelativeScorer(), floats);
        }
        if (metric == Metric.Cosine)
        {
            return new(metric, new CosineScorer(), floats[..1]);
        }
        if (metric == Metric.Accuracy && labels == null)
        {
            throw new DataException("--metric accuracy needs --labels");
        }
        if (metric == Metric.Perplexity)
        {
            RequireTokens(session, floats[0], labels);
        }
        bool areProbabilities = index.Producer(floats[0])?.Is("Softmax") == true;
        Scorer scorer = metric switch
        {
            Metric.Accuracy => new AccuracyScorer(labels!, areProbabilities),
            Metric.Agreement => new AgreementScorer(),
            Metric.Perplexity => new PerplexityScorer(labels),
            _ => new KlScorer(areProbabilities),
        };
        return new(metric, scorer, floats[..1]);
    }

    static bool IsClassifier(ModelSession session, GraphIndex index, string[] floats)
    {
        if (session.OutputNames.Count != 1 || session.Outputs[floats[0]].Dimensions is not [_, var classes] || classes == 1)
        {
            return false;
        }
        return index.Producer(floats[0]) is { OpType: "Softmax" or "LogSoftmax" or "Gemm" or "MatMul" };
    }

    static void RequireTokens(ModelSession session, string output, Labels? labels)
    {
        if (session.Outputs[output].Dimensions.Length != 3)
        {
            throw new ModelException($"--metric perplexity wants an output (samples, tokens, vocabulary); '{output}' is not one");
        }
        bool hasIds = session.Inputs.Values.Any(input => input.IsTensor && input.ElementDataType is TensorElementType.Int64 or TensorElementType.Int32);
        if (labels == null && !hasIds)
        {
            throw new DataException("--metric perplexity needs --labels: the model reads no token ids to take the next token from");
        }
    }
}
