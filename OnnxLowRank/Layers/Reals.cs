using static OnnxLowRank.Onnx.Proto.TensorProto.Types;

namespace OnnxLowRank.Layers;

/// <summary>Types of floats.</summary>
/// <param name="Stored">In the file.</param>
/// <param name="Run">What a Cast makes of those, where it is another type.</param>
readonly record struct Reals(DataType Stored, DataType Run)
{
    /// <summary>A layer's own.</summary>
    public static Reals Of(Layer layer) => new(layer.StoredType, layer.Type);

    /// <summary>16-bit floats in the place of a layer's wider ones.</summary>
    /// <param name="runs">Whether the layer computes in them, too; a table only looks up.</param>
    public static Reals Halves(Layer layer, bool runs) => new(DataType.Float16, runs && !layer.IsTable ? DataType.Float16 : layer.Type);

    /// <summary>Those of a bias beside a layer's weight of these: too few numbers to be worth a Cast of their own.</summary>
    public Reals OfBias(Layer layer) => Run == layer.Type ? Of(layer) : new(Run, Run);
}
