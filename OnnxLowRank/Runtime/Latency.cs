using OnnxLowRank.Samples;

namespace OnnxLowRank.Runtime;

/// <summary>Time of one run of several models on the same input, interleaved so that a noisy machine is noisy to all.</summary>
static class Latency
{
    const int MostRounds = 200;
    const int FewestRounds = 5;

    /// <returns>Milliseconds per model, the minimum over rounds A B A B ….</returns>
    /// <param name="budget">About how long to measure; at least five rounds are run.</param>
    public static double[] Milliseconds(IReadOnlyList<ModelSession> models, SampleRun samples, TimeSpan budget)
    {
        static Func<IDisposable> Run(ModelSession model, SampleRun samples)
        {
            string[] outputs = [.. model.OutputNames];
            return () => model.Run(samples, outputs);
        }

        var plan = new TurnPlan(TimeSpan.Zero, Runs: 1, FewestRounds, MostRounds, budget);
        var rounds = Turns.Take([.. models.Select(model => Run(model, samples))], plan, TimeProvider.System, CancellationToken.None);
        return [.. models.Select((_, i) => rounds.Min(round => round[i].Min()))];
    }
}
