using Google.Protobuf;
using OnnxLowRank.Onnx;
using OnnxLowRank.Onnx.Proto;
using static OnnxLowRank.Onnx.Proto.TensorProto.Types;

namespace OnnxLowRank.Tests.Cli;

/// <summary>The whole job on models that compute in other floats, and on one whose layers are in functions.</summary>
public class ElementTypeTests
{
    static ModelProto Classifier(DataType type)
    {
        var model = Playground.Classifier();
        for (int i = 0; i < model.Graph.Initializer.Count; i++)
        {
            var tensor = model.Graph.Initializer[i];
            model.Graph.Initializer[i] = TensorData.Reals(tensor.Name, type, tensor.ToFloats(), [.. tensor.Dims]);
        }
        foreach (var value in model.Graph.Input.Concat(model.Graph.Output))
        {
            value.Type.TensorType.ElemType = (int)type;
        }
        return model;
    }

    /// <summary>Samples are float32 files, which are converted.</summary>
    [Theory]
    [InlineData((int)DataType.Float16, "fp32", "fp16")]
    [InlineData((int)DataType.Float16, "int8", "int8")]
    [InlineData((int)DataType.Float16, "auto", null)]
    [InlineData((int)DataType.Double, "fp32", "fp64")]
    public void A_model_of_other_floats_becomes_smaller_and_keeps_its_type(int type, string format, string? written)
    {
        using var playground = new Playground();
        playground.Save(Classifier((DataType)type));
        long before = new FileInfo(playground.Input).Length;

        var result = playground.Run("--format", format, "--no-timing", "--metric", "relative", "--tolerance", "0.1", "--report", "r.json");

        Assert.True(result.Exit == 0, result.Error);
        var model = OnnxModel.Load(playground.Output);
        Assert.Equal([type, type], model.Graph.Input.Concat(model.Graph.Output).Select(value => value.Type.TensorType.ElemType));
        Assert.InRange(new FileInfo(playground.Output).Length, 1, before - 1);
        if (written != null)
        {
            Assert.Contains($"\"format\": \"{written}\"", File.ReadAllText(playground.PathOf("r.json")), StringComparison.Ordinal);
        }
    }

    [Fact]
    public void Layers_of_functions_are_compressed_where_they_are_called()
    {
        using var playground = new Playground();
        var model = Playground.Classifier();
        var hidden = model.Graph.Node[0];
        var function = new FunctionProto
        {
            Name = "dense",
            Domain = "org.example",
            Input = { "a", "w", "b" },
            Output = { "c" },
            Node = { hidden.Clone() },
            OpsetImport = { new OperatorSetIdProto { Version = 17 } },
        };
        (function.Node[0].Input[0], function.Node[0].Input[1], function.Node[0].Input[2], function.Node[0].Output[0]) = ("a", "w", "b", "c");
        var call = NodeAttributes.Create("dense", "first", ["x", "w1", "b1"], ["h"], "org.example");
        model.Graph.Node[0] = call;
        model.Functions.Add(function);
        model.OpsetImport.Add(new OperatorSetIdProto { Domain = "org.example", Version = 1 });
        playground.Write("in.onnx", model.ToByteArray());

        var result = playground.Run("--format", "fp32", "--metric", "relative", "--tolerance", "0.1", "--only", "first");

        Assert.True(result.Exit == 0, result.Error);
        var written = OnnxModel.Load(playground.Output);
        Assert.Empty(written.Proto.Functions);
        Assert.Equal(2, written.Graph.Node.Count(node => node.OpType == "Gemm" && node.Name.StartsWith("first/hidden_", StringComparison.Ordinal)));
    }
}
