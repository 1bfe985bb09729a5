using System.Runtime.InteropServices;
using Google.Protobuf;
using OnnxLowRank.Onnx.Proto;

namespace MakeDigits;

/// <summary>The network as an ONNX model. Here its channels-last weights become ONNX's channels-first ones, and back.</summary>
static class ModelFile
{
    /// <summary>Writes opset 17: image (batch,1,28,28) → logits (batch,10).</summary>
    public static void Write(string path, Network network)
    {
        var graph = new GraphProto { Name = "digits-cnn", DocString = "Drawn digits, light on dark, values 0..1, to ten logits." };
        graph.Input.Add(Value("image", 1, Painter.Side, Painter.Side));
        graph.Output.Add(Value("logits", Network.Classes));

        Conv(graph, network.Conv1, "image", Network.Pad1);
        Add(graph, "Relu", "relu1", ["conv1"]);
        Pool(graph, "pool1", "relu1");
        Conv(graph, network.Conv2, "pool1", 0);
        Add(graph, "Relu", "relu2", ["conv2"]);
        Pool(graph, "pool2", "relu2");
        Add(graph, "Flatten", "flatten", ["pool2"]).Attribute.Add(Int("axis", 1));
        Gemm(graph, network.Fc1, "flatten");
        Add(graph, "Relu", "relu3", ["fc1"]);
        Gemm(graph, network.Fc2, "relu3");
        graph.Node[^1].Output[0] = "logits";

        var model = new ModelProto
        {
            IrVersion = 8,
            ProducerName = "make-digits",
            ProducerVersion = "1",
            DocString = "Demo model of OnnxLowRank, trained on procedurally drawn digits; see models/README.md.",
            Graph = graph,
        };
        model.OpsetImport.Add(new OperatorSetIdProto { Version = 17 });
        File.WriteAllBytes(path, model.ToByteArray());
    }

    /// <summary>The network in a file that <see cref="Write"/> made.</summary>
    /// <exception cref="InvalidDataException">A weight or bias is missing or has another size.</exception>
    public static Network Read(string path)
    {
        var graph = ModelProto.Parser.ParseFrom(File.ReadAllBytes(path)).Graph;
        var network = new Network();
        foreach (var layer in network.Layers)
        {
            FromOnnx(layer, Data(WeightName(layer), layer.Weight.Length));
            Data(BiasName(layer), layer.Out).CopyTo(layer.Bias);
        }
        return network;

        ReadOnlySpan<float> Data(string name, int count)
        {
            var tensor = graph.Initializer.FirstOrDefault(t => t.Name == name);
            if (tensor?.RawData.Length != count * sizeof(float))
            {
                throw new InvalidDataException($"{path}: no initializer '{name}' of {count} floats");
            }
            return MemoryMarshal.Cast<byte, float>(tensor.RawData.Span);
        }
    }

    static string WeightName(Layer layer) => $"{layer.Name}.weight";

    static string BiasName(Layer layer) => $"{layer.Name}.bias";

    static float[] ToOnnx(Layer layer)
    {
        var onnx = new float[layer.Weight.Length];
        foreach (var (here, there) in Pairs(layer))
        {
            onnx[there] = layer.Weight[here];
        }
        return onnx;
    }

    static void FromOnnx(Layer layer, ReadOnlySpan<float> onnx)
    {
        foreach (var (here, there) in Pairs(layer))
        {
            layer.Weight[here] = onnx[there];
        }
    }

    /// <summary>Where each weight is here, (pixel, channel, out), and in ONNX, (out, channel, pixel).</summary>
    static IEnumerable<(int Here, int There)> Pairs(Layer layer)
    {
        for (int output = 0; output < layer.Out; output++)
        {
            for (int channel = 0; channel < layer.Channels; channel++)
            {
                for (int pixel = 0; pixel < layer.Pixels; pixel++)
                {
                    yield return ((pixel * layer.Channels + channel) * layer.Out + output, (output * layer.Channels + channel) * layer.Pixels + pixel);
                }
            }
        }
    }

    static void Conv(GraphProto graph, Layer layer, string input, int pad)
    {
        Weights(graph, layer, [layer.Out, layer.Channels, Network.Kernel, Network.Kernel]);
        Add(graph, "Conv", layer.Name, [input, WeightName(layer), BiasName(layer)]).Attribute.Add(
        [
            Ints("dilations", 1, 1),
            Int("group", 1),
            Ints("kernel_shape", Network.Kernel, Network.Kernel),
            Ints("pads", pad, pad, pad, pad),
            Ints("strides", 1, 1),
        ]);
    }

    static void Gemm(GraphProto graph, Layer layer, string input)
    {
        Weights(graph, layer, [layer.Out, layer.In]);
        Add(graph, "Gemm", layer.Name, [input, WeightName(layer), BiasName(layer)]).Attribute.Add(Int("transB", 1));
    }

    static void Weights(GraphProto graph, Layer layer, long[] shape)
    {
        graph.Initializer.Add(Tensor(WeightName(layer), shape, ToOnnx(layer)));
        graph.Initializer.Add(Tensor(BiasName(layer), [layer.Out], layer.Bias));
    }

    static void Pool(GraphProto graph, string name, string input) =>
        Add(graph, "MaxPool", name, [input]).Attribute.Add([Ints("kernel_shape", 2, 2), Ints("strides", 2, 2)]);

    /// <summary>A node whose output has its name.</summary>
    static NodeProto Add(GraphProto graph, string type, string name, string[] inputs)
    {
        var node = new NodeProto { OpType = type, Name = name };
        node.Input.Add(inputs);
        node.Output.Add(name);
        graph.Node.Add(node);
        return node;
    }

    static AttributeProto Int(string name, long value) => new() { Name = name, Type = AttributeProto.Types.AttributeType.Int, I = value };

    static AttributeProto Ints(string name, params ReadOnlySpan<long> values)
    {
        var attribute = new AttributeProto { Name = name, Type = AttributeProto.Types.AttributeType.Ints };
        attribute.Ints.Add(values.ToArray());
        return attribute;
    }

    static TensorProto Tensor(string name, long[] shape, float[] values)
    {
        var tensor = new TensorProto
        {
            Name = name,
            DataType = (int)TensorProto.Types.DataType.Float,
            RawData = ByteString.CopyFrom(MemoryMarshal.AsBytes<float>(values)),
        };
        tensor.Dims.Add(shape);
        return tensor;
    }

    static ValueInfoProto Value(string name, params ReadOnlySpan<long> shape)
    {
        var tensor = new TypeProto.Types.Tensor { ElemType = (int)TensorProto.Types.DataType.Float, Shape = new() };
        tensor.Shape.Dim.Add(new TensorShapeProto.Types.Dimension { DimParam = "batch" });
        foreach (long size in shape)
        {
            tensor.Shape.Dim.Add(new TensorShapeProto.Types.Dimension { DimValue = size });
        }
        return new() { Name = name, Type = new() { TensorType = tensor } };
    }
}
