using Google.Protobuf;
using OnnxLowRank.Numerics;
using OnnxLowRank.Onnx;
using OnnxLowRank.Onnx.Proto;
using static OnnxLowRank.Onnx.Proto.AttributeProto.Types;
using static OnnxLowRank.Onnx.Proto.TensorProto.Types;

namespace OnnxLowRank.Tests;

/// <summary>Builds a small model node by node; every part is named as the test wants it.</summary>
sealed class TinyModel(int opset = 17, int ir = 8)
{
    int _seed;

    public GraphProto Graph { get; } = new() { Name = "tiny" };

    /// <param name="dims">Null where the size is open.</param>
    public string Input(string name, params long?[] dims)
    {
        Graph.Input.Add(Value(name, DataType.Float, dims));
        return name;
    }

    public static ValueInfoProto Value(string name, DataType type, params long?[]? dims)
    {
        var tensor = new TypeProto.Types.Tensor { ElemType = (int)type };
        if (dims != null)
        {
            tensor.Shape = new() { Dim = { dims.Select((dim, i) => dim is { } size ? new TensorShapeProto.Types.Dimension { DimValue = size } : new() { DimParam = $"d{i}" }) } };
        }
        return new() { Name = name, Type = new() { TensorType = tensor } };
    }

    public void Outputs(params string[] names) => Graph.Output.AddRange(names.Select(name => Value(name, DataType.Float, null)));

    /// <summary>An initializer of Gaussian numbers, another sequence for every one.</summary>
    public string Weight(string name, params long[] dims) => Floats(name, Random(dims, ++_seed), dims);

    public static float[] Random(long[] dims, int seed) =>
        Array.ConvertAll(Gaussian.Random(1, (int)dims.Aggregate(1L, (product, dim) => product * dim), seed).Data, value => (float)value);

    public string Floats(string name, float[] values, params long[] dims) => Tensor(TensorData.Floats(name, values, dims));

    public string Ints(string name, params long[] values) => Tensor(TensorData.Int64s(name, values));

    public string Tensor(TensorProto tensor)
    {
        Graph.Initializer.Add(tensor);
        return tensor.Name;
    }

    /// <summary>Adds a node that is named after its first output; returns that.</summary>
    public string Node(string opType, string[] inputs, string output, params (string Name, object Value)[] attributes) =>
        Node(Call(opType, inputs, [output], attributes));

    public string Node(NodeProto node)
    {
        Graph.Node.Add(node);
        return node.Output[0];
    }

    public static NodeProto Call(string opType, string[] inputs, string[] outputs, params (string Name, object Value)[] attributes)
    {
        var node = NodeAttributes.Create(opType, outputs[0] + "_node", inputs, outputs);
        foreach (var (name, value) in attributes)
        {
            node.Attribute.Add(value switch
            {
                int number => new AttributeProto { Name = name, Type = AttributeType.Int, I = number },
                long[] numbers => new AttributeProto { Name = name, Type = AttributeType.Ints, Ints = { numbers } },
                float number => new AttributeProto { Name = name, Type = AttributeType.Float, F = number },
                string text => new AttributeProto { Name = name, Type = AttributeType.String, S = ByteString.CopyFromUtf8(text) },
                TensorProto tensor => new AttributeProto { Name = name, Type = AttributeType.Tensor, T = tensor },
                GraphProto graph => new AttributeProto { Name = name, Type = AttributeType.Graph, G = graph },
                _ => throw new ArgumentException(value.GetType().Name),
            });
        }
        return node;
    }

    /// <param name="listInitializers">Whether initializers are graph inputs too, as every IR version before 4 demands.</param>
    public OnnxModel Build(bool? listInitializers = null)
    {
        if (listInitializers ?? ir < 4)
        {
            Graph.Input.AddRange(Graph.Initializer.Select(tensor => Value(tensor.Name, (DataType)tensor.DataType, [.. tensor.Dims.Select(dim => (long?)dim)])));
        }
        return OnnxModel.Of(new ModelProto { IrVersion = ir, Graph = Graph, OpsetImport = { new OperatorSetIdProto { Version = opset } } });
    }
}
