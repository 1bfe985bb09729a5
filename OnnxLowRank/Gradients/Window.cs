using OnnxLowRank.Onnx;

namespace OnnxLowRank.Gradients;

/// <summary>How a kernel goes over the spatial axes of an input, as Conv and pooling operators say it.</summary>
/// <param name="Kernel">Its shape.</param>
/// <param name="Before">Padding before the first position, per axis.</param>
/// <param name="After">Padding behind the last position that the kernel reads, per axis; 0 where it does not reach the end.</param>
/// <param name="Rest">Positions at the end that no kernel reads, per axis.</param>
sealed record Window(long[] Kernel, long[] Strides, long[] Dilations, long[] Before, long[] After, long[] Rest)
{
    /// <summary>Positions of the kernel.</summary>
    public int Size => (int)Kernel.Aggregate(1L, (product, dim) => product * dim);

    /// <summary>Whether every position of the input is read once.</summary>
    public bool IsTiling => Kernel.SequenceEqual(Strides) && Dilations.All(dilation => dilation == 1) && Before.Concat(After).Concat(Rest).All(amount => amount == 0);

    /// <summary>What the node's attributes make of the shapes that were seen, or null where those depend on the number of samples.</summary>
    public static Window? Of(Adjoint node, long[] kernel)
    {
        long[] from = node.InputShape()[2..], to = node.OutputShape[2..];
        if (from.Concat(to).Any(dim => dim <= 0))
        {
            return null;
        }
        long[] PerAxis(string name) => node.Node.Ints(name) is { Length: > 0 } given ? given : Array.ConvertAll(kernel, _ => 1L);
        long[] strides = PerAxis("strides"), dilations = PerAxis("dilations"), before = new long[kernel.Length], after = new long[kernel.Length], rest = new long[kernel.Length];
        string auto = node.Node.Text("auto_pad", "NOTSET");
        for (int axis = 0; axis < kernel.Length; axis++)
        {
            // What the last kernel ends at follows from how many there are, whether that was rounded up or down.
            long reach = (to[axis] - 1) * strides[axis] + (kernel[axis] - 1) * dilations[axis] + 1, all = Math.Max(0, reach - from[axis]);
            before[axis] = auto switch
            {
                "SAME_UPPER" => all / 2,
                "SAME_LOWER" => (all + 1) / 2,
                "VALID" => 0,
                _ => node.Node.Ints("pads")?[axis] ?? 0,
            };
            long end = from[axis] + before[axis];
            (after[axis], rest[axis]) = (Math.Max(0, reach - end), Math.Max(0, end - reach));
        }
        return new(kernel, strides, dilations, before, after, rest);
    }

    /// <summary>What the kernels at all positions give back to the input's positions that they read, in sum.</summary>
    /// <param name="weight">Of a Conv.</param>
    public string Scattered(Adjoint node, string gradient, string weight, long groups) => node.Writer.Node("ConvTranspose", [gradient, weight], scatter => scatter
        .With("group", groups).With("strides", Strides).With("dilations", Dilations).With("pads", [.. Before, .. After]).With("output_padding", Rest));

    /// <summary>What the kernels read, (N, channels·size, positions): another Conv, whose kernels have a single one each.</summary>
    /// <param name="ones">From <see cref="Ones"/>.</param>
    public string Gathered(Adjoint node, string ones, long channels) => node.Writer.Node("Conv", [node.Input(), ones], gather => gather
        .With("group", channels).With("strides", Strides).With("dilations", Dilations).With("pads", [.. Before, .. After]));

    /// <summary>One kernel per channel and position, with a one there.</summary>
    public string Ones(Adjoint node, long channels)
    {
        int size = Size;
        var ones = new float[channels * size * size];
        for (long i = 0; i < channels * size; i++)
        {
            ones[i * size + i % size] = 1;
        }
        return node.Writer.Floats(ones, [channels * size, 1, .. Kernel]);
    }
}
