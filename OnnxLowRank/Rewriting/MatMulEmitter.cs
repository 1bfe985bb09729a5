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
/// <see cref="Int4Product"/>; or weights alone are in few bits, see <see cref="WeightOnly"/>. The last output keeps its name.
/// </summary>
static class MatMulEmitter
{
    /// <summary>Until this opset Gemm's third operand is not optional.</summary>
    const int OptionalAddendOpset = 11;

    /// <summary>Nodes of y = x·Wᵀ (+ b) with a weight in few bits; the bias is the name of a constant, or empty.</summary>
    delegate IEnumerable<NodeProto> Product(string name, string input, string bias, string output);

    /// <param name="rounded">The dense weight where it is stored in few bits.</param>
    public static void Quantize(Emission emission, LayerPlan.Quantize plan, NBitDense? rounded)
    {
        var layer = plan.Layer;
        double[]?[] biases = Emission.Biases(layer, rounded);
        if (!plan.RunsOnIntegers)
        {
            string weight = AddStored(emission, plan, layer.Name, rounded == null ? layer.ReadFloats() : null, rounded?.Weight, layer.Out, layer.In, rounded?.Correction);
            for (int i = 0; i < layer.Uses.Count; i++)
            {
                var use = layer.Uses[i];
                emission.ReplaceIn(plan.Reals.Run, layer, use, Last(emission, plan, use, LayerFinder.Name(use.Node), use.Input, weight, biases[i], use.TransA));
            }
            return;
        }
        Quantize(emission, layer, rounded switch
        {
            null => Int8(emission, Int8Product.AddWeight(emission.Graph, layer.Name, Quantization.Int8.PerRow(layer.ReadFloats(), layer.Out, bits: emission.WeightBits))),
            { Correction: { } correction } => Int8(emission, Int8Product.AddWeight(emission.Graph, layer.Name, rounded.Weight, correction, emission.WeightBits)),
            _ => InFewBits(emission, layer.Name, rounded.Weight, plan.Block),
        }, biases);
    }

    static void Quantize(Emission emission, Layer layer, Product product, double[]?[] biases)
    {
        for (int i = 0; i < layer.Uses.Count; i++)
        {
            var use = layer.Uses[i];
            string name = LayerFinder.Name(use.Node);
            var nodes = new List<NodeProto>();
            string input = Straight(emission, use, nodes);
            nodes.AddRange(product(name, input, emission.AddBias(name, biases[i]), use.Output));
            emission.ReplaceInSingle(layer, use, nodes);
        }
    }

    /// <param name="rounded">The factors where they are stored in few bits.</param>
    public static void Factorize(Emission emission, LayerPlan.Factorize plan, Decomposition decomposition, NBitPair? rounded)
    {
        var layer = plan.Layer;
        bool isBiasFree = plan.RunsOnIntegers || layer.Kind == LayerKind.Gemm;
        double[]?[] biases = [.. layer.Uses.Select((use, i) => Emission.Gained(use, rounded?.Gains[i]) ?? CorrectedBias.Of(decomposition, plan.Rank, i, isBiasFree))];
        var factors = rounded != null ? null : Emission.Factors(decomposition, plan.Rank, Emission.WantsBalance(plan));
        string downName = $"{layer.Name}_down", upName = $"{layer.Name}_up";
        var emit = plan.RunsOnIntegers
            ? rounded != null
                ? QuantizedPair(emission, layer, InFewBits(emission, downName, rounded.Down, plan.Block), InFewBits(emission, upName, rounded.Up, plan.Block))
                : QuantizedPair(
                    emission, layer, Int8(emission, Int8Product.AddWeight(emission.Graph, downName, Quantization.Int8.PerRow(factors!.Down, plan.Rank, bits: emission.WeightBits))),
                    Int8(emission, Int8Product.AddWeight(emission.Graph, upName, Quantization.Int8.PerRow(factors.Up, layer.Out, bits: emission.WeightBits))))
            : RealPair(
                emission, plan, AddStored(emission, plan, downName, factors?.Down, rounded?.Down, plan.Rank, layer.In),
                AddStored(emission, plan, upName, factors?.Up, rounded?.Up, layer.Out, plan.Rank));
        for (int i = 0; i < layer.Uses.Count; i++)
        {
            var use = layer.Uses[i];
            emit(use, LayerFinder.Name(use.Node), emission.NameInner(use, plan.Rank), biases[i]);
        }
    }

    static Product Int8(Emission emission, Int8Operand weight) =>
        (name, input, bias, output) => Int8Product.Nodes(emission.Graph, emission.Dialect, name, input, weight, bias, output);

    static Product InFewBits(Emission emission, string layer, NBitBlocks weight, int block)
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

    static Action<LayerUse, string, string, double[]?> QuantizedPair(Emission emission, Layer layer, Product down, Product up) => (use, name, middle, bias) =>
    {
        var nodes = new List<NodeProto>();
        string input = Straight(emission, use, nodes);
        nodes.AddRange(down($"{name}_down", input, "", middle));
        nodes.AddRange(up($"{name}_up", middle, emission.AddBias(name, bias), use.Output));
        emission.ReplaceInSingle(layer, use, nodes);
    };

    /// <summary>x with one sample per row: Gemm's transA becomes a Transpose.</summary>
    static string Straight(Emission emission, LayerUse use, List<NodeProto> nodes)
    {
        if (!use.TransA)
        {
            return use.Input;
        }
        return emission.Graph.Add(nodes, $"{LayerFinder.Name(use.Node)}_rows", "Transpose", [use.Input], node => node.With("perm", [1L, 0L]));
    }

    static Action<LayerUse, string, string, double[]?> RealPair(Emission emission, LayerPlan plan, string down, string up) => (use, name, middle, bias) =>
    {
        var layer = plan.Layer;
        string[] operands = layer.Kind == LayerKind.LeftMatMul ? [down, use.Input] : [use.Input, down];
        NodeProto first;
        if (layer.Kind == LayerKind.Gemm)
        {
            string zero = Zero(emission.Graph, plan);
            first = NodeAttributes.Create("Gemm", emission.Graph.FreshName($"{name}_down"), zero.Length > 0 ? [.. operands, zero] : operands, [middle]).With("transB", 1);
            if (use.TransA)
            {
                first.With("transA", 1);
            }
        }
        else
        {
            first = NodeAttributes.Create("MatMul", emission.Graph.FreshName($"{name}_down"), operands, [middle]);
        }
        emission.ReplaceIn(plan.Reals.Run, layer, use, [first, .. Last(emission, plan, use, name, middle, up, bias, transA: false, suffix: "_up")]);
    };

    /// <summary>Nodes of the product that defines a use's output, with its bias or addend.</summary>
    static IEnumerable<NodeProto> Last(Emission emission, LayerPlan plan, LayerUse use, string name, string input, string weight, double[]? bias, bool transA, string suffix = "")
    {
        var (graph, layer) = (emission.Graph, plan.Layer);
        if (layer.Kind == LayerKind.Gemm)
        {
            string addend = use.Addend ?? emission.AddRealBias(plan, name, bias);
            addend = addend.Length > 0 ? addend : Zero(graph, plan);
            var gemm = NodeAttributes.Create("Gemm", graph.FreshName($"{name}{suffix}"), addend.Length > 0 ? [input, weight, addend] : [input, weight], [use.Output])
                .With("transB", 1);
            if (transA)
            {
                gemm.With("transA", 1);
            }
            if (use.Addend != null)
            {
                gemm.With(new AttributeProto { Name = "beta", Type = AttributeProto.Types.AttributeType.Float, F = use.Beta });
            }
            yield return gemm;
            yield break;
        }
        bool isLeft = layer.Kind == LayerKind.LeftMatMul;
        string product = bias == null ? use.Output : graph.FreshName($"{name}_product");
        yield return NodeAttributes.Create("MatMul", graph.FreshName($"{name}{suffix}"), isLeft ? [weight, input] : [input, weight], [product]);
        if (bias != null)
        {
            string added = isLeft ? emission.AddRealBias(plan, name, bias, bias.Length, 1) : emission.AddRealBias(plan, name, bias);
            yield return NodeAttributes.Create("Add", graph.FreshName($"{name}_add"), [product, added], [use.Output]);
        }
    }

    /// <summary>The name of what Gemm adds where it must add something, or nothing.</summary>
    static string Zero(GraphEditor graph, LayerPlan plan) => graph.Opset < OptionalAddendOpset
        ? graph.SharedConstant(TensorData.Reals($"{TensorType.Name((int)plan.Reals.Run)}_0", plan.Reals.Run, [0], []))
        : "";

    /// <summary>Adds a weight (rows, cols), given in floats or in few bits, as products of floats read it; returns the name of its float value.</summary>
    static string AddStored(
        Emission emission, LayerPlan plan, string name, float[]? weight, NBitBlocks? rounded, int rows, int cols, Correction? correction = null)
    {
        var layer = plan.Layer;
        bool transposed = layer.Kind == LayerKind.MatMul;
        long[] dims = transposed ? [cols, rows] : [rows, cols];
        return rounded != null ? WeightOnly.Add(emission.Graph, name, rounded, layer.Type, dims, transposed, correction)
            : !plan.StoresReals ? WeightOnly.Add(emission.Graph, name, Quantization.Int8.PerRow(weight, rows), layer.Type, dims, transposed)
            : emission.AddReals(plan.Reals, name, transposed ? Transposed(weight!, rows, cols) : weight!, dims);
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
