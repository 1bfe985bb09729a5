using OnnxLowRank.Onnx;

namespace OnnxLowRank.Layers;

/// <summary>What a convolution's kernel reads.</summary>
static class Patches
{
    /// <summary>Per tap of the kernel, the share of output positions at which it reads a pixel and not padding, 0…1.</summary>
    /// <param name="shapes">Shape of the use's input and output in one run.</param>
    public static double[] Shares(Layer layer, LayerUse use, IReadOnlyDictionary<string, long[]> shapes)
    {
        long[] kernel = layer.Kernel, from = shapes[use.Input][2..], to = shapes[use.Output][2..];
        long[] strides = Strides(layer, use), dilations = PerAxis(layer, use, "dilations");
        double[] shares = [1];
        for (int axis = 0; axis < kernel.Length; axis++)
        {
            long before = PaddingBefore(use, axis, kernel, strides, dilations, from, to);
            var along = Enumerable.Range(0, (int)kernel[axis]).Select(tap => Enumerable.Range(0, (int)to[axis])
                .Count(position => IsInside(position * strides[axis] + tap * dilations[axis] - before, from[axis])) / (double)Math.Max(1, to[axis])).ToArray();
            shares = [.. shares.SelectMany(share => along.Select(next => share * next))];
        }
        return shares;
    }

    /// <summary>Per element of a patch, its channel's value times its tap's share.</summary>
    public static double[] Repeat(double[] channels, double[] shares) => [.. channels.SelectMany(value => shares.Select(share => value * share))];

    /// <summary>Steps between the positions that the kernel is applied to, per axis.</summary>
    public static long[] Strides(Layer layer, LayerUse use) => PerAxis(layer, use, "strides");

    /// <summary>An attribute that is 1 along every axis where it is not given.</summary>
    static long[] PerAxis(Layer layer, LayerUse use, string name) => use.Node.Ints(name) is { Length: > 0 } given ? given : Array.ConvertAll(layer.Kernel, _ => 1L);

    static bool IsInside(long position, long size) => position >= 0 && position < size;

    static long PaddingBefore(LayerUse use, int axis, long[] kernel, long[] strides, long[] dilations, long[] from, long[] to)
    {
        string auto = use.Node.Text("auto_pad", "NOTSET");
        if (auto is "SAME_UPPER" or "SAME_LOWER")
        {
            long all = Math.Max(0, (to[axis] - 1) * strides[axis] + (kernel[axis] - 1) * dilations[axis] + 1 - from[axis]);
            return auto == "SAME_UPPER" ? all / 2 : (all + 1) / 2;
        }
        return auto == "VALID" ? 0 : use.Node.Ints("pads")?[axis] ?? 0;
    }
}
