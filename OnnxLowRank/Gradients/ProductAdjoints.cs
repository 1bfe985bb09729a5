using OnnxLowRank.Onnx;

namespace OnnxLowRank.Gradients;

/// <summary>Of matrix products and convolutions.</summary>
static class ProductAdjoints
{
    /// <summary>By operator.</summary>
    public static IEnumerable<(string OpType, AdjointRule Rule)> Rules => [("MatMul", MatMul), ("Gemm", Gemm), ("Conv", Conv), ("ConvTranspose", ConvTranspose)];

    static bool MatMul(Adjoint node)
    {
        long[] left = node.InputShape(), right = node.InputShape(1);
        if (left.Length < 2 || right.Length < 2)
        {
            return false;
        }
        if (node.Wants(0))
        {
            string gradient = Product(node, node.Gradient, Transposed(node, node.Input(1), right.Length));
            node.Give(0, node.Summed(gradient, [.. node.OutputShape[..^1], left[^1]], 0));
        }
        if (node.Wants(1))
        {
            string gradient = Product(node, Transposed(node, node.Input(), left.Length), node.Gradient);
            node.Give(1, node.Summed(gradient, [.. node.OutputShape[..^2], .. right[^2..]], 1));
        }
        return true;
    }

    /// <summary>Y = α·A'·B' + β·C, where A' and B' may be transposed.</summary>
    static bool Gemm(Adjoint node)
    {
        bool transA = node.Node.Int("transA", 0) != 0, transB = node.Node.Int("transB", 0) != 0;
        string Scaled(string gradient, string attribute) => node.Node.Float(attribute, 1) is var factor && factor == 1 ? gradient : node.Times(gradient, node.Scalar(factor));
        string OrTransposed(string value, bool isTransposed) => isTransposed ? Transposed(node, value, 2) : value;
        if (node.Wants(0))
        {
            node.Give(0, Scaled(OrTransposed(Product(node, node.Gradient, OrTransposed(node.Input(1), !transB)), transA), "alpha"));
        }
        if (node.Wants(1))
        {
            node.Give(1, Scaled(OrTransposed(Product(node, OrTransposed(node.Input(), !transA), node.Gradient), transB), "alpha"));
        }
        if (node.Wants(2))
        {
            node.GiveSummed(2, Scaled(node.Gradient, "beta"));
        }
        return true;
    }

    static string Product(Adjoint node, string left, string right) => node.Writer.Node("MatMul", [left, right]);

    /// <summary>With the last two axes exchanged.</summary>
    static string Transposed(Adjoint node, string value, int rank) =>
        node.Writer.Node("Transpose", [value], transpose => transpose.With("perm", [.. Enumerable.Range(0, rank - 2), rank - 1, rank - 2]));

    static bool Conv(Adjoint node)
    {
        if (!node.WantsOnlyFirst || Window.Of(node, node.InputShape(1)[2..]) is not { } window)
        {
            return false;
        }
        return node.Give(0, window.Scattered(node, node.Gradient, node.Input(1), node.Node.Int("group", 1)));
    }

    /// <summary>A convolution, with the same strides and pads.</summary>
    static bool ConvTranspose(Adjoint node) => node.WantsOnlyFirst && node.Node.Text("auto_pad", "NOTSET") == "NOTSET" && node.Node.Ints("output_shape") is null or [] && node.Give(
        0, node.Writer.Node("Conv", [node.Gradient, node.Input(1)], conv => conv.Attribute.AddRange(node.Node.Attribute.Where(attribute => attribute.Name != "output_padding").Select(attribute => attribute.Clone()))));
}
