using OnnxLowRank.Onnx.Proto;

namespace OnnxLowRank.Onnx;

/// <summary>Adds nodes and constants to a model's main graph, under names that nothing in it has.</summary>
/// <param name="prefix">That names start with.</param>
sealed class GraphWriter(OnnxModel model, string prefix)
{
    readonly UniqueNames _names = new(model);

    /// <summary>The operators' version.</summary>
    public int Opset => model.Opset;

    /// <summary>Appends a node with one output.</summary>
    /// <returns>The output's name.</returns>
    public string Node(string opType, string[] inputs, Action<NodeProto>? configure = null)
    {
        string output = Fresh(opType);
        var node = NodeAttributes.Create(opType, output, inputs, [output]);
        configure?.Invoke(node);
        model.Graph.Node.Add(node);
        return output;
    }

    /// <summary>Appends a reduction over axes; from <paramref name="axesAreInputSince"/> on they are an operand.</summary>
    public string Reduced(string opType, int axesAreInputSince, string value, ReadOnlySpan<long> axes, bool keepsAxes = false)
    {
        long keeps = keepsAxes ? 1 : 0;
        if (Opset >= axesAreInputSince)
        {
            return Node(opType, [value, Int64s(axes)], node => node.With("keepdims", keeps));
        }
        long[] attribute = axes.ToArray();
        return Node(opType, [value], node => node.With("axes", attribute).With("keepdims", keeps));
    }

    /// <summary>Adds a constant: a vector of integers.</summary>
    public string Int64s(ReadOnlySpan<long> elements) => Constant(TensorData.Int64s(Fresh("integers"), elements));

    /// <summary>Adds a constant: floats in single precision.</summary>
    public string Floats(ReadOnlySpan<float> elements, params ReadOnlySpan<long> dims) => Constant(TensorData.Floats(Fresh("floats"), elements, dims));

    /// <returns>Its name.</returns>
    public string Constant(TensorProto tensor)
    {
        model.Graph.Initializer.Add(tensor);
        return tensor.Name;
    }

    /// <summary>A name of its own.</summary>
    public string Fresh(string wanted) => _names.Fresh($"{prefix}_{wanted}");
}
