using OnnxLowRank.Onnx;

namespace OnnxLowRank.Gradients;

/// <summary>Of functions of a row, or with statistics that are constants.</summary>
static class NormalizationAdjoints
{
    /// <summary>Opset from which on Softmax works along one axis, not on all axes behind it.</summary>
    const int SoftmaxAlongOneAxis = 13;

    /// <summary>By operator.</summary>
    public static IEnumerable<(string OpType, AdjointRule Rule)> Rules =>
    [
        ("Softmax", node => SoftmaxAxis(node) is { } axis && node.Give(0, node.Times(node.Output, node.Minus(node.Gradient, Sum(node, node.Times(node.Gradient, node.Output), axis))))),
        ("LogSoftmax", node => SoftmaxAxis(node) is { } axis && node.Give(0, node.Minus(node.Gradient, node.Times(node.Apply("Exp", node.Output), Sum(node, node.Gradient, axis))))),
        ("LayerNormalization", node => LayerNormalization(node, isCentred: true)),
        ("RMSNormalization", node => LayerNormalization(node, isCentred: false)),
        ("BatchNormalization", BatchNormalization),
    ];

    /// <summary>The axis that a Softmax works along, or null where it is several.</summary>
    internal static long? SoftmaxAxis(Adjoint node)
    {
        int rank = node.OutputShape.Length;
        bool isOne = node.Writer.Opset >= SoftmaxAlongOneAxis;
        long axis = node.Node.Int("axis", isOne ? -1 : 1);
        axis = axis < 0 ? axis + rank : axis;
        return isOne || axis == rank - 1 ? axis : null;
    }

    static string Sum(Adjoint node, string value, long axis) => node.Writer.Reduced("ReduceSum", 13, value, [axis], keepsAxes: true);

    /// <summary>With u the input (about its mean) over its length ρ: (g − mean(g) − u·mean(g·u))/ρ, g being the gradient behind the scale.</summary>
    static bool LayerNormalization(Adjoint node, bool isCentred)
    {
        if (!node.WantsOnlyFirst)
        {
            return false;
        }
        int rank = node.InputShape().Length;
        long first = node.Node.Int("axis", -1);
        long[] axes = [.. Enumerable.Range(0, rank).Select(axis => (long)axis).Where(axis => axis >= (first < 0 ? first + rank : first))];
        string Mean(string value) => node.Writer.Reduced("ReduceMean", 18, value, axes, keepsAxes: true);
        string x = isCentred ? node.Minus(node.Input(), Mean(node.Input())) : node.Input();
        string length = node.Apply("Sqrt", node.Plus(Mean(node.Times(x, x)), node.Scalar(node.Node.Float("epsilon", 1e-5f))));
        string unit = node.Over(x, length), gradient = node.Times(node.Gradient, node.Input(1));
        string left = isCentred ? node.Minus(gradient, Mean(gradient)) : gradient;
        return node.Give(0, node.Over(node.Minus(left, node.Times(unit, Mean(node.Times(gradient, unit)))), length));
    }

    static bool BatchNormalization(Adjoint node)
    {
        int rank = node.InputShape().Length;
        if (!node.WantsOnlyFirst || node.Node.Int("training_mode", 0) != 0)
        {
            return false;
        }
        string deviation = node.Apply("Sqrt", node.Plus(node.Input(4), node.Scalar(node.Node.Float("epsilon", 1e-5f))));
        string slope = node.Writer.Node("Reshape", [node.Over(node.Input(1), deviation), node.Writer.Int64s([1, -1, .. Enumerable.Repeat(1L, Math.Max(0, rank - 2))])]);
        return node.Give(0, node.Times(node.Gradient, slope));
    }
}
