using Google.Protobuf;
using Google.Protobuf.Collections;
using OnnxLowRank.Onnx;
using OnnxLowRank.Onnx.Proto;
using AttributeType = OnnxLowRank.Onnx.Proto.AttributeProto.Types.AttributeType;
using DataType = OnnxLowRank.Onnx.Proto.TensorProto.Types.DataType;

namespace OnnxLowRank.Tests.Fuzzing;

/// <summary>Changes what a model says and keeps it readable: nodes, names, attributes, and tensors that still hold what they announce.</summary>
static class GraphMutator
{
    static readonly string[] s_operators =
        ["MatMul", "Gemm", "Conv", "Gather", "Add", "Relu", "Clip", "Identity", "Transpose", "Reshape", "Cast", "BatchNormalization", "Constant", "If", "Softmax", "Nothing"];

    static readonly (string Name, AttributeType Type)[] s_attributes =
    [
        ("group", AttributeType.Int), ("perm", AttributeType.Ints), ("axis", AttributeType.Int), ("to", AttributeType.Int), ("transA", AttributeType.Int), ("transB", AttributeType.Int),
        ("alpha", AttributeType.Float), ("beta", AttributeType.Float), ("epsilon", AttributeType.Float), ("pads", AttributeType.Ints), ("strides", AttributeType.Ints), ("dilations", AttributeType.Ints),
        ("kernel_shape", AttributeType.Ints), ("allowzero", AttributeType.Int), ("auto_pad", AttributeType.String), ("value", AttributeType.Tensor), ("training_mode", AttributeType.Int),
    ];

    static readonly long[] s_numbers = [0, 1, 2, 3, -1, -2, 4, 7, 10, 11, 16, 64, 1L << 31, 1L << 32, (1L << 32) + 1, 1L << 62, long.MaxValue, long.MinValue];

    static readonly float[] s_floats = [0, -0f, 1, -1, 1e-30f, 1e30f, float.MaxValue, float.NaN, float.PositiveInfinity, float.NegativeInfinity];

    /// <summary>One to three changes.</summary>
    public static ModelProto Mutate(ModelProto valid, Random random)
    {
        var model = valid.Clone();
        for (int edits = random.Next(1, 4); edits > 0; edits--)
        {
            Change(model, random);
        }
        return model;
    }

    static T? Any<T>(IReadOnlyList<T> list, Random random) where T : class => list.Count == 0 ? null : list[random.Next(list.Count)];

    static void Change(ModelProto model, Random random)
    {
        var graph = model.Graph;
        if (Any(graph.Node, random) is not { } node)
        {
            return;
        }
        switch (random.Next(14))
        {
            case 0 when node.Input.Count > 0:
                node.Input[random.Next(node.Input.Count)] = AnyValue(graph, random);
                break;
            case 1:
                Resize(node.Input, AnyValue(graph, random), random);
                break;
            case 2:
                Resize(node.Output, random.Next(4) == 0 ? "" : $"more{random.Next(1000)}", random);
                break;
            case 3:
                node.OpType = s_operators[random.Next(s_operators.Length)];
                break;
            case 4 or 5:
                ChangeAttribute(node, random);
                break;
            case 6 or 7 when Any(graph.Initializer, random) is { } tensor:
                graph.Initializer[graph.Initializer.IndexOf(tensor)] = Another(tensor, random);
                break;
            case 8:
                var copy = node.Clone();
                for (int i = 0; i < copy.Output.Count; i++)
                {
                    copy.Output[i] = $"copy{random.Next(1000)}";
                }
                graph.Node.Add(copy);
                break;
            case 9:
                graph.Node.Remove(node);
                break;
            case 10 when Any(graph.Initializer, random) is { } listed:
                graph.Input.Add(TinyModel.Value(listed.Name, (DataType)listed.DataType, [.. listed.Dims.Select(dim => (long?)dim)]));
                break;
            case 11:
                graph.Output.Add(TinyModel.Value(AnyValue(graph, random), DataType.Float, null));
                break;
            case 12:
                model.IrVersion = s_numbers[random.Next(s_numbers.Length)];
                break;
            default:
                int at = random.Next(graph.Node.Count);
                (graph.Node[at], graph.Node[graph.Node.IndexOf(node)]) = (node, graph.Node[at]);
                break;
        }
    }

    static string AnyValue(GraphProto graph, Random random) => random.Next(4) switch
    {
        0 when graph.Initializer.Count > 0 => graph.Initializer[random.Next(graph.Initializer.Count)].Name,
        1 => random.Next(2) == 0 ? "" : "x",
        _ => graph.Node[random.Next(graph.Node.Count)].Output.FirstOrDefault() ?? "",
    };

    static void Resize(RepeatedField<string> names, string name, Random random)
    {
        if (names.Count > 0 && random.Next(2) == 0)
        {
            names.RemoveAt(random.Next(names.Count));
        }
        else
        {
            names.Insert(random.Next(names.Count + 1), name);
        }
    }

    static void ChangeAttribute(NodeProto node, Random random)
    {
        if (Any(node.Attribute, random) is { } old && random.Next(3) > 0)
        {
            node.Attribute.Remove(old);
            if (random.Next(2) == 0)
            {
                return;
            }
        }
        var (name, type) = s_attributes[random.Next(s_attributes.Length)];
        node.Attribute.Add(new AttributeProto
        {
            Name = name,
            Type = type,
            I = s_numbers[random.Next(s_numbers.Length)],
            F = s_floats[random.Next(s_floats.Length)],
            S = ByteString.CopyFromUtf8(random.Next(2) == 0 ? "SAME_UPPER" : "VALID"),
            Ints = { Enumerable.Range(0, random.Next(5)).Select(_ => s_numbers[random.Next(random.Next(2) == 0 ? 4 : s_numbers.Length)]) },
            T = type == AttributeType.Tensor ? Another(TensorData.Scalar("", 1), random) : null,
        });
    }

    /// <summary>A tensor of the same name and another shape or type, or with other numbers, that holds what it announces.</summary>
    static TensorProto Another(TensorProto tensor, Random random)
    {
        if (tensor.DataType == (int)DataType.Int64 && random.Next(2) == 0)
        {
            return TensorData.Int64s(tensor.Name, [.. tensor.ToInt64s().Select(number => random.Next(2) == 0 ? number : s_numbers[random.Next(s_numbers.Length)])]);
        }
        long[] dims = random.Next(3) == 0 ? [.. tensor.Dims.Reverse()] : [.. Enumerable.Range(0, random.Next(5)).Select(_ => (long)random.Next(9))];
        int count = (int)dims.Aggregate(1L, (product, dim) => product * dim);
        float odd = s_floats[random.Next(s_floats.Length)];
        float[] values = [.. Enumerable.Range(0, count).Select(i => i % 7 == 3 ? odd : 0.25f)];
        return random.Next(5) switch
        {
            0 => TensorData.Create<double>(tensor.Name, DataType.Double, [.. values.Select(value => (double)value)], dims),
            1 => TensorData.Create<Half>(tensor.Name, DataType.Float16, [.. values.Select(value => (Half)value)], dims),
            2 => TensorData.Create<long>(tensor.Name, DataType.Int64, new long[count], dims),
            _ => TensorData.Floats(tensor.Name, values, dims),
        };
    }
}
