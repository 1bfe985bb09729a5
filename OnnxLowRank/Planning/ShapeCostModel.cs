using OnnxLowRank.Layers;

namespace OnnxLowRank.Planning;

/// <summary>
/// Time of a layer in units of one fp32 multiply-add, from its shape alone: the same on every machine, so that plans are
/// reproducible. The constants are estimates from a few timed models, not fits: they order plans, they do not
/// predict milliseconds.
/// </summary>
/// <param name="positions">How often each layer's weight is applied to a sample.</param>
sealed class ShapeCostModel(IReadOnlyDictionary<Layer, Positions> positions) : ICostModel
{
    /// <summary>Starting an operator.</summary>
    const double PerOperator = 20_000;

    /// <summary>Writing one fp32 output element and reading it back.</summary>
    const double PerFloat = 30;

    /// <summary>One multiply-add on 8-bit integers.</summary>
    const double PerInt8Product = 0.22;

    /// <summary>One multiply-add of a 4-bit weight in blocks with an 8-bit input: its kernels gain less from several rows at once.</summary>
    const double PerBlockProduct = 0.6;

    /// <summary>Anything in 16-bit floats, where a device has kernels for them.</summary>
    const double PerHalf = 0.5;

    /// <summary>Requantizing one 8-bit output element and reading it back.</summary>
    const double PerInt8 = 50;

    /// <inheritdoc/>
    public double Time(LayerPlan plan)
    {
        plan = plan.AsRun;
        var (format, block) = plan switch
        {
            LayerPlan.Factorize factorize => (factorize.Format, factorize.Block),
            LayerPlan.Quantize quantize => (quantize.Format, quantize.Block),
            _ => (WeightFormat.Float32, 0),
        };
        return Product.Of(plan, positions[plan.Layer]).Sum(product => PerOperator + product.Positions * (
            format.IsReal() ? (product.Elements + PerFloat * product.Outputs) * (plan.Reals.Run == plan.Layer.Type ? 1 : PerHalf)
            : (block > 0 ? PerBlockProduct : PerInt8Product) * product.Elements + PerInt8 * product.Outputs));
    }
}
