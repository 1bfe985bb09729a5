using OnnxLowRank.Layers;
using OnnxLowRank.Planning;
using OnnxLowRank.Rewriting;

namespace OnnxLowRank;

/// <summary>What runs on integers and what in floats, where the format is free.</summary>
static class Mixtures
{
    /// <summary>Predicted damage at which mixtures are compared before any plan is tried: that of one which loses little.</summary>
    public const double TypicalDamage = 0.01;

    /// <summary>Convolutions with a smaller share of the layers' time decide nothing.</summary>
    const double SmallShare = 0.05;

    /// <summary>
    /// What may be done to each layer: the ways to mix, of which one is chosen before the search, and what is left where that loses too much or
    /// is slower than the original.
    /// </summary>
    /// <param name="runsHalves">Whether the device has kernels for 16-bit floats; otherwise they are only stored.</param>
    public static (IReadOnlyList<Func<Layer, Allowed>> Ways, Func<Layer, Allowed>? Fallback) Of(CompressionOptions options, IReadOnlyList<Layer> layers, bool runsHalves)
    {
        bool hasConvs = layers.Any(layer => layer.Kind == LayerKind.Conv);
        Allowed Ways(WeightFormat[] formats, WeightFormat[] weightOnly) =>
            new(formats, weightOnly, options.Method != Method.None, options.Dialect == Dialect.Ort ? [0, Compressor.Block] : [0], options.WeightBits);
        WeightFormat[] few = [WeightFormat.Int8, WeightFormat.Int6, WeightFormat.Int5, WeightFormat.Int4, WeightFormat.Int3], half = [WeightFormat.Float16];
        return options.Format switch
        {
            FormatChoice.Float32 => ([_ => Ways([WeightFormat.Float32], [])], null),
            FormatChoice.Float16 => ([layer => layer.IsHalf ? Ways([WeightFormat.Float32], []) : layer.IsTable || (runsHalves && layer.Uses.All(use => use.Addend == null)) ? Ways(half, []) : Ways([], half)], null),
            FormatChoice.Int8 => ([.. OnIntegers(_ => Ways([WeightFormat.Int8], []))], null),
            FormatChoice.Int4 => ([.. OnIntegers(_ => Ways([WeightFormat.Int4], []))], null),
            _ => ([
                // All convolutions alike: between integer and float ones layouts are converted.
                .. OnIntegers(layer => Ways(few, layer.Kind == LayerKind.Conv ? [] : few)),
                layer => Ways(layer.Kind == LayerKind.Conv ? [] : few, few),
            ],
            layer => Ways(layer.IsTable ? few : [WeightFormat.Float32], few)), // where even 8 bits lose too much, a cut may not
        };

        // A convolution that is faster in floats alone, as the first one often is, may make the model slower or faster: both are tried.
        IEnumerable<Func<Layer, Allowed>> OnIntegers(Func<Layer, Allowed> ways) =>
            !hasConvs ? [ways] : [ways, layer => ways(layer) with { KeepsForSpeed = layer.Kind != LayerKind.Conv }];
    }

    /// <summary>
    /// Which of two tables promises the cheaper model, by plans that do the same predicted damage; where convolutions matter, by the times of
    /// the whole models of those plans.
    /// </summary>
    /// <param name="models">Null where nothing is to be timed.</param>
    /// <param name="damage">That both plans do.</param>
    /// <exception cref="ModelException">ONNX Runtime cannot run one of them.</exception>
    public static int Cheaper(IReadOnlyList<List<Candidate>> first, IReadOnlyList<List<Candidate>> second, double damage, double timeShare, WholeModels? models)
    {
        var allocation = new Allocation(first, timeShare);
        var (one, other) = (allocation.AtDamage(damage), new Allocation(second, timeShare).AtDamage(damage));
        double convs = first.Where(table => table[0].Plan.Layer.Kind == LayerKind.Conv).Sum(table => table[0].Time), all = first.Sum(table => table[0].Time);
        double cost = models == null || timeShare == 0 || convs < SmallShare * all ? other.Cost : allocation.CostOf(other, one, models.Ratio(other, one));
        return one.Cost <= cost ? 0 : 1;
    }
}
