using OnnxLowRank.Onnx;

namespace OnnxLowRank.Gradients;

/// <summary>Of what makes one number per channel of many positions.</summary>
static class PoolingAdjoints
{
    /// <summary>By operator.</summary>
    public static IEnumerable<(string OpType, AdjointRule Rule)> Rules =>
    [
        ("MaxPool", MaxPool),
        ("AveragePool", AveragePool),
        ("GlobalAveragePool", node => GlobalPool(node, isMean: true)),
        ("GlobalMaxPool", node => GlobalPool(node, isMean: false)),
    ];

    /// <summary>The gradient goes to where the largest number was.</summary>
    static bool MaxPool(Adjoint node)
    {
        if (node.Node.Ints("kernel_shape") is not { } kernel || Window.Of(node, kernel) is not { } window || node.InputShape()[1] < 0)
        {
            return false;
        }
        long channels = node.InputShape()[1];
        long[] positions = node.OutputShape[2..];
        if (window.IsTiling)
        {
            // (N, C, positions, 1, …) beside (N, C, positions, kernel, …)
            string Tiled(string value, bool isInput) => node.Writer.Node(
                "Reshape", [value, node.Writer.Int64s([0, channels, .. positions.SelectMany((count, axis) => new[] { count, isInput ? kernel[axis] : 1 })])]);
            string isLargest = node.AreEqual(Tiled(node.Input(), true), Tiled(node.Output, false));
            return node.Give(0, node.Shaped(node.Times(isLargest, Tiled(node.Gradient, false))));
        }
        string ones = window.Ones(node, channels);
        string BySize(string value, long size) => node.Writer.Node("Reshape", [value, node.Writer.Int64s([0, channels, size, .. positions])]);
        string isChosen = node.AreEqual(BySize(window.Gathered(node, ones, channels), window.Size), BySize(node.Output, 1));
        string chosen = node.Writer.Node("Reshape", [node.Times(isChosen, BySize(node.Gradient, 1)), node.Writer.Int64s([0, channels * window.Size, .. positions])]);
        return node.Give(0, window.Scattered(node, chosen, ones, channels));
    }

    static bool AveragePool(Adjoint node)
    {
        if (node.Node.Ints("kernel_shape") is not { } kernel || Window.Of(node, kernel) is not { } window || node.InputShape()[1] < 0 || node.Node.Int("ceil_mode", 0) != 0)
        {
            return false;
        }
        long channels = node.InputShape()[1];
        long[] positions = node.OutputShape[2..], from = node.InputShape()[2..];
        bool countsPadding = node.Node.Int("count_include_pad", 0) != 0;
        float[] shares = [1];
        for (int axis = 0; axis < kernel.Length; axis++)
        {
            float[] along = [.. Enumerable.Range(0, (int)positions[axis]).Select(position => 1f / (countsPadding ? kernel[axis] : Enumerable.Range(0, (int)kernel[axis])
                .Select(tap => position * window.Strides[axis] + tap * window.Dilations[axis] - window.Before[axis]).Count(at => at >= 0 && at < from[axis])))];
            shares = [.. shares.SelectMany(share => along.Select(next => share * next))];
        }
        var all = new float[channels * window.Size];
        Array.Fill(all, 1);
        string shared = node.Times(node.Gradient, node.Writer.Floats(shares, [1, 1, .. positions]));
        return node.Give(0, window.Scattered(node, shared, node.Writer.Floats(all, [channels, 1, .. kernel]), channels));
    }

    static bool GlobalPool(Adjoint node, bool isMean)
    {
        long[] positions = node.InputShape()[2..];
        if (positions.Any(dim => dim <= 0))
        {
            return false;
        }
        string share = isMean ? node.Scalar(1.0 / positions.Aggregate(1L, (product, dim) => product * dim)) : node.AreEqual(node.Input(), node.Output);
        string repeated = node.Writer.Node("Expand", [node.Gradient, node.Writer.Node("Shape", [node.Input()])]);
        return node.Give(0, node.Times(repeated, share));
    }
}
