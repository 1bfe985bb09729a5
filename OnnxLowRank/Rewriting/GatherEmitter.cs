using OnnxLowRank.Factorization;
using OnnxLowRank.Layers;
using OnnxLowRank.Onnx;
using OnnxLowRank.Onnx.Proto;
using OnnxLowRank.Planning;
using OnnxLowRank.Quantization;

namespace OnnxLowRank.Rewriting;

/// <summary>
/// Gather of an embedding table's rows. Only what is looked up is made floats of, so the table stays small in memory too:
/// <code>
/// 8 bits:   Gather(T, ids) → Cast ──────────────────────────────────────────────────→ Mul(·, Gather(scales, ids))
/// 4 bits:   Gather(P, ids) → BitShifts → Concat of low and high halves → Cast → Cast → Mul(·, Gather(scales, ids))
/// low rank: one of Gather(Downᵀ, ids), 8 bits → MatMul(·, Upᵀ) or <see cref="Int8Product"/> [→ Add(b')]
/// </code>
/// ONNX Runtime's own GatherBlockQuantized does the same in one operator, and takes six times as long for a hundred rows.
/// </summary>
static class GatherEmitter
{
    /// <summary>Nodes that look rows of a table up by a use's ids.</summary>
    delegate IEnumerable<NodeProto> Lookup(LayerUse use, string name, string output);

    /// <param name="table">(rows, columns) of the table.</param>
    public static void Quantize(Emission emission, Layer layer, Int8Rows table) => Quantize(emission, layer, InInt8(emission.Graph, layer.Name, table));

    public static void Quantize(Emission emission, Layer layer, Int4Blocks table) => Quantize(emission, layer, InInt4(emission.Graph, layer.Name, table));

    static void Quantize(Emission emission, Layer layer, Lookup lookup)
    {
        foreach (var use in layer.Uses)
        {
            emission.Replace(use, lookup(use, LayerFinder.Name(use.Node), use.Output));
        }
    }

    public static void Factorize(Emission emission, LayerPlan.Factorize plan, Decomposition decomposition)
    {
        var (graph, layer) = (emission.Graph, plan.Layer);
        bool isInt8 = plan.Format == WeightFormat.Int8;
        var factors = emission.Factors(decomposition, plan.Rank, balanced: isInt8);
        float[] table = MatMulEmitter.Transposed(factors.Down, plan.Rank, layer.In);
        var lookup = isInt8
            ? InInt8(graph, $"{layer.Name}_down", Int8.PerRow(table, layer.In))
            : InFloats(graph, graph.AddConstant(TensorData.Floats($"{layer.Name}_down", table, layer.In, plan.Rank)));
        var quantizedUp = isInt8 ? Int8Product.AddWeight(graph, $"{layer.Name}_up", Int8.PerRow(factors.Up, layer.Out)) : default;
        string up = isInt8 ? "" : graph.AddConstant(TensorData.Floats($"{layer.Name}_up", MatMulEmitter.Transposed(factors.Up, layer.Out, plan.Rank), plan.Rank, layer.Out));
        for (int i = 0; i < layer.Uses.Count; i++)
        {
            var use = layer.Uses[i];
            string name = LayerFinder.Name(use.Node), middle = emission.NameInner(use, plan.Rank);
            string bias = emission.AddBias(name, emission.Bias(decomposition, plan.Rank, i, isFree: isInt8));
            var nodes = lookup(use, $"{name}_down", middle).ToList();
            nodes.AddRange(isInt8 ? Int8Product.Nodes(graph, emission.Dialect, $"{name}_up", middle, quantizedUp, bias, use.Output) : Product(graph, name, middle, up, bias, use.Output));
            emission.Replace(use, nodes);
        }
    }

    static IEnumerable<NodeProto> Product(GraphEditor graph, string name, string input, string weight, string bias, string output)
    {
        string product = bias.Length == 0 ? output : graph.FreshName($"{name}_product");
        yield return NodeAttributes.Create("MatMul", graph.FreshName($"{name}_up"), [input, weight], [product]);
        if (bias.Length > 0)
        {
            yield return NodeAttributes.Create("Add", graph.FreshName($"{name}_add"), [product, bias], [output]);
        }
    }

    static Lookup InFloats(GraphEditor graph, string table) => (use, name, output) => [NodeAttributes.Create("Gather", graph.FreshName(name), [table, use.Input], [output])];

    static Lookup InInt8(GraphEditor graph, string layer, Int8Rows table)
    {
        int rows = table.Scales.Length;
        string values = graph.AddConstant(TensorData.Create<sbyte>($"{layer}_int8", TensorProto.Types.DataType.Int8, table.Values, rows, table.Values.Length / rows));
        string scales = AddScales(graph, layer, table.Scales);
        return (use, name, output) =>
        {
            var chain = new Chain(graph, name);
            string row = chain.Add("Gather", "row", [values, use.Input]);
            return chain.Scaled(row, scales, use, output);
        };
    }

    /// <summary>The left half of a row is in the low halves of its bytes, the right one in the high ones; as numbers 16 times as large, see <see cref="Unpacking"/>.</summary>
    static Lookup InInt4(GraphEditor graph, string layer, Int4Blocks table)
    {
        int half = table.Cols / 2;
        var packed = new byte[table.Rows * half];
        sbyte[] plain = table.Plain(transposed: false);
        for (int i = 0; i < packed.Length; i++)
        {
            int left = i / half * table.Cols + i % half;
            packed[i] = (byte)((plain[left] & 15) | (plain[left + half] << 4));
        }
        string values = graph.AddConstant(TensorData.Create<byte>($"{layer}_int4", TensorProto.Types.DataType.Uint8, packed, table.Rows, half));
        string scales = AddScales(graph, layer, Array.ConvertAll(table.Scales, scale => scale / Unpacking.Factor));
        string four = Unpacking.Four(graph);
        return (use, name, output) =>
        {
            var chain = new Chain(graph, name);
            string row = chain.Add("Gather", "row", [values, use.Input]);
            string low = chain.Add("BitShift", "low", [row, four], node => node.With("direction", "LEFT"));
            string top = chain.Add("BitShift", "top", [row, four], node => node.With("direction", "RIGHT"));
            string high = chain.Add("BitShift", "high", [top, four], node => node.With("direction", "LEFT"));
            string bytes = chain.Add("Concat", "bytes", [low, high], node => node.With("axis", -1));
            string signed = chain.Add("Cast", "int8", [bytes], node => node.With("to", (long)TensorProto.Types.DataType.Int8));
            return chain.Scaled(signed, scales, use, output);
        };
    }

    /// <summary>A scale per row, in a column: what is looked up in it stands beside the row as it is.</summary>
    static string AddScales(GraphEditor graph, string layer, float[] scales) => graph.AddConstant(TensorData.Floats($"{layer}_scale", scales, scales.Length, 1));

    /// <summary>Nodes of one lookup, named after it.</summary>
    sealed class Chain(GraphEditor graph, string name)
    {
        readonly List<NodeProto> _nodes = [];

        /// <summary>Adds a node; returns the name of its output.</summary>
        public string Add(string opType, string suffix, string[] inputs, Action<NodeProto>? configure = null)
        {
            string output = graph.FreshName($"{name}_{suffix}");
            var node = NodeAttributes.Create(opType, output, inputs, [output]);
            configure?.Invoke(node);
            _nodes.Add(node);
            return output;
        }

        /// <summary>All nodes, with integers multiplied by the scales of their rows at the end.</summary>
        public List<NodeProto> Scaled(string integers, string scales, LayerUse use, string output)
        {
            string real = Add("Cast", "real", [integers], node => node.With("to", (long)TensorProto.Types.DataType.Float));
            string scale = Add("Gather", "row_scale", [scales, use.Input]);
            _nodes.Add(NodeAttributes.Create("Mul", graph.FreshName($"{name}_rescale"), [real, scale], [output]));
            return _nodes;
        }
    }
}
