using OnnxLowRank.Factorization;
using OnnxLowRank.Layers;

namespace OnnxLowRank.Planning;

/// <summary>One way to do one layer.</summary>
/// <param name="Bytes">Bytes of weights, scales and biases.</param>
/// <param name="Time">As <see cref="ICostModel"/> gives it.</param>
/// <param name="Error">Predicted loss of the layer's output energy, as a share of it.</param>
/// <param name="Damage">What that does to the model's output: see <see cref="DamageCurve"/>.</param>
readonly record struct Candidate(LayerPlan Plan, double Bytes, double Time, double Error, double Damage);

/// <summary>What may be done to layers.</summary>
/// <param name="Formats">Formats of rewritten weights.</param>
/// <param name="Factorizes">Whether ranks are cut; otherwise weights are only quantized.</param>
/// <param name="Blocks">How many numbers may share a scale in 4 bits; 0: those of an output channel.</param>
/// <param name="WeightBits">Of weights that run on 8-bit kernels: 8 or 7.</param>
sealed record Allowed(IReadOnlyList<WeightFormat> Formats, bool Factorizes, IReadOnlyList<int> Blocks, int WeightBits = 8)
{
    /// <summary>
    /// What is left for a MatMul or Gemm whose input no single 8-bit scale suits, neither one per run nor one for all runs, which would
    /// have to cover the same outliers: floats, and blocks, which scale every row by itself.
    /// </summary>
    public Allowed WithoutScalesPerRun() => this with
    {
        Formats = [.. Formats.Where(format => format != WeightFormat.Int8).Append(WeightFormat.Float32).Distinct()],
        Blocks = [.. Blocks.Where(block => block > 0)],
    };
}

/// <summary>The table of ways to do one layer; the first is always to keep it.</summary>
static class Candidates
{
    /// <summary>Share of output energy that rounding a weight and its input to 8 bits costs; measured order of magnitude, per product.</summary>
    const double Int8Noise = 1.5e-4;

    /// <summary>The same with weights of 7 bits: four times the weight's part of it and as much as before of the input's; twice as measured.</summary>
    const double Int7Noise = 2 * Int8Noise;
    /// <summary>The same for a table, where nothing but a row is rounded.</summary>
    const double TableNoise = 5e-5;

    /// <summary>Bytes that a node of a rewritten layer takes in the file, with the names and shapes of its constants.</summary>
    const double OverheadPerNode = 130;

    /// <param name="decomposition">Null where no rank saves anything.</param>
    /// <param name="int4">Null where the layer cannot be run in 4 bits.</param>
    /// <param name="damage">What the layer's error does to the model's output.</param>
    /// <param name="canRun">Whether the layer can be run in a format.</param>
    public static List<Candidate> Of(
        Layer layer, Decomposition? decomposition, Int4Weights? int4, ICostModel cost, DamageCurve damage, Func<WeightFormat, bool> canRun, Allowed allowed)
    {
        Candidate Row(LayerPlan plan, double bytes, double error) => new(plan, bytes, cost.Time(plan), error, damage.At(error));
        var table = new List<Candidate> { Row(new LayerPlan.Keep(layer), layer.Bytes, 0) };
        double noise = layer.IsTable ? TableNoise : allowed.WeightBits < 8 ? Int7Noise : Int8Noise;
        var ranks = allowed.Factorizes && decomposition != null ? Ranks(decomposition.MaxRank) : [];
        foreach (var format in allowed.Formats.Where(canRun))
        {
            if (format == WeightFormat.Int4)
            {
                foreach (int block in int4 == null ? [] : allowed.Blocks.Where(block => block == 0 || (layer.Kind != LayerKind.Conv && !layer.IsTable)))
                {
                    table.Add(Row(
                        new LayerPlan.Quantize(layer, format, block), Int4DenseBytes(layer, block, allowed.WeightBits), int4!.DenseError(block) + (layer.IsTable ? 0 : Int8Noise)));
                    table.AddRange((layer.IsTable ? [] : ranks).Select(rank => Row(
                        new LayerPlan.Factorize(layer, rank, format, Block: block), Int4PairBytes(layer, rank, block, allowed.WeightBits), int4.PairError(rank, block) + 2 * Int8Noise)));
                }
                continue;
            }
            if (format == WeightFormat.Int8)
            {
                table.Add(Row(new LayerPlan.Quantize(layer, format), DenseBytes(layer), noise));
            }
            if (!allowed.Factorizes || decomposition == null)
            {
                continue;
            }
            foreach (var plan in Plans(layer, decomposition, format))
            {
                double error = decomposition.Error(plan.Rank) + (plan.InputRank is { } inputRank ? damage.InputGain * decomposition.InputError(inputRank) : 0);
                table.Add(Row(plan, FactorizedBytes(plan), error + (format == WeightFormat.Int8 ? 2 * noise : 0)));
            }
        }
        return table;
    }

    static IEnumerable<LayerPlan.Factorize> Plans(Layer layer, Decomposition decomposition, WeightFormat format)
    {
        foreach (int rank in Ranks(decomposition.MaxRank))
        {
            yield return new(layer, rank, format);
        }
        for (int inputRank = 1; inputRank <= (decomposition.Tucker?.MaxInputRank ?? 0); inputRank += 2 * Step(inputRank))
        {
            yield return new(layer, layer.Out, format, inputRank);
            for (int rank = 1; rank <= decomposition.MaxRank; rank += 2 * Step(rank))
            {
                var plan = new LayerPlan.Factorize(layer, rank, format, inputRank);
                if (plan.Elements < layer.Elements)
                {
                    yield return plan;
                }
            }
        }
    }

    static double Biases(Layer layer) => 4.0 * layer.Uses.Count * layer.Out;

    static double DenseBytes(Layer layer) => layer.IsTable ? TableBytes(layer.In, layer.Out, nodes: 4)
        : layer.Elements + 4.0 * layer.Out + IntegerBiases(layer) + Overhead(layer, weights: 1, unpacking: 0);

    /// <summary>A table in 8 bits with a scale per row, and the nodes that look rows up.</summary>
    static double TableBytes(int rows, int cols, int nodes) => rows * (cols + 4.0) + OverheadPerNode * (nodes - 1);

    static double Int4DenseBytes(Layer layer, int block, int bits) => layer.IsTable
        ? Int4Weights.DenseBytes(layer, block) + OverheadPerNode * 8
        : Int4Weights.DenseBytes(layer, block) + IntegerBiases(layer) + Overhead(layer, weights: 1, block == 0 ? UnpackingNodes(bits) : 0);

    static double Int4PairBytes(Layer layer, int rank, int block, int bits) =>
        Int4Weights.PairBytes(layer, rank, block) + IntegerBiases(layer) + Overhead(layer, weights: 2, block == 0 ? UnpackingNodes(bits) : 0);

    /// <summary>Nodes that make 8 bits of 4, as a file's bytes count them.</summary>
    static int UnpackingNodes(int bits) => bits < 8 ? 7 : 4;

    static double FactorizedBytes(LayerPlan.Factorize plan)
    {
        var layer = plan.Layer;
        int weights = 1 + (plan.InputRank == null ? 0 : 1) + (plan.HasUp ? 1 : 0);
        if (layer.IsTable && plan.Format == WeightFormat.Int8)
        {
            return TableBytes(layer.In, plan.Rank, nodes: 5) + (double)layer.Out * plan.Rank + 4.0 * layer.Out + Biases(layer);
        }
        double inner = (plan.HasUp ? (double)layer.Groups * plan.Rank : 0) + (plan.InputRank ?? 0);
        return plan.Format == WeightFormat.Int8
            ? plan.Elements + 4 * (inner + layer.Out) + IntegerBiases(layer) + Overhead(layer, weights, unpacking: 0)
            : 4 * plan.Elements + Biases(layer) + (weights - 1) * OverheadPerNode;
    }

    /// <summary>A Conv's bias on integers has scales of its own.</summary>
    static double IntegerBiases(Layer layer) => (layer.Kind == LayerKind.Conv ? 2 : 1) * Biases(layer);

    /// <summary>
    /// Names, shapes and nodes, beyond those of the layer as it was: with their scales a product's weights count as two nodes, those of
    /// a Conv with what quantizes around them as three and more.
    /// </summary>
    /// <param name="unpacking">Nodes that unpack one weight.</param>
    static double Overhead(Layer layer, int weights, int unpacking)
    {
        int nodes = layer.Kind == LayerKind.Conv ? 5 * weights - 2 : 2 * weights;
        return OverheadPerNode * (nodes + unpacking * weights);
    }

    static IEnumerable<int> Ranks(int most)
    {
        for (int rank = 1; rank <= most; rank += Step(rank))
        {
            yield return rank;
        }
    }

    /// <summary>
    /// About a sixteenth of the rank: 1, 2, 4, 8 or 16. Coarser loses bytes, finer is noise; from 64 on ranks are multiples of 8, from
    /// 128 on of 16, as kernels work in blocks of that size.
    /// </summary>
    static int Step(int rank) => rank switch { < 16 => 1, < 32 => 2, < 64 => 4, < 128 => 8, _ => 16 };
}
