using DataType = OnnxLowRank.Onnx.Proto.TensorProto.Types.DataType;

namespace OnnxLowRank.Samples;

/// <summary>What the model says about one of its required inputs.</summary>
/// <param name="Dimensions">Null where the model leaves the size open; empty for a scalar.</param>
sealed record InputSpec(string Name, DataType ElementType, long?[] Dimensions)
{
    /// <summary>"'input' [?,1,28,28]", as in messages.</summary>
    public override string ToString() => $"'{Name}' [{string.Join(',', Dimensions.Select(d => d?.ToString() ?? "?"))}]";

    /// <summary>Checks that data of this type can be fed, and says if it has to be converted.</summary>
    /// <param name="array">The array or file, for messages.</param>
    /// <returns>Null, or a sentence for the user about a conversion.</returns>
    /// <exception cref="DataException">The types do not go together.</exception>
    public string? CheckType(string array, DataType type)
    {
        if (type == ElementType)
        {
            return null;
        }
        string given = ElementTypes.Name(type), wanted = ElementTypes.Name(ElementType);
        if (ElementValues.CanConvert(type, ElementType))
        {
            return $"{array}: {given} is converted to {wanted} for input '{Name}'";
        }
        if (ElementTypes.Size(ElementType) == 0)
        {
            throw new DataException($"{array}: input '{Name}' wants {wanted}, which calibration does not support");
        }
        string advice = ElementType is DataType.Bfloat16
            ? "NumPy has no such type: use an ONNX test-data folder with tensors of it"
            : $"save x.astype(np.{(ElementType is DataType.Bool ? "bool_" : wanted)})";
        throw new DataException($"{array}: {given} does not fit input '{Name}', which wants {wanted}; {advice}");
    }

    /// <summary>Checks the dimensions from <paramref name="firstAxis"/> of the input on against the last ones of a shape.</summary>
    /// <exception cref="DataException">A fixed dimension differs.</exception>
    public void CheckShape(string array, IReadOnlyList<long> shape, int firstAxis)
    {
        for (int axis = firstAxis; axis < Dimensions.Length; axis++)
        {
            int at = axis + shape.Count - Dimensions.Length;
            if (Dimensions[axis] is long wanted && wanted != shape[at])
            {
                throw Misfit(array, shape, $"axis {at} is {shape[at]}, not {wanted}");
            }
        }
    }

    public DataException Misfit(string array, IReadOnlyList<long> shape, string why) =>
        new($"{array}: shape {ElementTypes.Text(shape)} does not fit input {this}: {why}");
}
