using OnnxLowRank.Layers;
using OnnxLowRank.Quantization;

namespace OnnxLowRank.Planning;

/// <summary>How a weight is stored and, unless a plan is weight-only, run.</summary>
public enum WeightFormat
{
    /// <summary>Floats of the type that the layer has: 32 bits in most models.</summary>
    Float32,

    /// <summary>8-bit integers with one scale per output channel; activations are 8-bit too.</summary>
    Int8,

    /// <summary>4-bit integers with one scale per block of a row; activations are 8-bit.</summary>
    Int4,

    /// <summary>16-bit floats, for layers whose own are wider; activations too.</summary>
    Float16,

    /// <summary>3-bit integers with one scale per output channel, which become 8-bit ones when the model is loaded; activations are 8-bit.</summary>
    Int3,

    /// <summary>The same in 5 bits.</summary>
    Int5,

    /// <summary>The same in 6 bits.</summary>
    Int6,
}

static class WeightFormats
{
    /// <summary>Whether numbers are floats, without scales.</summary>
    public static bool IsReal(this WeightFormat format) => format is WeightFormat.Float32 or WeightFormat.Float16;

    /// <summary>Whether numbers are integers of fewer than 8 bits, which need unpacking or kernels of their own.</summary>
    public static bool IsFewBits(this WeightFormat format) => format is WeightFormat.Int3 or WeightFormat.Int4 or WeightFormat.Int5 or WeightFormat.Int6;

    /// <summary>Bits that a number is stored in.</summary>
    public static int Bits(this WeightFormat format) => format switch
    {
        WeightFormat.Float32 => 32,
        WeightFormat.Float16 => 16,
        WeightFormat.Int8 => 8,
        WeightFormat.Int6 => 6,
        WeightFormat.Int5 => 5,
        WeightFormat.Int4 => 4,
        WeightFormat.Int3 => 3,
        _ => throw new ArgumentOutOfRangeException(nameof(format), format, null),
    };
}

/// <summary>What will happen to one layer.</summary>
/// <remarks>Public properties are a plan's identity and its text; what follows from them is internal.</remarks>
/// <param name="Format">How weights are stored; of a layer that stays as it is, its own floats.</param>
/// <param name="Block">Numbers that share a scale, in few bits; 0: those of an output channel.</param>
/// <param name="WeightOnly">Whether floats are made of weights when the model is loaded, and activations stay floats.</param>
abstract record LayerPlan(Layer Layer, WeightFormat Format = WeightFormat.Float32, int Block = 0, bool WeightOnly = false)
{
    /// <summary>Elements of the weights that take the weight's place.</summary>
    internal virtual long Elements => Layer.Elements;

    /// <summary>The plan whose kernels this one runs once the model is loaded: of weight-only ones that in floats, of few bits with channels' scales that in 8.</summary>
    internal virtual LayerPlan AsRun => this;

    /// <summary>Types of weights that are stored as floats, and of what runs where a plan does not run on integers.</summary>
    internal Reals Reals => Format == WeightFormat.Float16 ? Reals.Halves(Layer, runs: !WeightOnly) : Reals.Of(Layer);

    /// <summary>Whether weights are stored as floats.</summary>
    internal bool StoresReals => Format.IsReal();

    /// <summary>Whether activations are integers too.</summary>
    internal bool RunsOnIntegers => !WeightOnly && !StoresReals;

    /// <summary>Of weights in few bits.</summary>
    internal NBitGrid Grid => new(Format.Bits(), Block);

    /// <summary>The layer stays as it is.</summary>
    public sealed record Keep(Layer Layer) : LayerPlan(Layer);

    /// <summary>The weight stays dense and is stored in few bits.</summary>
    /// <param name="Correction">Rank of what is added to a weight in 4 bits when the model is loaded; 0 for nothing.</param>
    public sealed record Quantize(Layer Layer, WeightFormat Format, int Block = 0, bool WeightOnly = false, int Correction = 0) : LayerPlan(Layer, Format, Block, WeightOnly)
    {
        internal override LayerPlan AsRun => WeightOnly ? new Keep(Layer) : Format.IsFewBits() && Block == 0 && !Layer.IsTable ? new Quantize(Layer, WeightFormat.Int8) : this;
    }

    /// <summary>W becomes Up·Down; a Conv's kernel may also read combinations of its input channels.</summary>
    /// <param name="Rank">r, per group; out/groups where only the input's channels are combined.</param>
    /// <param name="InputRank">Combinations of a Conv's input channels, or null where the kernel reads the channels themselves.</param>
    /// <param name="IsSpatial">Whether a Conv's kernel becomes r columns and r rows instead.</param>
    public sealed record Factorize(Layer Layer, int Rank, WeightFormat Format, int? InputRank = null, int Block = 0, bool WeightOnly = false, bool IsSpatial = false)
        : LayerPlan(Layer, Format, Block, WeightOnly)
    {
        internal override LayerPlan AsRun => WeightOnly ? this with { Format = WeightFormat.Float32, Block = 0, WeightOnly = false }
            : Format.IsFewBits() && Block == 0 ? this with { Format = WeightFormat.Int8 } : this;

        /// <summary>Whether a pointwise product with Up follows.</summary>
        internal bool HasUp => !IsSpatial && (Rank < Layer.OutPerGroup || InputRank == null);

        /// <summary>Directions of the output, per group, that are kept.</summary>
        internal int OutputRank => IsSpatial ? Layer.Out : Rank;

        /// <summary>Products that take the layer's place.</summary>
        internal int Products => 1 + (InputRank == null ? 0 : 1) + (IsCutAtRank ? 1 : 0);

        /// <summary>Whether r numbers per group stand before the last product; otherwise the rank is that of the whole output.</summary>
        internal bool IsCutAtRank => HasUp || IsSpatial;

        /// <summary>Positions of a Conv's kernel that the last product goes over, where the first one reads combinations of its channels or its columns; otherwise 1.</summary>
        internal int Slots => IsSpatial ? (int)Layer.Kernel[1] : InputRank == null ? 1 : Layer.KernelSize;

        /// <summary>Numbers, per group, between the first product and what follows.</summary>
        internal int FirstRank => InputRank ?? Rank;

        /// <summary>How a Conv is cut.</summary>
        internal string Scheme => IsSpatial ? "spatial" : InputRank == null ? "channel" : HasUp ? "tucker" : "pointwise";

        /// <summary>Elements of all factors.</summary>
        internal override long Elements => IsSpatial ? Rank * (Layer.In / Layer.Kernel[1] + Layer.Kernel[1] * Layer.Out)
            : InputRank is { } inputRank
            ? (long)inputRank * (Layer.In / Layer.KernelSize) + (long)Rank * inputRank * Layer.KernelSize + (HasUp ? (long)Layer.Out * Rank : 0)
            : (long)Rank * (Layer.Groups * Layer.In + Layer.Out);
    }
}
