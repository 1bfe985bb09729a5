using OnnxLowRank.Layers;
using OnnxLowRank.Planning;
using OnnxLowRank.Rewriting;

namespace OnnxLowRank;

/// <summary>What runs on integers and what in floats, where the format is free.</summary>
static class Mixtures
{
    /// <summary>Predicted damage at which mixtures are compared before any plan is tried: that of one which loses little.</summary>
    const double TypicalDamage = 0.01;

    /// <summary>Convolutions with a smaller share of the layers' time decide nothing.</summary>
    const double SmallShare = 0.05;

    /// <summary>
    /// What may be done to each layer, the ways to mix in order: first two of which one is chosen before the search, then what is left
    /// where that loses too much or is slower than the original.
    /// </summary>
    public static IReadOnlyList<Func<Layer, Allowed>> Of(CompressionOptions options)
    {
        Allowed Ways(WeightFormat[] formats, WeightFormat[] weightOnly) =>
            new(formats, weightOnly, options.Method != Method.None, options.Dialect == Dialect.Ort ? [0, Compressor.Block] : [0], options.WeightBits);
        if (options.Format != FormatChoice.Auto)
        {
            var format = options.Format switch { FormatChoice.Int8 => WeightFormat.Int8, FormatChoice.Int4 => WeightFormat.Int4, _ => WeightFormat.Float32 };
            return [_ => Ways([format], [])];
        }
        WeightFormat[] few = [WeightFormat.Int8, WeightFormat.Int4];
        return
        [
            // All convolutions alike: between integer and float ones layouts are converted.
            layer => Ways(few, layer.Kind == LayerKind.Conv ? [] : few),
            layer => Ways(layer.Kind == LayerKind.Conv ? [] : few, few),
            layer => Ways(layer.IsTable ? few : [WeightFormat.Float32], few), // where even 8 bits lose too much, a cut may not
        ];
    }

    /// <summary>
    /// Which of two tables promises the cheaper model, by plans that do the same predicted damage; where convolutions matter, by the times of
    /// the whole models of those plans.
    /// </summary>
    /// <param name="models">Null where nothing is to be timed.</param>
    /// <exception cref="ModelException">ONNX Runtime cannot run one of them.</exception>
    public static int Cheaper(IReadOnlyList<List<Candidate>> first, IReadOnlyList<List<Candidate>> second, double timeShare, WholeModels? models)
    {
        var allocation = new Allocation(first, timeShare);
        var (one, other) = (allocation.AtDamage(TypicalDamage), new Allocation(second, timeShare).AtDamage(TypicalDamage));
        double convs = first.Where(table => table[0].Plan.Layer.Kind == LayerKind.Conv).Sum(table => table[0].Time), all = first.Sum(table => table[0].Time);
        double cost = models == null || timeShare == 0 || convs < SmallShare * all ? other.Cost : allocation.CostOf(other, one, models.Ratio(other, one));
        return one.Cost <= cost ? 0 : 1;
    }
}
