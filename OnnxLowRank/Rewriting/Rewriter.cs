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

/// <summary>Turns plans into models.</summary>
/// <param name="int4">Of the layers that can be run in 4 bits.</param>
/// <param name="provenance">Metadata that every rewritten model carries.</param>
/// <param name="weightBits">Of weights that run on 8-bit kernels: 8 or 7. It changes numbers and what unpacks them, not what runs.</param>
sealed class Rewriter(
    OnnxModel model, IReadOnlyDictionary<Layer, Decomposition> decompositions, IReadOnlyDictionary<Layer, Int4Weights> int4, ActivationRanges ranges,
    Dialect dialect, IReadOnlyDictionary<string, string> provenance, int weightBits = Int8.Bits)
{
    /// <summary>A copy of the model in which the planned layers are replaced. The plans' order is the layers' graph order.</summary>
    /// <param name="refits">Per layer, the Up and biases to use instead of those that are cut; null for none.</param>
    public Rewritten Apply(IEnumerable<LayerPlan> plans, IReadOnlyDictionary<Layer, RefittedUp>? refits = null)
    {
        var copy = model.Copy();
        var nodes = model.Graph.Node.Zip(copy.Graph.Node).ToDictionary(pair => pair.First, pair => pair.Second, (IEqualityComparer<NodeProto>)ReferenceEqualityComparer.Instance);
        var graph = new GraphEditor(copy);
        var grids = new ActivationGrids(graph, ranges.Values);
        var emission = new Emission(graph, dialect, ranges, grids, nodes, refits ?? new Dictionary<Layer, RefittedUp>(), weightBits);
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
                MatMulEmitter.Quantize(emission, plan.Layer, Int8.PerRow(Dense(plan.Layer), plan.Layer.Out, bits: weightBits));
                break;
        }
    }

    /// <summary>The rows of a table in 8 bits.</summary>
    static Int8Rows Table(Layer layer) => Int8.PerRow(layer.Weight.Read(), layer.In);


    /// <summary>A layer's weight, (out, in) row-major.</summary>
    static float[] Dense(Layer layer) => Array.ConvertAll(layer.ReadWeight().Data, value => (float)value);
}
