using OnnxLowRank.Onnx;
using OnnxLowRank.Onnx.Proto;

namespace OnnxLowRank.Layers;

/// <summary>What of a Conv over two axes belongs to one of them.</summary>
static class KernelAxis
{
    /// <summary>
    /// Makes a Conv go along one axis as the layer's own does, with its strides, pads and dilations there, and meet every position of the other by itself.
    /// </summary>
    /// <param name="layer">A Conv in one group.</param>
    /// <param name="axis">0 or 1.</param>
    public static NodeProto Along(this NodeProto conv, Layer layer, LayerUse use, int axis)
    {
        foreach (var attribute in use.Node.Attribute.Where(attribute => attribute.Name != "kernel_shape"))
        {
            var own = attribute.Clone();
            for (int i = 0; attribute.Name is "strides" or "dilations" or "pads" && i < own.Ints.Count; i++)
            {
                own.Ints[i] = i % 2 == axis ? own.Ints[i] : attribute.Name == "pads" ? 0 : 1;
            }
            conv.With(own);
        }
        return conv.With("kernel_shape", Shape(layer, axis));
    }

    /// <summary>The kernel along one axis.</summary>
    public static long[] Shape(Layer layer, int axis) => axis == 0 ? [layer.Kernel[0], 1] : [1, layer.Kernel[1]];
}
