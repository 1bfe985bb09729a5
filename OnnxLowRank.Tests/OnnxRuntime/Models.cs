using Google.Protobuf;
using Microsoft.ML.OnnxRuntime;
using OnnxLowRank.Onnx.Proto;

namespace OnnxLowRank.Tests.OnnxRuntime;

/// <summary>The smallest models that make the library do what a test is about.</summary>
static class Models
{
    public static readonly RunOptions Defaults = new();

    public const TensorProto.Types.DataType Float = TensorProto.Types.DataType.Float;

    /// <summary>y = x · two, x (batch, 3).</summary>
    public static byte[] Twice() => Bytes(new()
    {
        Name = "twice",
        DocString = "about the graph",
        Input = { Tensor("x", Float, "batch", 3) },
        Output = { Tensor("y", Float, "batch", 3) },
        Initializer = { Constant("two", 2) },
        Node = { Node("Mul", ["x", "two"], ["y"]) },
    });

    /// <summary>y = x, any type, one dimension.</summary>
    public static byte[] Same(TensorProto.Types.DataType type) => Bytes(new()
    {
        Name = "same",
        Input = { Tensor("x", type, "n") },
        Output = { Tensor("y", type, "n") },
        Node = { Node("Identity", ["x"], ["y"]) },
    });

    /// <summary>Counts to the input n, so a large n keeps it busy.</summary>
    public static byte[] Loop()
    {
        var body = new GraphProto
        {
            Name = "body",
            Input = { Tensor("i", TensorProto.Types.DataType.Int64), Tensor("go", TensorProto.Types.DataType.Bool), Tensor("sum", Float) },
            Output = { Tensor("go_on", TensorProto.Types.DataType.Bool), Tensor("next", Float) },
            Initializer = { Constant("one", 1) },
            Node = { Node("Identity", ["go"], ["go_on"]), Node("Add", ["sum", "one"], ["next"]) },
        };
        var loop = Node("Loop", ["n", "", "start"], ["y"]);
        loop.Attribute.Add(new AttributeProto { Name = "body", Type = AttributeProto.Types.AttributeType.Graph, G = body });
        return Bytes(new()
        {
            Name = "loop",
            Input = { Tensor("n", TensorProto.Types.DataType.Int64) },
            Output = { Tensor("y", Float) },
            Initializer = { Constant("start", 0) },
            Node = { loop },
        });
    }

    public static byte[] Bytes(GraphProto graph) => new ModelProto
    {
        IrVersion = 8,
        ProducerName = "tests é",
        Domain = "org.example",
        ModelVersion = 7,
        DocString = "about the model",
        Graph = graph,
        OpsetImport = { new OperatorSetIdProto { Domain = "", Version = 17 } },
        MetadataProps = { new StringStringEntryProto { Key = "clé", Value = "valeur" }, new StringStringEntryProto { Key = "empty", Value = "" } },
    }.ToByteArray();

    public static NodeProto Node(string type, string[] inputs, string[] outputs) =>
        new() { OpType = type, Name = $"{type}_{outputs[0]}", Input = { inputs }, Output = { outputs } };

    /// <param name="shape">Numbers and names; null for a dimension of which nothing is known.</param>
    public static ValueInfoProto Tensor(string name, TensorProto.Types.DataType type, params object?[] shape)
    {
        var dimensions = new TensorShapeProto();
        foreach (var length in shape)
        {
            dimensions.Dim.Add(length switch
            {
                int number => new() { DimValue = number },
                string symbol => new() { DimParam = symbol },
                _ => new TensorShapeProto.Types.Dimension(),
            });
        }
        return new() { Name = name, Type = new() { TensorType = new() { ElemType = (int)type, Shape = dimensions } } };
    }

    /// <summary>A scalar initializer.</summary>
    public static TensorProto Constant(string name, float value) =>
        new() { Name = name, DataType = (int)Float, FloatData = { value } };

    /// <summary>A tensor (1, 3) on this array.</summary>
    public static OrtValue Row(float[] three) => OrtValue.CreateTensorValueFromMemory(three, [1, 3]);

    /// <summary>Runs a model with input x and output y.</summary>
    public static float[] Run(InferenceSession session, OrtValue x)
    {
        using var outputs = session.Run(Defaults, ["x"], [x], ["y"]);
        return outputs[0].GetTensorDataAsSpan<float>().ToArray();
    }
}
