using OnnxLowRank.Layers;

namespace OnnxLowRank.Planning;

/// <summary>How a weight is stored and run.</summary>
public enum WeightFormat
{
    /// <summary>32-bit floats.</summary>
    Float32,

    /// <summary>8-bit integers with one scale per output channel; activations are 8-bit too.</summary>
    Int8,

    /// <summary>4-bit integers with one scale per block of a row; activations are 8-bit.</summary>
    Int4,
}

/// <summary>What will happen to one layer.</summary>
abstract record LayerPlan(Layer Layer)
{
    /// <summary>The layer stays as it is.</summary>
    public sealed record Keep(Layer Layer) : LayerPlan(Layer);

    /// <summary>The weight stays dense and is stored in few bits.</summary>
    /// <param name="Block">Numbers that share a scale, in 4 bits; 0: those of an output channel.</param>
    public sealed record Quantize(Layer Layer, WeightFormat Format, int Block = 0) : LayerPlan(Layer);

    /// <summary>W becomes Up·Down.</summary>
    /// <param name="Rank">r, per group.</param>
    /// <param name="Block">As for <see cref="Quantize"/>.</param>
    public sealed record Factorize(Layer Layer, int Rank, WeightFormat Format, int Block = 0) : LayerPlan(Layer);
}
