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

    /// <summary>
    /// Bisects the cost on a logarithmic scale. It assumes that goodness rises with cost; the probes are the evidence.
    /// </summary>
    /// <param name="smallest">The smallest cost there is, above 0.</param>
    /// <param name="isGood">Expensive: builds and runs a model of about this cost; null when it would be the same as one tried before.</param>
    /// <param name="probes">The most calls of <paramref name="isGood"/>.</param>
    /// <returns>The smallest cost found good, or 1, the original's, when none was.</returns>
    public static double Smallest(double smallest, Func<double, bool?> isGood, int probes)
    {
        double good = 1, bad = smallest;
        if (isGood(smallest) == true)
        {
            return smallest;
        }
        for (int i = 1; i < probes && good / bad > Resolution; i++)
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
}
