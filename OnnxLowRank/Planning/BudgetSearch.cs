namespace OnnxLowRank.Planning;

/// <summary>One plan that was built, run and measured.</summary>
/// <param name="Step">"search" or "verify".</param>
/// <param name="Bytes">Bytes of the rewritten layers, as planned.</param>
/// <param name="Loss">Measured loss in the metric's units.</param>
/// <param name="Accepted">Whether the loss was within what was allowed at this step.</param>
public sealed record Probe(string Step, double Bytes, double Loss, bool Accepted);

/// <summary>Finds the cheapest cost that is still good. Knows no models, so it is tested with a lambda.</summary>
static class BudgetSearch
{
    /// <summary>Costs closer than this ratio are the same.</summary>
    const double Resolution = 1.01;

    /// <summary>The next cost, in units of one that is good.</summary>
    const double FirstStep = 0.9;

    /// <summary>
    /// Bisects the cost on a logarithmic scale. It assumes that goodness rises with cost; the probes are the evidence.
    /// </summary>
    /// <param name="smallest">The smallest cost there is, above 0.</param>
    /// <param name="good">A cost that is taken to be good: 1, the original's, or less.</param>
    /// <param name="isGood">Expensive: builds and runs a model of about this cost; null when that was done often enough.</param>
    /// <returns>The smallest cost found good, or <paramref name="good"/> when none was.</returns>
    public static double Smallest(double smallest, double good, Func<double, bool?> isGood) =>
        isGood(smallest) == true ? smallest : Bisected(smallest, good, isGood);

    /// <summary>
    /// The same from a good cost downwards, in steps that grow, until one is bad: for few probes, when what is looked for is not far away.
    /// </summary>
    /// <inheritdoc cref="Smallest"/>
    public static double Below(double good, double smallest, Func<double, bool?> isGood)
    {
        for (double step = FirstStep; good > smallest; step *= step)
        {
            double next = Math.Max(smallest, good * step);
            switch (isGood(next))
            {
                case true:
                    good = next;
                    break;
                case false:
                    return Bisected(next, good, isGood);
                case null:
                    return good;
            }
        }
        return good;
    }

    static double Bisected(double bad, double good, Func<double, bool?> isGood)
    {
        while (good / bad > Resolution)
        {
            double middle = Math.Sqrt(good * bad);
            switch (isGood(middle))
            {
                case true:
                    good = middle;
                    break;
                case false:
                    bad = middle;
                    break;
                case null:
                    return good;
            }
        }
        return good;
    }

    /// <summary>The largest cost below 1 that keeps within a limit, by bisection as above; the smallest there is when none was found to.</summary>
    /// <param name="isWithin">Builds a model of about this cost and measures it.</param>
    public static double Largest(double smallest, Func<double, bool> isWithin, int probes)
    {
        double within = smallest, beyond = 1;
        for (int i = 0; i < probes && beyond / within > Resolution; i++)
        {
            double middle = Math.Sqrt(within * beyond);
            (within, beyond) = isWithin(middle) ? (middle, beyond) : (within, middle);
        }
        return within;
    }
}
