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

    /// <summary>Requantizing one 8-bit output element and reading it back.</summary>
    const double PerInt8 = 50;

    /// <inheritdoc/>
    public double Time(LayerPlan plan)
    {
        bool isInt8 = plan is LayerPlan.Factorize { Format: WeightFormat.Int8 } or LayerPlan.Quantize { Format: WeightFormat.Int8 };
        return Product.Of(plan, positions[plan.Layer]).Sum(product => PerOperator + product.Positions * (isInt8
            ? PerInt8Product * product.Elements + PerInt8 * product.Outputs
            : product.Elements + PerFloat * product.Outputs));
    }
}
