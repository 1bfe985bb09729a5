using OnnxLowRank.Layers;

namespace OnnxLowRank.Planning;

/// <summary>How often a layer's weight is applied to one sample.</summary>
/// <param name="Input">Pixels of a convolution's input; as <paramref name="Output"/> for the other kinds.</param>
/// <param name="Output">Vectors y.</param>
readonly record struct Positions(double Input, double Output);

/// <summary>One of the operators that a plan makes of a layer.</summary>
/// <param name="Positions">Vectors per sample.</param>
/// <param name="Elements">Elements of its weight that every vector meets, each once: multiply-adds per vector, none for a table's rows.</param>
/// <param name="Outputs">Numbers it writes per vector.</param>
readonly record struct Product(double Positions, double Elements, double Outputs)
{
    /// <summary>Multiply-adds per sample.</summary>
    public double Macs => Positions * Elements;

    /// <summary>The operators of a plan, in the order they run.</summary>
    public static IEnumerable<Product> Of(LayerPlan plan, Positions positions)
    {
        var layer = plan.Layer;
        if (layer.Kind == LayerKind.Constant)
        {
            yield break; // what there is to do is done when the model is loaded
        }
        bool isLookup = layer.Kind == LayerKind.Gather;
        bool isSpread = layer.Kind == LayerKind.ConvTranspose; // every input meets the whole weight
        double at = isSpread ? positions.Input : positions.Output, written = isSpread ? positions.Output / Math.Max(1, positions.Input) : 1;
        if (plan is not LayerPlan.Factorize factorize)
        {
            yield return new(at, isLookup ? 0 : layer.Elements, layer.Out * written);
            yield break;
        }
        if (factorize.IsSpatial)
        {
            long width = layer.Kernel[1];
            yield return new(positions.Output * Patches.Strides(layer, layer.Uses[0])[1], (double)factorize.Rank * layer.In / width, factorize.Rank);
            yield return new(positions.Output, (double)layer.Out * factorize.Rank * width, layer.Out);
            yield break;
        }
        double inner = (double)layer.Groups * factorize.Rank, read = layer.In;
        if (factorize.InputRank is { } inputRank)
        {
            yield return new(positions.Input, (double)inputRank * (layer.In / layer.KernelSize), inputRank);
            read = (double)inputRank * layer.KernelSize;
        }
        yield return new(at, isLookup ? 0 : inner * read, inner * written);
        if (factorize.HasUp)
        {
            yield return new(positions.Output, (double)layer.Out * factorize.Rank, layer.Out);
        }
    }
}
