namespace OnnxLowRank.Planning;

/// <summary>
/// What an error in a layer does to the model's output: a power law, scale·error^exponent, through measured points. Many layers do no
/// harm until their error is large; a straight line through a small error would cut them to pieces.
/// </summary>
readonly record struct DamageCurve(double Scale, double Exponent)
{
    /// <summary>What the predicted error of combining a Conv's input channels counts in units of the other; it is predicted less well.</summary>
    public double InputGain { get; init; } = 1;

    /// <summary>The same for columns and rows.</summary>
    public double SpatialGain { get; init; } = 1;

    /// <summary>
    /// What rounding a dense weight does per unit of its error, or null where it was not measured: it hits all directions of the output
    /// alike, where a cut spares those that carry most, so a curve through cuts makes too little of it.
    /// </summary>
    public double? PerRounding { get; init; }

    /// <summary>The smallest measured error; below it a curve that is flatter than a line goes on as one, as the model's output is a smooth function of the layer's.</summary>
    public double Start { get; init; }

    /// <summary>The error that does this damage.</summary>
    public double ErrorOf(double damage) => Exponent < 1 && damage < AtStart ? Start * damage / AtStart : Math.Pow(damage / Scale, 1 / Exponent);

    /// <summary>Exponents outside of this are noise.</summary>
    const double Flattest = 0.5, Steepest = 3;

    double AtStart => Scale * Math.Pow(Start, Exponent);

    public double At(double error) => error <= 0 ? 0 : Exponent < 1 && error < Start ? AtStart * error / Start : Scale * Math.Pow(error, Exponent);

    /// <summary>What rounding a dense weight to few bits does.</summary>
    public double OfRounding(double error) => PerRounding * error ?? At(error);

    /// <param name="points">One or two pairs of error and damage.</param>
    public static DamageCurve Through(IReadOnlyList<(double Error, double Damage)> points)
    {
        var (error, damage) = points[^1];
        (error, damage) = (Math.Max(error, 1e-9), Math.Max(damage, 1e-12));
        double exponent = 1;
        if (points.Count > 1 && points[0].Error > 0 && points[0].Error < error)
        {
            exponent = Math.Log(damage / Math.Max(points[0].Damage, 1e-12)) / Math.Log(error / points[0].Error);
        }
        exponent = Math.Clamp(exponent, Flattest, Steepest);
        return new(damage / Math.Pow(error, exponent), exponent) { Start = points[0].Error };
    }
}
