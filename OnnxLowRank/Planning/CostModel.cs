using OnnxLowRank.Layers;

namespace OnnxLowRank.Planning;

/// <summary>
/// Time of a layer in units of one fp32 multiply-add, from its shape alone: the same on every machine, so that plans are
/// reproducible. The constants are estimates from a few timed models, not fits: they order plans, they do not
/// predict milliseconds.
/// </summary>
static class CostModel
{
    /// <summary>Starting an operator.</summary>
    const double PerOperator = 20_000;

    /// <summary>Writing one fp32 output element and reading it back.</summary>
    const double PerFloat = 30;

    /// <summary>One multiply-add on 8-bit integers.</summary>
    const double PerInt8Product = 0.22;

    /// <summary>Requantizing one 8-bit output element and reading it back.</summary>
    const double PerInt8 = 50;

    /// <param name="positions">Vectors x per sample.</param>
    public static double Time(Layer layer, WeightFormat format, double positions) =>
        Operator(format, positions, layer.Elements, layer.Out);

    /// <param name="rank">Rank per group of a factorized layer.</param>
    public static double Time(Layer layer, WeightFormat format, double positions, int rank)
    {
        double inner = (double)layer.Groups * rank;
        return Operator(format, positions, inner * layer.In, inner) + Operator(format, positions, (double)layer.Out * rank, layer.Out);
    }

    static double Operator(WeightFormat format, double positions, double products, double outputs) => PerOperator + positions * (format == WeightFormat.Int8
        ? PerInt8Product * products + PerInt8 * outputs
        : products + PerFloat * outputs);
}
