using OnnxLowRank.Factorization;
using OnnxLowRank.Onnx;
using OnnxLowRank.Onnx.Proto;
using OnnxLowRank.Quantization;

namespace OnnxLowRank.Rewriting;

/// <summary>
/// A weight that is stored in few bits and run in floats. What makes floats of it depends on constants alone, so ONNX Runtime does it
/// once, when the model is loaded (DequantizeLinear it would run every time); a Cast to the layer's type follows where that is not float32:
/// <code>
/// 8 bits: Cast(W) → Mul(scale per output channel)      few bits: <see cref="Unpacking"/> → Cast → Mul
/// corrected: that of few bits → Add(MatMul(Cast(Up), Cast(Down)) → Mul(scale per output channel))
/// </code>
/// </summary>
static class WeightOnly
{
    /// <summary>Mul broadcasts from this opset on.</summary>
    public const int OldestOpset = 7;

    /// <summary>Adds a weight (out, in) in 8 bits; returns the name of its float value.</summary>
    /// <param name="type">Of the value.</param>
    /// <param name="dims">Of the value: out comes first, or last when transposed.</param>
    public static string Add(GraphEditor graph, string name, Int8Rows weight, TensorProto.Types.DataType type, long[] dims, bool transposed = false)
    {
        sbyte[] values = transposed ? weight.TransposedValues() : weight.Values;
        return Real(graph, name, graph.AddConstant(TensorData.Create<sbyte>($"{name}_int8", TensorProto.Types.DataType.Int8, values, dims)), weight.Scales, type, ScaleDims(weight.Scales, dims, transposed), []);
    }

    /// <summary>The same where the values lie as a ConvTranspose reads them, (in, out, …).</summary>
    public static string AddSpread(GraphEditor graph, string name, sbyte[] values, float[] scales, TensorProto.Types.DataType type, long[] dims)
    {
        string integers = graph.AddConstant(TensorData.Create<sbyte>($"{name}_int8", TensorProto.Types.DataType.Int8, values, dims));
        return Real(graph, name, integers, scales, type, [scales.Length, .. dims[2..].Select(_ => 1L)], []);
    }

    /// <summary>The same in few bits, one block per row.</summary>
    /// <param name="correction">What is added to the weight, a matrix then, or null.</param>
    public static string Add(
        GraphEditor graph, string name, NBitBlocks weight, TensorProto.Types.DataType type, long[] dims, bool transposed = false, Correction? correction = null)
    {
        var nodes = new List<NodeProto>();
        string integers = Unpacking.Add(graph, name, weight, transposed, dims, Int8.Bits, nodes);
        return Real(graph, name, integers, Unpacking.Scales(weight, Int8.Bits), type, ScaleDims(weight.Scales, dims, transposed), nodes, correction, transposed);
    }

    static long[] ScaleDims(float[] scales, long[] dims, bool transposed) => transposed ? [scales.Length] : [scales.Length, .. dims[1..].Select(_ => 1L)];

    static string Real(
        GraphEditor graph, string name, string integers, float[] scales, TensorProto.Types.DataType type, long[] scaleDims, List<NodeProto> nodes,
        Correction? correction = null, bool transposed = false)
    {
        string scale = graph.AddConstant(TensorData.Floats($"{name}_scale", scales, scaleDims));
        string real = graph.Add(nodes, $"{name}_real", "Cast", [integers], node => node.With("to", (long)TensorProto.Types.DataType.Float));
        string weight = graph.Add(nodes, $"{name}_weight", "Mul", [real, scale]);
        if (correction != null)
        {
            weight = graph.Add(nodes, $"{name}_corrected", "Add", [weight, LowRank(graph, name, correction, transposed, scaleDims, nodes)]);
        }
        if (type != TensorProto.Types.DataType.Float)
        {
            weight = graph.Add(nodes, $"{name}_cast", "Cast", [weight], node => node.With("to", (long)type));
        }
        graph.Graph.Node.AddRange(nodes);
        return weight;
    }

    /// <summary>Up·Down (out, in), or (in, out) when transposed.</summary>
    static string LowRank(GraphEditor graph, string name, Correction correction, bool transposed, long[] scaleDims, List<NodeProto> nodes)
    {
        var (up, rank) = (correction.Up, correction.Rank);
        int rows = up.Scales.Length, cols = correction.Down.Length / rank;
        string Factor(string part, sbyte[] values, params long[] dims)
        {
            string integers = graph.AddConstant(TensorData.Create<sbyte>($"{name}_{part}_int8", TensorProto.Types.DataType.Int8, values, dims));
            return graph.Add(nodes, $"{name}_{part}", "Cast", [integers], node => node.With("to", (long)TensorProto.Types.DataType.Float));
        }
        string[] factors = transposed
            ? [Factor("down", Int8.Transposed(correction.Down, rank), cols, rank), Factor("up", up.TransposedValues(), rank, rows)]
            : [Factor("up", up.Values, rows, rank), Factor("down", correction.Down, rank, cols)];
        string product = graph.Add(nodes, $"{name}_low", "MatMul", factors);
        return graph.Add(nodes, $"{name}_correction", "Mul", [product, graph.AddConstant(TensorData.Floats($"{name}_up_scale", up.Scales, scaleDims))]);
    }
}
