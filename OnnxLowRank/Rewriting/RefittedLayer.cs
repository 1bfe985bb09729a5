using OnnxLowRank.Calibration;
using OnnxLowRank.Factorization;
using OnnxLowRank.Layers;

namespace OnnxLowRank.Rewriting;

/// <summary>A layer whose weight and biases were fitted to what it really gets inside a rewritten model, and all that rewriting it needs to know.</summary>
/// <param name="Layer">The layer with those.</param>
/// <param name="Decomposition">Null where no rank saves anything.</param>
/// <param name="InFewBits">Null where the layer cannot be run in few bits.</param>
/// <param name="Inside">Spans between its factors.</param>
sealed record RefittedLayer(Layer Layer, Decomposition? Decomposition, NBitWeights? InFewBits, InnerRanges Inside);
