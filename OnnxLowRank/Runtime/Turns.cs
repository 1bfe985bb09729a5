namespace OnnxLowRank.Runtime;

/// <summary>How several models take turns.</summary>
/// <param name="Settling">Time at the start of a turn that is not counted: caches hold the weights of the model before, and its threads may still be spinning.</param>
/// <param name="Runs">Runs of a turn that are counted, the same number for every model.</param>
/// <param name="FewestRounds">Rounds that are run whatever they take.</param>
/// <param name="MostRounds">Rounds after which it is enough.</param>
/// <param name="Budget">Time after which no other round is begun.</param>
sealed record TurnPlan(TimeSpan Settling, int Runs, int FewestRounds, int MostRounds, TimeSpan Budget);

/// <summary>Times runs of several models in turns, A B A B …, so that a noisy machine is noisy to all.</summary>
static class Turns
{
    /// <param name="runs">One run of each model; what it returns is disposed off the clock.</param>
    /// <returns>Per round and model the milliseconds of its counted runs.</returns>
    /// <exception cref="OperationCanceledException">The user wants to stop.</exception>
    public static List<double[][]> Take(IReadOnlyList<Func<IDisposable>> runs, TurnPlan plan, TimeProvider clock, CancellationToken cancellation)
    {
        var rounds = new List<double[][]>();
        long start = clock.GetTimestamp();
        while (rounds.Count < plan.FewestRounds || (rounds.Count < plan.MostRounds && clock.GetElapsedTime(start) < plan.Budget))
        {
            rounds.Add([.. runs.Select(run =>
            {
                Repeat(run, plan.Settling, clock, cancellation);
                return Turn(run, plan.Runs, clock, cancellation);
            })]);
        }
        return rounds;
    }

    static void Repeat(Func<IDisposable> run, TimeSpan time, TimeProvider clock, CancellationToken cancellation)
    {
        for (long start = clock.GetTimestamp(); clock.GetElapsedTime(start) < time;)
        {
            cancellation.ThrowIfCancellationRequested();
            run().Dispose();
        }
    }

    static double[] Turn(Func<IDisposable> run, int runs, TimeProvider clock, CancellationToken cancellation)
    {
        double[] milliseconds = new double[runs];
        for (int i = 0; i < runs; i++)
        {
            cancellation.ThrowIfCancellationRequested();
            long begin = clock.GetTimestamp();
            using (run())
            {
                milliseconds[i] = clock.GetElapsedTime(begin).TotalMilliseconds;
            }
        }
        return milliseconds;
    }
}
