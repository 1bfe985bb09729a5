using Google.Protobuf;
using OnnxLowRank.Onnx.Proto;
using static OnnxLowRank.Onnx.Proto.AttributeProto.Types;

namespace OnnxLowRank.Onnx;

/// <summary>Typed access to node attributes, and short ways to write nodes.</summary>
static class NodeAttributes
{
    static AttributeProto? Find(NodeProto node, string name) => node.Attribute.FirstOrDefault(attribute => attribute.Name == name);

    public static long Int(this NodeProto node, string name, long missing) => Find(node, name)?.I ?? missing;

    public static float Float(this NodeProto node, string name, float missing) => Find(node, name)?.F ?? missing;

    public static string Text(this NodeProto node, string name, string missing) => Find(node, name)?.S.ToStringUtf8() ?? missing;

    public static TensorProto? Tensor(this NodeProto node, string name) => Find(node, name)?.T;

    /// <summary>The integers of an attribute, or null when it is absent.</summary>
    public static long[]? Ints(this NodeProto node, string name) => Find(node, name)?.Ints.ToArray();

    /// <summary>Whether this is an operator of the standard domain.</summary>
    public static bool Is(this NodeProto node, string opType) => node.OpType == opType && node.Domain is ("" or "ai.onnx");

    /// <summary>The name of input <paramref name="index"/>, empty when it is omitted.</summary>
    public static string InputOrEmpty(this NodeProto node, int index) => index < node.Input.Count ? node.Input[index] : "";

    public static NodeProto Create(string opType, string name, ReadOnlySpan<string> inputs, ReadOnlySpan<string> outputs, string domain = "")
    {
        var node = new NodeProto { OpType = opType, Name = name };
        node.Input.AddRange(inputs.ToArray());
        node.Output.AddRange(outputs.ToArray());
        if (domain.Length > 0)
        {
            node.Domain = domain;
        }
        return node;
    }

    public static NodeProto With(this NodeProto node, string name, long value) =>
        node.With(new AttributeProto { Name = name, Type = AttributeType.Int, I = value });

    public static NodeProto With(this NodeProto node, string name, ReadOnlySpan<long> values)
    {
        var attribute = new AttributeProto { Name = name, Type = AttributeType.Ints };
        attribute.Ints.AddRange(values.ToArray());
        return node.With(attribute);
    }

    public static NodeProto With(this NodeProto node, string name, string value) =>
        node.With(new AttributeProto { Name = name, Type = AttributeType.String, S = ByteString.CopyFromUtf8(value) });

    public static NodeProto With(this NodeProto node, AttributeProto attribute)
    {
        node.Attribute.Add(attribute);
        return node;
    }
}
