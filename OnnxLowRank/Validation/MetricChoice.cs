using Microsoft.ML.OnnxRuntime.Tensors;
using OnnxLowRank.Onnx;
using OnnxLowRank.Onnx.Proto;
using OnnxLowRank.Runtime;
using OnnxLowRank.Samples;

namespace OnnxLowRank.Validation;

/// <summary>The metric that is used, and the outputs it looks at.</summary>
sealed record MetricChoice(Metric Metric, Scorer Scorer, string[] Outputs)
{
    /// <summary>
    /// The user's choice, or: accuracy with labels; else agreement for one output (N, C), C > 1, that a classifier's last operator
    /// makes, or only copies, casts and reshapes of it; else relative error.
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
        bool areProbabilities = Maker(index, floats[0]).Node?.Is("Softmax") == true;
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
        var (maker, mayMergeAxes) = Maker(index, floats[0]);
        return maker switch
        {
            { OpType: "Gemm" or "MatMul" } => !mayMergeAxes || Columns(index, maker) == classes,
            { OpType: "Softmax" or "LogSoftmax" } => !mayMergeAxes,
            _ => false,
        };
    }

    /// <summary>The node that computes an output, seen through nodes that only copy, cast or reshape.</summary>
    /// <returns>Also whether the reshaping may have made one axis of several, so that its length is no number of classes.</returns>
    static (NodeProto? Node, bool MayMergeAxes) Maker(GraphIndex index, string value)
    {
        bool mayMergeAxes = false;
        var node = index.Producer(value);
        while (node is { OpType: "Identity" or "Cast" or "Squeeze" or "Unsqueeze" or "Reshape" or "Flatten" })
        {
            mayMergeAxes |= node.OpType is "Reshape" or "Flatten";
            node = index.Producer(node.Input[0]);
        }
        return (node, mayMergeAxes);
    }

    /// <summary>Numbers per row that a Gemm or MatMul by an initializer makes, or null.</summary>
    static long? Columns(GraphIndex index, NodeProto node) => index.Initializer(node.Input[1])?.Dims is not [var first, var second] ? null
        : node.OpType == "Gemm" && node.Int("transB", 0) != 0 ? first
        : second;

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
