using OnnxLowRank.Layers;
using OnnxLowRank.Onnx.Proto;

namespace OnnxLowRank.Calibration;

/// <summary>Vectors of a value inside the graph: one for every position of all axes but the channels'.</summary>
/// <param name="Value">Name of the value.</param>
/// <param name="Axis">The channels' axis, 0 … rank − 1.</param>
/// <param name="Rank">Number of axes; 2 of a vector that is multiplied from the left, a single column.</param>
/// <param name="Groups">Groups the channels are split into.</param>
/// <param name="Size">Channels per group.</param>
/// <param name="Type">Element type of the value.</param>
/// <param name="IsLong">Whether a sample has more positions behind its channels than channels.</param>
/// <param name="Patches">Where vectors are the patches of a Conv that reads the value, rather than the value's own.</param>
sealed record Tap(string Value, int Axis, int Rank, int Groups, int Size, TensorProto.Types.DataType Type, bool IsLong = false, PatchSource? Patches = null)
{
    /// <summary>The widest input of which all products of two channels are formed although the output is narrower: n² doubles are kept.</summary>
    const int WidestInput = 2048;

    /// <summary>
    /// Where a layer is measured: MatMul and Gemm at their input, which says what rounding a weight does and is often shared by
    /// several layers; Conv, Gather, and layers with an input that is too wide for it, at their output.
    /// </summary>
    /// <param name="shapes">Shape of every use's input and output in one run.</param>
    public static Tap Of(Layer layer, LayerUse use, IReadOnlyDictionary<string, long[]> shapes) =>
        IsAtInput(layer) ? AtInput(layer, use, shapes) : AtOutput(layer, use, shapes);

    /// <summary>The input vectors of a MatMul or Gemm.</summary>
    public static Tap AtInput(Layer layer, LayerUse use, IReadOnlyDictionary<string, long[]> shapes)
    {
        int rank = RankOf(layer, shapes[use.Input]);
        int axis = layer.Kind == LayerKind.LeftMatMul ? rank - 2 : use.TransA ? 0 : rank - 1;
        return new(use.Input, axis, rank, 1, layer.In, layer.Type, IsLongBehind(axis, shapes[use.Input], layer.In));
    }

    /// <summary>The layer's output vectors.</summary>
    public static Tap AtOutput(Layer layer, LayerUse use, IReadOnlyDictionary<string, long[]> shapes)
    {
        int outputRank = RankOf(layer, shapes[use.Output]);
        int outputAxis = layer.Kind switch
        {
            LayerKind.Conv or LayerKind.ConvTranspose => 1,
            LayerKind.LeftMatMul => outputRank - 2,
            _ => outputRank - 1,
        };
        return new(use.Output, outputAxis, outputRank, layer.Groups, layer.OutPerGroup, layer.Type, IsLongBehind(outputAxis, shapes[use.Output], layer.OutPerGroup));
    }

    /// <summary>The channels of an ungrouped Conv's input at every pixel.</summary>
    public static Tap AtConvInput(Layer layer, LayerUse use, IReadOnlyDictionary<string, long[]> shapes)
    {
        int channels = layer.In / layer.KernelSize;
        return new(use.Input, 1, shapes[use.Input].Length, 1, channels, layer.Type, IsLongBehind(1, shapes[use.Input], channels));
    }

    /// <summary>What the kernel of a Conv reads at every position of its output, per group.</summary>
    /// <param name="step">Only at every so-many-th position along each axis.</param>
    public static Tap AtPatches(Layer layer, LayerUse use, IReadOnlyDictionary<string, long[]> shapes, int step = 1)
    {
        long[] shape = shapes[use.Output];
        return new(use.Input, 1, shape.Length, layer.Groups, layer.In, layer.Type, IsLongBehind(1, shape, layer.In), new(layer, use, step));
    }

    /// <summary>What is measured follows from where channels are, and has to be the same for all uses of a layer, vectors and matrices.</summary>
    static int RankOf(Layer layer, long[] shape) => layer.Kind == LayerKind.LeftMatMul ? Math.Max(2, shape.Length) : shape.Length;

    static bool IsLongBehind(int axis, long[] shape, int channels) =>
        axis == 1 && shape.Length > 2 && shape.Skip(2).Aggregate(1L, (product, dim) => product * dim) > channels;

    /// <summary>Whether a layer is measured at its input. A Conv or Gather never is: patches and ones among zeros are no values of the graph.</summary>
    public static bool IsAtInput(Layer layer) =>
        !layer.IsConvolution && !layer.IsTable && (layer.In < Math.Max(layer.Out, WidestInput) || layer.Uses.Any(use => use.Addend != null));

    /// <summary>A value whose shape tells how many vectors there are.</summary>
    public string Shaped => Patches?.Use.Output ?? Value;

    /// <summary>How many vectors one run of this shape holds, all groups counting as one.</summary>
    public static double Vectors(Tap tap, ReadOnlySpan<long> shape)
    {
        double count = 1;
        for (int i = 0; i < shape.Length; i++)
        {
            count *= i == tap.Axis ? 1 : shape[i];
        }
        return count;
    }
}
