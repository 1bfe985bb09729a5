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
/// <param name="Inner">Per use of a factorized layer, the value that its Up is applied to.</param>
/// <param name="InputsGone">Graph inputs that were only initializers of rewritten layers.</param>
sealed record Rewritten(OnnxModel Model, IReadOnlyDictionary<LayerUse, string> Inner, IReadOnlyList<string> InputsGone);

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
    /// <param name="refits">Per layer, the Up and biases to use instead of those that are cut; null for none.</param>
    public Rewritten Apply(IEnumerable<LayerPlan> plans, IReadOnlyDictionary<Layer, RefittedUp>? refits = null)
    {
        var copy = model.Copy();
        var nodes = model.Graph.Node.Zip(copy.Graph.Node).ToDictionary(pair => pair.First, pair => pair.Second, (IEqualityComparer<NodeProto>)ReferenceEqualityComparer.Instance);
        var graph = new GraphEditor(copy);
        var grids = new ActivationGrids(graph, ranges.Values);
        var emission = new Emission(graph, dialect, ranges, grids, nodes, refits ?? new Dictionary<Layer, RefittedUp>());
        foreach (var plan in plans)
        {
            Emit(emission, plan);
        }
        foreach (var (key, value) in provenance)
        {
            SetMetadata(copy.Proto.MetadataProps, key, value);
        }
        return new(copy, emission.Inner, graph.Finish(grids.Insert));
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
            case LayerPlan.Factorize factorize when plan.Layer.IsTable:
                TableEmitter.Factorize(emission, factorize, decompositions[plan.Layer]);
                break;
            case LayerPlan.Quantize { Format: WeightFormat.Int4 } quantize when plan.Layer.IsTable:
                TableEmitter.Quantize(emission, plan.Layer, int4[plan.Layer].Dense(quantize.Block).Weight);
                break;
            case LayerPlan.Quantize when plan.Layer.IsTable:
                TableEmitter.Quantize(emission, plan.Layer, Table(plan.Layer));
                break;
            case LayerPlan.Factorize { Format: WeightFormat.Int4 } factorize when isConv:
                ConvEmitter.Factorize(emission, factorize, decompositions[plan.Layer], int4[plan.Layer].Pair(factorize.Rank, factorize.Block));
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

    /// <summary>The rows of a table in 8 bits.</summary>
    Int8Rows Table(Layer layer)
    {
        if (!_denseInt8.TryGetValue(layer, out var known))
        {
            _denseInt8[layer] = known = Int8.PerRow(layer.Weight.Read(), layer.In);
        }
        return known;
    }

    float[] Dense(Layer layer) => Once(_dense, layer, weight => weight);

    Int8Rows DenseInt8(Layer layer) => Once(_denseInt8, layer, weight => Int8.PerRow(weight, layer.Out));

    /// <summary>What is made of a layer's weight, (out, in) row-major, made the first time.</summary>
    static T Once<T>(Dictionary<Layer, T> made, Layer layer, Func<float[], T> make)
    {
        if (!made.TryGetValue(layer, out var known))
        {
            made[layer] = known = make(Array.ConvertAll(layer.ReadWeight().Data, value => (float)value));
        }
        return known;
    }
}
