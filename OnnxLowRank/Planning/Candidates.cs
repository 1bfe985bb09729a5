using OnnxLowRank.Factorization;
using OnnxLowRank.Layers;
using OnnxLowRank.Quantization;

namespace OnnxLowRank.Planning;

/// <summary>One way to do one layer.</summary>
/// <param name="Bytes">Bytes of weights, scales and biases.</param>
/// <param name="Time">As <see cref="ICostModel"/> gives it.</param>
/// <param name="Error">Predicted loss of the layer's output energy, as a share of it.</param>
/// <param name="Damage">What that does to the model's output: see <see cref="DamageCurve"/>.</param>
readonly record struct Candidate(LayerPlan Plan, double Bytes, double Time, double Error, double Damage);

/// <summary>What may be done to layers.</summary>
/// <param name="Formats">Formats that weights are stored and run in.</param>
/// <param name="WeightOnly">Formats that weights are stored in and floats made of when the model is loaded.</param>
/// <param name="Factorizes">Whether ranks are cut; otherwise weights are only quantized.</param>
/// <param name="Blocks">How many numbers may share a scale in 4 bits; 0: those of an output channel.</param>
/// <param name="WeightBits">Of weights that run on 8-bit kernels: 8 or 7.</param>
/// <param name="KeepsForSpeed">
/// Whether floats that are faster alone count as faster. Otherwise keeping a layer that could run on integers counts as slower than that: between
/// layers on integers, conversions take more than it saves.
/// </param>
sealed record Allowed(
    IReadOnlyList<WeightFormat> Formats, IReadOnlyList<WeightFormat> WeightOnly, bool Factorizes, IReadOnlyList<int> Blocks, int WeightBits = 8, bool KeepsForSpeed = true)
{
    /// <summary>Layers stay as they are.</summary>
    public static Allowed Nothing { get; } = new([], [], Factorizes: false, []);

    /// <summary>
    /// What is left for a MatMul or Gemm whose input no single 8-bit scale suits, neither one per run nor one for all runs, which would
    /// have to cover the same outliers: weights alone, and blocks, which scale every row by itself.
    /// </summary>
    public Allowed WithoutScalesPerRun() => this with
    {
        Formats = [.. Formats.Where(format => format != WeightFormat.Int8)],
        WeightOnly = [.. WeightOnly.Concat(Formats.Where(format => !format.IsReal())).Distinct()],
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

    /// <summary>The same where nothing but the weight is rounded.</summary>
    const double WeightNoise = 5e-5;

    /// <summary>The same in 16-bit floats: relative errors of up to 2⁻¹², uniformly spread.</summary>
    const double HalfNoise = 2e-8;

    /// <summary>Bytes that a node of a rewritten layer takes in the file, with the names and shapes of its constants.</summary>
    const double OverheadPerNode = 130;

    /// <param name="decomposition">Null where no rank saves anything.</param>
    /// <param name="inFewBits">Null where the layer cannot be run in few bits.</param>
    /// <param name="damage">What the layer's error does to the model's output.</param>
    /// <param name="canRun">Whether the layer can be run in a format.</param>
    public static List<Candidate> Of(
        Layer layer, Decomposition? decomposition, NBitWeights? inFewBits, ICostModel cost, DamageCurve damage, Func<WeightFormat, bool> canRun, Allowed allowed)
    {
        var table = new List<Candidate> { Row(new LayerPlan.Keep(layer), layer.Bytes, 0) };
        double noise = layer.IsTable ? WeightNoise : allowed.WeightBits < 8 ? Int7Noise : Int8Noise;
        bool factorizes = allowed.Factorizes && decomposition != null;
        foreach (var format in allowed.Formats.Where(canRun))
        {
            if (format.IsFewBits())
            {
                table.AddRange(inFewBits == null ? [] : allowed.Blocks.Where(block => TakesBlocks(format, block)).SelectMany(block => OnIntegersInFewBits(format, block)));
                continue;
            }
            double rounding = format switch { WeightFormat.Int8 => noise, WeightFormat.Float16 => HalfNoise, _ => 0 };
            if (format != WeightFormat.Float32)
            {
                table.Add(Row(new LayerPlan.Quantize(layer, format), format == WeightFormat.Int8 ? DenseBytes(layer) : HalfBytes(layer, weights: 1, layer.Elements), rounding));
            }
            table.AddRange(Pairs(format, onIntegers: format == WeightFormat.Int8).Select(plan => Row(plan, FactorizedBytes(plan), Cut(plan) + 2 * rounding)));
        }
        if (!allowed.KeepsForSpeed && table.Find(candidate => candidate.Plan is LayerPlan.Quantize) is { Plan: not null } onIntegers)
        {
            table[0] = table[0] with { Time = table[0].Time + onIntegers.Time };
        }
        foreach (var format in layer.IsTable ? [] : allowed.WeightOnly)
        {
            table.AddRange(format.IsFewBits() ? (inFewBits == null ? [] : StoredInFewBits(format)) : format == WeightFormat.Float16 && !canRun(format) ? [] : Stored(format));
        }
        return table;

        Candidate Row(LayerPlan plan, double bytes, double error) => new(plan, bytes, cost.Time(plan), error, damage.At(error));

        // How much harm rounding to few bits does is measured; that of rounding to 8 is a guess, for which the curve is good enough.
        Candidate Rounded(LayerPlan plan, double bytes, double error) => new(plan, bytes, cost.Time(plan), error, damage.OfRounding(error));

        bool TakesBlocks(WeightFormat format, int block) =>
            format == WeightFormat.Int4 ? block == 0 || (layer.Kind != LayerKind.Conv && !layer.IsTable) : block == 0 && !layer.IsTable;

        IEnumerable<Candidate> OnIntegersInFewBits(WeightFormat format, int block)
        {
            var dense = new LayerPlan.Quantize(layer, format, block);
            yield return Rounded(dense, FewBitsDenseBytes(layer, dense.Grid, allowed.WeightBits), inFewBits.DenseError(dense.Grid) + (layer.IsTable ? 0 : Int8Noise));
            foreach (int rank in Corrections(dense.Grid))
            {
                double bytes = FewBitsDenseBytes(layer, dense.Grid, Int8.Bits) + CorrectionBytes(layer, rank) + OverheadPerNode * RequantizingNodes;
                yield return Rounded(dense with { Correction = rank }, bytes, inFewBits.CorrectedError(rank) + noise);
            }
            foreach (var plan in PairsInFewBits(format, onIntegers: true))
            {
                var inBlocks = plan with { Block = block };
                yield return Row(inBlocks, FewBitsPairBytes(inBlocks, allowed.WeightBits), Cut(plan) + Rounding(inBlocks) + 2 * Int8Noise);
            }
        }

        IEnumerable<Candidate> StoredInFewBits(WeightFormat format)
        {
            var dense = new LayerPlan.Quantize(layer, format, WeightOnly: true);
            double bytes = NBitWeights.DenseBytes(layer, dense.Grid) + RealBiases(layer) + WeightOnlyOverhead(layer, 1, format);
            yield return Rounded(dense, bytes, inFewBits.DenseError(dense.Grid));
            foreach (int rank in Corrections(dense.Grid))
            {
                yield return Rounded(dense with { Correction = rank }, bytes + CorrectionBytes(layer, rank), inFewBits.CorrectedError(rank));
            }
            foreach (var plan in PairsInFewBits(format, onIntegers: false))
            {
                var stored = plan with { WeightOnly = true };
                yield return Row(stored, WeightOnlyBytes(stored), Cut(plan) + Rounding(plan));
            }
        }

        IEnumerable<Candidate> Stored(WeightFormat format)
        {
            bool isHalf = format == WeightFormat.Float16;
            double rounding = isHalf ? HalfNoise : WeightNoise;
            double bytes = isHalf ? HalfBytes(layer, weights: 1, layer.Elements) : layer.Elements + 4.0 * layer.Out + RealBiases(layer) + WeightOnlyOverhead(layer, 1, format);
            yield return Row(new LayerPlan.Quantize(layer, format, WeightOnly: true), bytes, rounding);
            foreach (var plan in Pairs(format, onIntegers: false))
            {
                var stored = plan with { WeightOnly = true };
                yield return Row(stored, WeightOnlyBytes(stored), Cut(plan) + 2 * rounding);
            }
        }

        IEnumerable<int> Corrections(NBitGrid grid) => allowed.Factorizes && grid is { Bits: 4, Block: 0 } ? inFewBits!.CorrectionRanks : [];

        IEnumerable<LayerPlan.Factorize> Pairs(WeightFormat format, bool onIntegers) => factorizes ? Plans(layer, decomposition!, format, onIntegers) : [];

        IEnumerable<LayerPlan.Factorize> PairsInFewBits(WeightFormat format, bool onIntegers) => layer.IsTable ? []
            : Pairs(format, onIntegers).Where(plan => plan.Slots == 1 || (plan.Products == 2 && inFewBits!.HasPairs(plan.Slots)));

        double Rounding(LayerPlan.Factorize plan) => inFewBits!.PairRounding(plan.FirstRank, plan.Grid, plan.Slots);

        double Cut(LayerPlan.Factorize plan) => (plan.IsSpatial ? 0 : decomposition!.Error(plan.Rank)) + (plan.Slots == 1 ? 0 : Gain(plan) * InputError(plan));

        double InputError(LayerPlan.Factorize plan) => plan.IsSpatial ? decomposition!.SpatialError(plan.Rank) : decomposition!.InputError(plan.FirstRank);

        double Gain(LayerPlan.Factorize plan) => plan.IsSpatial ? damage.SpatialGain : damage.InputGain;
    }

    static double WeightOnlyBytes(LayerPlan.Factorize plan)
    {
        var layer = plan.Layer;
        if (plan.Format == WeightFormat.Float16)
        {
            return HalfBytes(layer, plan.Products, plan.Elements);
        }
        bool isFewBits = plan.Format.IsFewBits();
        double bytes = isFewBits ? NBitWeights.PairBytes(layer, plan.FirstRank, plan.Grid, plan.Slots) : plan.Elements + 4 * (Inner(plan) + layer.Out);
        return bytes + RealBiases(layer) + WeightOnlyOverhead(layer, plan.Products, plan.Format) + (plan.Products - 1) * OverheadPerNode;
    }

    /// <summary>Of what is added to a dense weight in 4 bits, and of the nodes that add it.</summary>
    static double CorrectionBytes(Layer layer, int rank) => Correction.Bytes(layer.Out, layer.In, rank) + OverheadPerNode * CorrectingNodes;

    /// <summary>As a file's bytes count them: nodes that add to a weight, and that make 8 bits of the sum.</summary>
    const int CorrectingNodes = 5, RequantizingNodes = 4;

    /// <summary>Of weights in 16-bit floats, with the Casts behind them; where layers run in those, Casts stand around the layer instead, and are as many or one more.</summary>
    static double HalfBytes(Layer layer, int weights, long elements) => 2.0 * elements + RealBiases(layer) + (2 * weights - 1) * OverheadPerNode;

    /// <summary>Of the nodes that make floats of weights.</summary>
    static double WeightOnlyOverhead(Layer layer, int weights, WeightFormat format) =>
        OverheadPerNode * weights * (2 + (layer.IsSingle ? 0 : 1) + (format.IsFewBits() ? UnpackingNodes(format.Bits(), Int8.Bits) : 0));

    /// <summary>Numbers between the products of a plan, per position.</summary>
    static double Inner(LayerPlan.Factorize plan) => (plan.IsCutAtRank ? (double)plan.Layer.Groups * plan.Rank : 0) + (plan.InputRank ?? 0);

    /// <param name="onIntegers">Whether the products run on kernels of 8-bit numbers.</param>
    static IEnumerable<LayerPlan.Factorize> Plans(Layer layer, Decomposition decomposition, WeightFormat format, bool onIntegers)
    {
        IEnumerable<int> Suiting(IEnumerable<int> ranks) => onIntegers ? OnIntegers(layer, ranks) : ranks;
        foreach (int rank in Suiting(Ranks(decomposition.MaxRank)))
        {
            yield return new(layer, rank, format);
        }
        foreach (int rank in Suiting(Ranks(decomposition.Spatial?.MaxRank ?? 0)))
        {
            yield return new(layer, rank, format, IsSpatial: true);
        }
        foreach (int inputRank in Suiting(FewRanks(decomposition.Tucker?.MaxInputRank ?? 0)))
        {
            yield return new(layer, layer.Out, format, inputRank);
            foreach (int rank in Suiting(FewRanks(decomposition.MaxRank)))
            {
                var plan = new LayerPlan.Factorize(layer, rank, format, inputRank);
                if (plan.Elements < layer.Elements)
                {
                    yield return plan;
                }
            }
        }
    }

    /// <summary>Convolutions of integers take channels in fours, and as long for the last one of a four as for all of it.</summary>
    static IEnumerable<int> OnIntegers(Layer layer, IEnumerable<int> ranks) =>
        layer.Kind == LayerKind.Conv ? ranks.Where(rank => rank < IntegerChannels || rank % IntegerChannels == 0) : ranks;

    /// <summary>Channels that such a kernel takes at once.</summary>
    const int IntegerChannels = 4;

    /// <summary>Biases in float32, as kernels on integers want them.</summary>
    static double Biases(Layer layer) => 4.0 * layer.Uses.Count * layer.Out;

    /// <summary>Biases as the layer's own floats are stored.</summary>
    static double RealBiases(Layer layer) => (double)layer.BytesPerFloat * layer.Uses.Count * layer.Out;

    /// <summary>Casts between a layer's type and the float32 that kernels on integers want.</summary>
    static double Borders(Layer layer) => layer.IsSingle ? 0 : (layer.IsTable ? 1 : 2) * OverheadPerNode * layer.Uses.Count;

    static double DenseBytes(Layer layer) => layer.IsTable ? TableBytes(layer.In, layer.Out, nodes: 4) + Borders(layer)
        : layer.Elements + 4.0 * layer.Out + IntegerBiases(layer) + Overhead(layer, weights: 1, unpacking: 0);

    /// <summary>A table in 8 bits with a scale per row, and the nodes that look rows up.</summary>
    static double TableBytes(int rows, int cols, int nodes) => rows * (cols + 4.0) + OverheadPerNode * (nodes - 1);

    static double FewBitsDenseBytes(Layer layer, NBitGrid grid, int bits) => layer.IsTable
        ? NBitWeights.DenseBytes(layer, grid) + OverheadPerNode * 6 + Borders(layer)
        : NBitWeights.DenseBytes(layer, grid) + IntegerBiases(layer) + Overhead(layer, weights: 1, grid.Block == 0 ? UnpackingNodes(grid.Bits, bits) : 0);

    static double FewBitsPairBytes(LayerPlan.Factorize plan, int bits) =>
        NBitWeights.PairBytes(plan.Layer, plan.FirstRank, plan.Grid, plan.Slots) + IntegerBiases(plan.Layer) + Overhead(plan.Layer, weights: 2, plan.Block == 0 ? UnpackingNodes(plan.Grid.Bits, bits) : 0);

    /// <summary>Nodes that make 8 bits of fewer, as a file's bytes count them.</summary>
    static int UnpackingNodes(int stored, int bits) => (NBitPacking.WordBits(stored) == 8 ? 3 : 6) + (bits < 8 ? 3 : 0);

    static double FactorizedBytes(LayerPlan.Factorize plan)
    {
        var layer = plan.Layer;
        if (layer.IsTable && plan.Format == WeightFormat.Int8)
        {
            return TableBytes(layer.In, plan.Rank, nodes: 5) + (double)layer.Out * plan.Rank + 4.0 * layer.Out + Biases(layer) + Borders(layer);
        }
        return plan.Format == WeightFormat.Float16 ? HalfBytes(layer, plan.Products, plan.Elements)
            : plan.Format == WeightFormat.Int8
            ? plan.Elements + 4 * (Inner(plan) + layer.Out) + IntegerBiases(layer) + Overhead(layer, plan.Products, unpacking: 0)
            : layer.BytesPerFloat * plan.Elements + RealBiases(layer) + (plan.Products - 1) * (layer.StoredType == layer.Type ? 1 : 2) * OverheadPerNode;
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
        return OverheadPerNode * (nodes + unpacking * weights) + Borders(layer);
    }

    static IEnumerable<int> Ranks(int most)
    {
        for (int rank = 1; rank <= most; rank += Step(rank))
        {
            yield return rank;
        }
    }

    /// <summary>Every second rank, where there are pairs of them: the even ones, and in the end multiples of 16, not what lies beside them.</summary>
    static IEnumerable<int> FewRanks(int most) => most == 1 ? [1] : Ranks(most).Where((_, i) => i % 2 == 1);

    /// <summary>
    /// About a sixteenth of the rank: 1, 2, 4, 8 or 16. Coarser loses bytes, finer is noise; from 64 on ranks are multiples of 8, from
    /// 128 on of 16, as kernels work in blocks of that size.
    /// </summary>
    static int Step(int rank) => rank switch { < 16 => 1, < 32 => 2, < 64 => 4, < 128 => 8, _ => 16 };
}
