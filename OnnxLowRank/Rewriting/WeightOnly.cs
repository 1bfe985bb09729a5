using OnnxLowRank.Onnx;
using OnnxLowRank.Onnx.Proto;
using OnnxLowRank.Quantization;

namespace OnnxLowRank.Rewriting;

/// <summary>
/// A weight that is stored in few bits and run in floats. What makes floats of it depends on constants alone, so ONNX Runtime does it
/// once, when the model is loaded (DequantizeLinear it would run every time):
/// <code>
/// 8 bits: Cast(W) → Mul(scale per output channel)      4 bits: <see cref="Unpacking"/> → Cast → Mul
/// </code>
/// </summary>
static class WeightOnly
{
    /// <summary>Mul broadcasts from this opset on.</summary>
    public const int OldestOpset = 7;

    /// <summary>Adds a weight (out, in); returns the name of its float value.</summary>
    /// <param name="rows">The weight in 8 bits, or null.</param>
    /// <param name="blocks">The weight in 4 bits, one block per row, where it is not in 8.</param>
    /// <param name="dims">Of the value: out comes first, or last when transposed.</param>
    public static string Add(GraphEditor graph, string name, Int8Rows? rows, Int4Blocks? blocks, long[] dims, bool transposed = false)
    {
        var nodes = new List<NodeProto>();
        float[] scales;
        string integers;
        if (rows is { } inInt8)
        {
            scales = inInt8.Scales;
            sbyte[] values = transposed ? inInt8.TransposedValues() : inInt8.Values;
            integers = graph.AddConstant(TensorData.Create<sbyte>($"{name}_int8", TensorProto.Types.DataType.Int8, values, dims));
        }
        else
        {
            scales = Array.ConvertAll(blocks!.Scales, scale => scale / Unpacking.Factor(Int8.Bits));
            integers = Unpacking.Add(graph, name, blocks.Plain(transposed), dims, Int8.Bits, nodes);
        }
        long[] scaleDims = transposed ? [scales.Length] : [scales.Length, .. dims[1..].Select(_ => 1L)];
        string scale = graph.AddConstant(TensorData.Floats($"{name}_scale", scales, scaleDims));
        string real = graph.FreshName($"{name}_real"), weight = graph.FreshName($"{name}_weight");
        nodes.Add(NodeAttributes.Create("Cast", real, [integers], [real]).With("to", (long)TensorProto.Types.DataType.Float));
        nodes.Add(NodeAttributes.Create("Mul", weight, [real, scale], [weight]));
        graph.Graph.Node.AddRange(nodes);
        return weight;
    }
}
