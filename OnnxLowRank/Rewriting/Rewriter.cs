using Google.Protobuf.Collections;
using OnnxLowRank.Calibration;
using OnnxLowRank.Factorization;
using OnnxLowRank.Layers;
using OnnxLowRank.Onnx;
using OnnxLowRank.Onnx.Proto;
using OnnxLowRank.Planning;
using OnnxLowRank.Quantization;

namespace OnnxLowRank.Rewriting;

/// <summary>A rewritten model.</summary>
/// <param name="InputsGone">Graph inputs that were only initializers of rewritten layers.</param>
sealed record Rewritten(OnnxModel Model, IReadOnlyList<string> InputsGone);

/// <summary>Turns plans into models. Made once per model; what does not depend on the plan is computed once.</summary>
/// <param name="int4">Of the layers that can be run in 4 bits.</param>
/// <param name="provenance">Metadata that every rewritten model carries.</param>
sealed class Rewriter(
    OnnxModel model, IReadOnlyDictionary<Layer, Decomposition> decompositions, IReadOnlyDictionary<Layer, Int4Weights> int4, ActivationRanges ranges,
    Dialect dialect, IReadOnlyDictionary<string, string> provenance)
{
    readonly Dictionary<Layer, Int8Rows> _denseInt8 = [];
    readonly Dictionary<Layer, float[]> _dense = [];

    /// <summary>A copy of the model in which the planned layers are replaced. The plans' order is the layers' graph order.</summary>
    public Rewritten Apply(IEnumerable<LayerPlan> plans)
    {
        var copy = model.Copy();
        var nodes = model.Graph.Node.Zip(copy.Graph.Node).ToDictionary(pair => pair.First, pair => pair.Second, (IEqualityComparer<NodeProto>)ReferenceEqualityComparer.Instance);
        var graph = new GraphEditor(copy);
        var grids = new ActivationGrids(graph, ranges.Values);
        var emission = new Emission(graph, dialect, ranges, grids, nodes);
        foreach (var plan in plans)
        {
            Emit(emission, plan);
        }
        foreach (var (key, value) in provenance)
        {
            SetMetadata(copy.Proto.MetadataProps, key, value);
        }
        return new(copy, graph.Finish(grids.Insert));
    }

    /// <summary>Keys must be distinct, and an earlier run may have written the same.</summary>
    static void SetMetadata(RepeatedField<StringStringEntryProto> metadata, string key, string value)
    {
        foreach (var earlier in metadata.Where(entry => entry.Key == key).ToList())
        {
            metadata.Remove(earlier);
        }
        metadata.Add(new StringStringEntryProto { Key = key, Value = value });
    }

    void Emit(Emission emission, LayerPlan plan)
    {
        bool isConv = plan.Layer.Kind == LayerKind.Conv;
        switch (plan)
        {
            case LayerPlan.Factorize { Format: WeightFormat.Int4 } factorize when isConv:
                ConvEmitter.Factorize(emission, factorize, int4[plan.Layer].Pair(factorize.Rank, factorize.Block), decompositions[plan.Layer]);
                break;
            case LayerPlan.Factorize { Format: WeightFormat.Int4 } factorize:
                MatMulEmitter.Factorize(emission, factorize, int4[plan.Layer].Pair(factorize.Rank, factorize.Block), decompositions[plan.Layer]);
                break;
            case LayerPlan.Factorize factorize when isConv:
                ConvEmitter.Factorize(emission, factorize, decompositions[plan.Layer]);
                break;
            case LayerPlan.Factorize factorize:
                MatMulEmitter.Factorize(emission, factorize, decompositions[plan.Layer]);
                break;
            case LayerPlan.Quantize { Format: WeightFormat.Int4 } quantize when isConv:
                ConvEmitter.Quantize(emission, plan.Layer, int4[plan.Layer].Dense(quantize.Block));
                break;
            case LayerPlan.Quantize { Format: WeightFormat.Int4 } quantize:
                MatMulEmitter.Quantize(emission, plan.Layer, int4[plan.Layer].Dense(quantize.Block), quantize.Block);
                break;
            case LayerPlan.Quantize when isConv:
                ConvEmitter.Quantize(emission, plan.Layer, Dense(plan.Layer));
                break;
            case LayerPlan.Quantize:
                MatMulEmitter.Quantize(emission, plan.Layer, DenseInt8(plan.Layer));
                break;
        }
    }

    float[] Dense(Layer layer)
    {
        if (!_dense.TryGetValue(layer, out var dense))
        {
            _dense[layer] = dense = Array.ConvertAll(layer.ReadWeight().Data, value => (float)value);
        }
        return dense;
    }

    Int8Rows DenseInt8(Layer layer)
    {
        if (!_denseInt8.TryGetValue(layer, out var rows))
        {
            _denseInt8[layer] = rows = Int8.PerRow(Array.ConvertAll(layer.ReadWeight().Data, value => (float)value), layer.Out);
        }
        return rows;
    }
}
