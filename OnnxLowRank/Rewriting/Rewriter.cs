using Google.Protobuf.Collections;
using OnnxLowRank.Calibration;
using OnnxLowRank.Factorization;
using OnnxLowRank.Layers;
using OnnxLowRank.Onnx;
using OnnxLowRank.Onnx.Proto;
using OnnxLowRank.Planning;
using OnnxLowRank.Quantization;
using OnnxLowRank.Storage;

namespace OnnxLowRank.Rewriting;

/// <summary>A rewritten model.</summary>
/// <param name="InputsGone">Graph inputs that were only initializers of rewritten layers.</param>
sealed record Rewritten(OnnxModel Model, IReadOnlyList<string> InputsGone);

/// <summary>Turns plans into models.</summary>
/// <param name="inFewBits">Of the layers that can be run in few bits.</param>
/// <param name="provenance">Metadata that every rewritten model carries.</param>
/// <param name="weightBits">Of weights that run on 8-bit kernels: 8 or 7. It changes numbers and what unpacks them, not what runs.</param>
sealed class Rewriter(
    OnnxModel model, IReadOnlyDictionary<Layer, Decomposition> decompositions, IReadOnlyDictionary<Layer, NBitWeights> inFewBits, ActivationRanges ranges,
    Dialect dialect, IReadOnlyDictionary<string, string> provenance, int weightBits = Int8.Bits)
{
    /// <summary>Whose layers are rewritten; it stays as it is.</summary>
    public OnnxModel Model => model;

    /// <summary>A copy of the model in which the planned layers are replaced. The plans' order is the layers' graph order.</summary>
    /// <param name="refits">What takes a layer's place before it is rewritten; null for nothing.</param>
    public Rewritten Apply(IEnumerable<LayerPlan> plans, IReadOnlyDictionary<Layer, RefittedLayer>? refits = null)
    {
        var copy = model.Copy();
        var nodes = model.Graph.Node.Zip(copy.Graph.Node).ToDictionary(pair => pair.First, pair => pair.Second, (IEqualityComparer<NodeProto>)ReferenceEqualityComparer.Instance);
        var graph = new GraphEditor(copy);
        var grids = new ActivationGrids(graph, ranges.Values);
        var emission = new Emission(graph, dialect, ranges, grids, nodes, weightBits);
        foreach (var plan in plans)
        {
            if (refits?.GetValueOrDefault(plan.Layer) is { } refit)
            {
                Emit(emission with { Ranges = ranges with { Inside = refit.Inside } }, plan with { Layer = refit.Layer }, refit.Decomposition, refit.InFewBits);
            }
            else
            {
                Emit(emission, plan, decompositions.GetValueOrDefault(plan.Layer), inFewBits.GetValueOrDefault(plan.Layer));
            }
            Garbage.Collect(plan.Layer.Elements);
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

    /// <param name="decomposition">Of the plan's layer; null where the plan does not cut it.</param>
    /// <param name="inFewBits">Likewise; null where the plan does not want it.</param>
    static void Emit(Emission emission, LayerPlan plan, Decomposition? decomposition, NBitWeights? inFewBits)
    {
        var layer = plan.Layer;
        switch (plan)
        {
            case LayerPlan.Factorize factorize when layer.IsTable:
                TableEmitter.Factorize(emission, factorize, decomposition!);
                break;
            case LayerPlan.Factorize factorize when layer.Kind == LayerKind.ConvTranspose:
                ConvTransposeEmitter.Factorize(emission, factorize, decomposition!);
                break;
            case LayerPlan.Quantize quantize when layer.Kind == LayerKind.ConvTranspose:
                ConvTransposeEmitter.Quantize(emission, quantize);
                break;
            case LayerPlan.Factorize factorize:
                var pair = factorize.Format.IsFewBits() ? inFewBits!.Pair(factorize.FirstRank, factorize.Grid, factorize.Slots) : null;
                if (layer.Kind == LayerKind.Conv)
                {
                    ConvEmitter.Factorize(emission, factorize, decomposition!, pair);
                }
                else
                {
                    MatMulEmitter.Factorize(emission, factorize, decomposition!, pair);
                }
                break;
            case LayerPlan.Quantize quantize:
                var dense = !quantize.Format.IsFewBits() ? null : quantize.Correction > 0 ? inFewBits!.Corrected(quantize.Correction) : inFewBits!.Dense(quantize.Grid);
                if (layer.IsTable)
                {
                    TableEmitter.Quantize(emission, quantize, dense);
                }
                else if (layer.Kind == LayerKind.Conv)
                {
                    ConvEmitter.Quantize(emission, quantize, dense);
                }
                else
                {
                    MatMulEmitter.Quantize(emission, quantize, dense);
                }
                break;
        }
    }
}
