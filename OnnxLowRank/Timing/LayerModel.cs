using OnnxLowRank.Layers;
using OnnxLowRank.Onnx;
using OnnxLowRank.Onnx.Proto;
using static OnnxLowRank.Onnx.Proto.TensorProto.Types;

namespace OnnxLowRank.Timing;

/// <summary>
/// A model that holds one use of a layer and nothing else: its node, what it absorbed, the Relu or Clip that leaves with it, and the
/// constants they read. The nodes are the original's own objects, so that the layer can be rewritten in it as in the whole model.
/// </summary>
static class LayerModel
{
    /// <summary>From this IR version on initializers need not be listed as inputs.</summary>
    const int SeparateInitializers = 4;

    /// <param name="layer">With this single use.</param>
    /// <param name="index">Of the whole model's graph.</param>
    public static OnnxModel Of(OnnxModel model, GraphIndex index, Layer layer, RunShape shape)
    {
        var use = layer.Uses[0];
        var graph = new GraphProto { Name = "layer" };
        var known = new HashSet<string>(StringComparer.Ordinal) { "", use.Input };
        var type = layer.Kind == LayerKind.Gather ? DataType.Int64 : layer.Type;
        graph.Input.Add(Value(use.Input, shape.One.Select((dim, axis) => shape.Grows(axis) ? (long?)null : dim), type));

        var nodes = new List<NodeProto> { use.Node };
        nodes.AddRange(use.Absorbed);
        if (use.Activation != use.Output)
        {
            nodes.Add(index.Producer(use.Activation)!);
        }
        foreach (var node in nodes)
        {
            foreach (string input in node.Input.Where(known.Add))
            {
                if (index.Initializer(input) != null || Constant.Find(index, input, inputsAreConstant: true, out _) != null)
                {
                    AddConstant(graph, index, input, known);
                }
                else
                {
                    // Gemm's C or Clip's limits, computed elsewhere.
                    graph.Input.Add(Value(input, input == use.Addend ? [layer.Out] : [], layer.Type));
                }
            }
            graph.Node.Add(node);
            known.UnionWith(node.Output);
        }
        graph.Output.Add(new ValueInfoProto { Name = use.Activation, Type = new() { TensorType = new() { ElemType = (int)layer.Type } } });

        var proto = new ModelProto { IrVersion = Math.Max(model.Proto.IrVersion, SeparateInitializers), Graph = graph };
        proto.OpsetImport.AddRange(model.Proto.OpsetImport);
        return OnnxModel.Of(proto);
    }

    static void AddConstant(GraphProto graph, GraphIndex index, string name, HashSet<string> known)
    {
        if (index.Initializer(name) is { } tensor)
        {
            graph.Initializer.Add(tensor);
            return;
        }
        var producer = index.Producer(name)!;
        foreach (string input in producer.Input.Where(known.Add))
        {
            AddConstant(graph, index, input, known);
        }
        graph.Node.Add(producer);
    }

    static ValueInfoProto Value(string name, IEnumerable<long?> dims, DataType type)
    {
        var shape = new TensorShapeProto();
        shape.Dim.AddRange(dims.Select((dim, axis) => dim is { } size ? new TensorShapeProto.Types.Dimension { DimValue = size } : new() { DimParam = $"n{axis}" }));
        return new() { Name = name, Type = new() { TensorType = new() { ElemType = (int)type, Shape = shape } } };
    }
}
