using OnnxLowRank.Factorization;
using OnnxLowRank.Layers;
using OnnxLowRank.Onnx;
using OnnxLowRank.Onnx.Proto;
using OnnxLowRank.Planning;
using OnnxLowRank.Quantization;

namespace OnnxLowRank.Rewriting;

/// <summary>
/// MatMul and Gemm. In floats, with b only where there is one:
/// <code>
/// MatMul(x, Wᵀ) [→ Add(b)]   →  MatMul(x, Downᵀ) → MatMul(·, Upᵀ) [→ Add(b')]
/// MatMul(W, x)  [→ Add(b)]   →  MatMul(Down, x) → MatMul(Up, ·) [→ Add(b')]
/// Gemm(x, W, b)              →  Gemm(x, Down) → Gemm(·, Up, b')
/// </code>
/// In 8 bits every product is an <see cref="Int8Product"/>. The last output keeps its name.
/// </summary>
static class MatMulEmitter
{
    /// <summary>Until this opset Gemm's third operand is not optional.</summary>
    const int OptionalAddendOpset = 11;

    /// <param name="weight">The quantized dense weight (out, in).</param>
    public static void Quantize(Emission emission, Layer layer, Int8Rows weight)
    {
        var operand = Int8Product.AddWeight(emission.Graph, layer.Name, weight);
        foreach (var use in layer.Uses)
        {
            string name = LayerFinder.Name(use.Node);
            var nodes = new List<NodeProto>();
            string input = Straight(emission, use, nodes);
            nodes.AddRange(Int8Product.Nodes(emission.Graph, emission.Dialect, name, input, operand, emission.AddBias(name, use.Bias), use.Output));
            emission.Replace(use, nodes);
        }
    }

    public static void Factorize(Emission emission, LayerPlan.Factorize plan, Decomposition decomposition)
    {
        var layer = plan.Layer;
        var factors = emission.Factors(decomposition, plan.Rank, balanced: plan.Format == WeightFormat.Int8);
        Action<LayerUse, string, string, double[]?> emit = plan.Format == WeightFormat.Int8
            ? Int8Pair(emission, layer, factors)
            : layer.Kind == LayerKind.Gemm ? GemmPair(emission, layer, factors) : MatMulPair(emission, layer, factors);
        bool isBiasFree = plan.Format == WeightFormat.Int8 || layer.Kind == LayerKind.Gemm;
        for (int i = 0; i < layer.Uses.Count; i++)
        {
            string name = LayerFinder.Name(layer.Uses[i].Node);
            emit(layer.Uses[i], name, emission.NameInner(layer.Uses[i], plan.Rank), emission.Bias(decomposition, plan.Rank, i, isBiasFree));
        }
    }

    static Action<LayerUse, string, string, double[]?> Int8Pair(Emission emission, Layer layer, LowRank factors)
    {
        var graph = emission.Graph;
        var down = Int8Product.AddWeight(graph, $"{layer.Name}_down", Int8.PerRow(factors.Down, factors.Rank));
        var up = Int8Product.AddWeight(graph, $"{layer.Name}_up", Int8.PerRow(factors.Up, layer.Out));
        return (use, name, middle, bias) =>
        {
            var nodes = new List<NodeProto>();
            string input = Straight(emission, use, nodes);
            nodes.AddRange(Int8Product.Nodes(graph, emission.Dialect, $"{name}_down", input, down, "", middle));
            nodes.AddRange(Int8Product.Nodes(graph, emission.Dialect, $"{name}_up", middle, up, emission.AddBias(name, bias), use.Output));
            emission.Replace(use, nodes);
        };
    }

    /// <summary>x with one sample per row: Gemm's transA becomes a Transpose.</summary>
    static string Straight(Emission emission, LayerUse use, List<NodeProto> nodes)
    {
        if (!use.TransA)
        {
            return use.Input;
        }
        string transposed = emission.Graph.FreshName($"{LayerFinder.Name(use.Node)}_rows");
        nodes.Add(NodeAttributes.Create("Transpose", transposed, [use.Input], [transposed]).With("perm", [1L, 0L]));
        return transposed;
    }

    static Action<LayerUse, string, string, double[]?> MatMulPair(Emission emission, Layer layer, LowRank factors)
    {
        var graph = emission.Graph;
        bool isLeft = layer.Kind == LayerKind.LeftMatMul;
        string down = AddFactor(graph, $"{layer.Name}_down", factors.Down, factors.Rank, layer.In, transposed: !isLeft);
        string up = AddFactor(graph, $"{layer.Name}_up", factors.Up, layer.Out, factors.Rank, transposed: !isLeft);
        return (use, name, middle, bias) =>
        {
            string product = bias == null ? use.Output : graph.FreshName($"{name}_product");
            string[] first = isLeft ? [down, use.Input] : [use.Input, down];
            string[] second = isLeft ? [up, middle] : [middle, up];
            var nodes = new List<NodeProto>
            {
                NodeAttributes.Create("MatMul", graph.FreshName($"{name}_down"), first, [middle]),
                NodeAttributes.Create("MatMul", graph.FreshName($"{name}_up"), second, [product]),
            };
            if (bias != null)
            {
                float[] values = Array.ConvertAll(bias, value => (float)value);
                string added = graph.AddConstant(isLeft
                    ? TensorData.Floats($"{name}_bias", values, values.Length, 1)
                    : TensorData.Floats($"{name}_bias", values, values.Length));
                nodes.Add(NodeAttributes.Create("Add", graph.FreshName($"{name}_add"), [product, added], [use.Output]));
            }
            emission.Replace(use, nodes);
        };
    }

    static Action<LayerUse, string, string, double[]?> GemmPair(Emission emission, Layer layer, LowRank factors)
    {
        var graph = emission.Graph;
        string down = AddFactor(graph, $"{layer.Name}_down", factors.Down, factors.Rank, layer.In, transposed: false);
        string up = AddFactor(graph, $"{layer.Name}_up", factors.Up, layer.Out, factors.Rank, transposed: false);
        string zero = graph.Opset < OptionalAddendOpset ? graph.AddConstant(TensorData.Scalar($"{layer.Name}_zero", 0)) : "";
        return (use, name, middle, bias) =>
        {
            string addend = use.Addend ?? emission.AddBias(name, bias);
            addend = addend.Length > 0 ? addend : zero;
            var first = NodeAttributes.Create("Gemm", graph.FreshName($"{name}_down"), zero.Length > 0 ? [use.Input, down, zero] : [use.Input, down], [middle])
                .With("transB", 1);
            if (use.TransA)
            {
                first.With("transA", 1);
            }
            var second = NodeAttributes.Create("Gemm", graph.FreshName($"{name}_up"), addend.Length > 0 ? [middle, up, addend] : [middle, up], [use.Output])
                .With("transB", 1);
            if (use.Addend != null)
            {
                second.With(new AttributeProto { Name = "beta", Type = AttributeProto.Types.AttributeType.Float, F = use.Beta });
            }
            emission.Replace(use, [first, second]);
        };
    }

    static string AddFactor(GraphEditor graph, string name, float[] factor, int rows, int cols, bool transposed)
    {
        if (!transposed)
        {
            return graph.AddConstant(TensorData.Floats(name, factor, rows, cols));
        }
        var columns = new float[factor.Length];
        for (int i = 0; i < rows; i++)
        {
            for (int j = 0; j < cols; j++)
            {
                columns[j * rows + i] = factor[i * cols + j];
            }
        }
        return graph.AddConstant(TensorData.Floats(name, columns, cols, rows));
    }
}
