using Microsoft.ML.OnnxRuntime.Tensors;
using OnnxLowRank.Onnx;
using OnnxLowRank.Onnx.Proto;
using OnnxLowRank.Runtime;
using OnnxLowRank.Samples;

namespace OnnxLowRank.Validation;

/// <summary>The metric that is used, and the outputs it looks at.</summary>
sealed record MetricChoice(Metric Metric, Scorer Scorer, string[] Outputs)
{
    /// <summary>Whether what all numbers of a row have in common does not matter, as a softmax does not see it.</summary>
    public bool AreScores => Metric is not (Metric.Relative or Metric.Cosine);

    /// <summary>
    /// The user's choice, or: accuracy with labels; else agreement for one output (N, C), C > 1, that a classifier's last operator
    /// makes, or only copies, casts and reshapes of it; else relative error.
    /// </summary>
    /// <exception cref="ModelException">The model has no output that the metric can judge.</exception>
    /// <exception cref="DataException">The metric needs labels, or ids to take the next token from.</exception>
    public static MetricChoice Of(Metric? wanted, Labels? labels, OnnxModel model, ModelSession session)
    {
        string[] floats = Floats(session);
        var index = new GraphIndex(model.Graph);
        var metric = wanted ?? (labels != null ? Metric.Accuracy : session.OutputNames.Count == 1 && IsClassifier(session, index, floats[0]) ? Metric.Agreement : Metric.Relative);
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
        bool areProbabilities = AreProbabilities(index, floats[0]);
        Scorer scorer = metric switch
        {
            Metric.Accuracy => new AccuracyScorer(labels!, areProbabilities),
            Metric.Agreement => new AgreementScorer(),
            Metric.Perplexity => new PerplexityScorer(labels, areProbabilities),
            _ => new KlScorer(areProbabilities),
        };
        return new(metric, scorer, floats[..1]);
    }

    /// <summary>The outputs that can be compared: of floats, and not always empty.</summary>
    /// <exception cref="ModelException">There is none.</exception>
    public static string[] Floats(ModelSession session)
    {
        string[] floats = [.. session.OutputNames.Where(name => session.Outputs[name] is { IsTensor: true } output && TensorType.IsReal((TensorProto.Types.DataType)(int)output.ElementDataType) && !output.Dimensions.Contains(0))];
        return floats.Length > 0 ? floats : throw new ModelException("the model has no output of floats to compare");
    }

    /// <summary>Whether an output went through a Softmax, and perhaps through rounding to 8 bits and back after it.</summary>
    public static bool AreProbabilities(GraphIndex index, string output)
    {
        var node = Maker(index, output).Node;
        while (node is { OpType: "QuantizeLinear" or "DequantizeLinear" })
        {
            node = Maker(index, node.Input[0]).Node;
        }
        return node?.Is("Softmax") == true;
    }

    /// <summary>
    /// Whether an output (N, C) holds scores of classes: one that a Softmax makes or, where it is the model's only output, a Gemm or MatMul.
    /// </summary>
    public static bool IsClassifier(ModelSession session, GraphIndex index, string output)
    {
        if (session.Outputs[output].Dimensions is not [_, var classes] || classes == 1)
        {
            return false;
        }
        var (maker, mayMergeAxes) = Maker(index, output);
        return maker switch
        {
            { OpType: "Gemm" or "MatMul" } => session.OutputNames.Count == 1 && (!mayMergeAxes || Columns(index, maker) == classes),
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
        if (labels == null && !ReadsIds(session))
        {
            throw new DataException("--metric perplexity needs --labels: the model reads no token ids to take the next token from");
        }
    }

    static bool ReadsIds(ModelSession session) =>
        session.Inputs.Values.Any(input => input.IsTensor && input.ElementDataType is TensorElementType.Int64 or TensorElementType.Int32);

    /// <summary>
    /// Whether an output (N, T, V) holds scores of the next token: the model reads ids, and a table that it looks up has V rows, so that no id is beyond V.
    /// </summary>
    public static bool IsLanguageModel(ModelSession session, GraphProto graph, GraphIndex index, string output) =>
        session.Outputs[output].Dimensions is [_, _, var vocabulary] && ReadsIds(session)
        && graph.Node.Any(node => node.Is("Gather") && index.Initializer(node.Input[0])?.Dims is [var rows, _] && rows == vocabulary);
}
