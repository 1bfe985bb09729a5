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
/// In 8 bits every product is an <see cref="Int8Product"/>, in 4 either that, unpacked first, or an
/// <see cref="Int4Product"/>. The last output keeps its name.
/// </summary>
static class MatMulEmitter
{
    /// <summary>Until this opset Gemm's third operand is not optional.</summary>
    const int OptionalAddendOpset = 11;

    /// <summary>Nodes of y = x·Wᵀ (+ b) with a weight in few bits; the bias is the name of a constant, or empty.</summary>
    delegate IEnumerable<NodeProto> Product(string name, string input, string bias, string output);

    /// <param name="weight">The quantized dense weight (out, in).</param>
    public static void Quantize(Emission emission, Layer layer, Int8Rows weight) =>
        Quantize(emission, layer, Int8(emission, layer.Name, weight), [.. layer.Uses.Select(use => use.Bias)]);

    /// <param name="block">As the plan has it.</param>
    public static void Quantize(Emission emission, Layer layer, Int4Dense weight, int block) =>
        Quantize(emission, layer, Int4(emission, layer.Name, weight.Weight, block), [.. layer.Uses.Select((use, i) => Emission.Gained(use, weight.Gains[i]) ?? use.Bias)]);

    static void Quantize(Emission emission, Layer layer, Product product, double[]?[] biases)
    {
        for (int i = 0; i < layer.Uses.Count; i++)
        {
            var use = layer.Uses[i];
            string name = LayerFinder.Name(use.Node);
            var nodes = new List<NodeProto>();
            string input = Straight(emission, use, nodes);
            nodes.AddRange(product(name, input, emission.AddBias(name, biases[i]), use.Output));
            emission.Replace(use, nodes);
        }
    }

    public static void Factorize(Emission emission, LayerPlan.Factorize plan, Decomposition decomposition)
    {
        var layer = plan.Layer;
        bool isInt8 = plan.Format == WeightFormat.Int8;
        var factors = emission.Factors(decomposition, plan.Rank, balanced: isInt8);
        bool isBiasFree = isInt8 || layer.Kind == LayerKind.Gemm;
        Replace(emission, plan, [.. layer.Uses.Select((_, i) => emission.Bias(decomposition, plan.Rank, i, isBiasFree))], isInt8
            ? QuantizedPair(
                emission, Int8(emission, $"{layer.Name}_down", Quantization.Int8.PerRow(factors.Down, factors.Rank, bits: emission.WeightBits)),
                Int8(emission, $"{layer.Name}_up", Quantization.Int8.PerRow(factors.Up, layer.Out, bits: emission.WeightBits)))
            : layer.Kind == LayerKind.Gemm ? GemmPair(emission, layer, factors) : MatMulPair(emission, layer, factors));
    }

    public static void Factorize(Emission emission, LayerPlan.Factorize plan, Int4Pair factors, Decomposition decomposition)
    {
        var layer = plan.Layer;
        double[]? Bias(LayerUse use, int i) => Emission.Gained(use, factors.Gains[i]) ?? CorrectedBias.Of(decomposition, plan.Rank, i, isFree: true);
        Replace(emission, plan, [.. layer.Uses.Select(Bias)], QuantizedPair(
            emission, Int4(emission, $"{layer.Name}_down", factors.Down, plan.Block), Int4(emission, $"{layer.Name}_up", factors.Up, plan.Block)));
    }

    static void Replace(Emission emission, LayerPlan.Factorize plan, double[]?[] biases, Action<LayerUse, string, string, double[]?> emit)
    {
        var uses = plan.Layer.Uses;
        for (int i = 0; i < uses.Count; i++)
        {
            string name = LayerFinder.Name(uses[i].Node);
            emit(uses[i], name, emission.NameInner(uses[i], plan.Rank), biases[i]);
        }
    }

    /// <summary>The bias with what rounding needs; null where that is not known.</summary>

    static Product Int8(Emission emission, string layer, Int8Rows weight)
    {
        var operand = Int8Product.AddWeight(emission.Graph, layer, weight);
        return (name, input, bias, output) => Int8Product.Nodes(emission.Graph, emission.Dialect, name, input, operand, bias, output);
    }

    static Product Int4(Emission emission, string layer, Int4Blocks weight, int block)
    {
        if (block == 0)
        {
            var unpack = new List<NodeProto>();
            var unpacked = Int8Product.AddWeight(emission.Graph, layer, weight, emission.WeightBits, unpack);
            return (name, input, bias, output) =>
            {
                var nodes = unpack.Concat(Int8Product.Nodes(emission.Graph, emission.Dialect, name, input, unpacked, bias, output)).ToList();
                unpack.Clear(); // all uses share them
                return nodes;
            };
        }
        var operand = Int4Product.AddWeight(emission.Graph, layer, weight);
        return (name, input, bias, output) => [Int4Product.Node(emission.Graph, name, input, operand, bias, output)];
    }

    static Action<LayerUse, string, string, double[]?> QuantizedPair(Emission emission, Product down, Product up) => (use, name, middle, bias) =>
    {
        var nodes = new List<NodeProto>();
        string input = Straight(emission, use, nodes);
        nodes.AddRange(down($"{name}_down", input, "", middle));
        nodes.AddRange(up($"{name}_up", middle, emission.AddBias(name, bias), use.Output));
        emission.Replace(use, nodes);
    };

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
        return graph.AddConstant(transposed
            ? TensorData.Floats(name, Transposed(factor, rows, cols), cols, rows)
            : TensorData.Floats(name, factor, rows, cols));
    }

    /// <summary>A matrix (rows, cols) as (cols, rows).</summary>
    public static float[] Transposed(float[] factor, int rows, int cols)
    {
        var columns = new float[factor.Length];
        for (int i = 0; i < rows; i++)
        {
            for (int j = 0; j < cols; j++)
            {
                columns[j * rows + i] = factor[i * cols + j];
            }
        }
        return columns;
    }
}
