using OnnxLowRank.Layers;

namespace OnnxLowRank.Planning;

/// <summary>
/// Time of a layer in units of one fp32 multiply-add, from its shape alone: the same on every machine, so that plans are
/// reproducible. The constants are estimates from a few timed models, not fits: they order plans, they do not
/// predict milliseconds.
/// </summary>
/// <param name="positions">Per layer, vectors x per sample.</param>
sealed class ShapeCostModel(IReadOnlyDictionary<Layer, double> positions) : ICostModel
{
    /// <summary>Starting an operator.</summary>
    const double PerOperator = 20_000;

    /// <summary>Writing one fp32 output element and reading it back.</summary>
    const double PerFloat = 30;

    /// <summary>One multiply-add on 8-bit integers.</summary>
    const double PerInt8Product = 0.22;

    /// <summary>One multiply-add of a 4-bit weight in blocks with an 8-bit input: its kernels gain less from several rows at once.</summary>
    const double PerBlockProduct = 0.6;

    /// <summary>Requantizing one 8-bit output element and reading it back.</summary>
    const double PerInt8 = 50;

    /// <inheritdoc/>
    public double Time(LayerPlan plan)
    {
        var layer = plan.Layer;
        double count = positions[layer];
        switch (plan)
        {
            case LayerPlan.Factorize factorize:
                double inner = (double)layer.Groups * factorize.Rank;
                return Operator(factorize.Format, factorize.Block, count, inner * layer.In, inner)
                    + Operator(factorize.Format, factorize.Block, count, (double)layer.Out * factorize.Rank, layer.Out);
            case LayerPlan.Quantize quantize:
                return Operator(quantize.Format, quantize.Block, count, layer.Elements, layer.Out);
            default:
                return Operator(WeightFormat.Float32, 0, count, layer.Elements, layer.Out);
        }
    }

    static double Operator(WeightFormat format, int block, double positions, double products, double outputs) => PerOperator + positions * (
        format == WeightFormat.Float32 ? products + PerFloat * outputs
        : block > 0 ? PerBlockProduct * products + PerInt8 * outputs
        : PerInt8Product * products + PerInt8 * outputs);
}
