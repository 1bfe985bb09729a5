using System.Diagnostics;
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
        var best = new double[models.Count];
        Array.Fill(best, double.PositiveInfinity);
        long start = Stopwatch.GetTimestamp();
        for (int round = 0; round < FewestRounds || (round < MostRounds && Stopwatch.GetElapsedTime(start) < budget); round++)
        {
            for (int i = 0; i < models.Count; i++)
            {
                string[] outputs = [.. models[i].OutputNames];
                long begin = Stopwatch.GetTimestamp();
                using (models[i].Run(samples, outputs))
                {
                    best[i] = Math.Min(best[i], Stopwatch.GetElapsedTime(begin).TotalMilliseconds);
                }
            }
        }
        return best;
    }
}
