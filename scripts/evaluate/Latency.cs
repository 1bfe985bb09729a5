using System.Diagnostics;
using Microsoft.ML.OnnxRuntime;

namespace Evaluate;

static class Latency
{
    /// <summary>Runs in a row per turn: the first ones find the weights of the model before in the caches.</summary>
    const int Turn = 4;
    const int FewestRounds = 10;

    /// <returns>Milliseconds of one run per model: the minimum over rounds A A A A B B B B A A A A ….</returns>
    public static double[] Milliseconds(List<InferenceSession> sessions, string folder, int batch, TimeSpan budget)
    {
        var best = new double[sessions.Count];
        Array.Fill(best, double.PositiveInfinity);
        var feeds = sessions.Select(session => new Feed(session, folder)).ToList();
        if (feeds[0].FixedBatch is { } wanted && wanted != batch)
        {
            return [.. best.Select(_ => double.NaN)];
        }
        var inputs = feeds.Select(feed => feed.Take(0, batch)).ToList();
        using var options = new RunOptions();
        long start = Stopwatch.GetTimestamp();
        for (int round = 0; round < FewestRounds || Stopwatch.GetElapsedTime(start) < budget; round++)
        {
            for (int i = 0; i < sessions.Count; i++)
            {
                for (int run = 0; run < Turn; run++)
                {
                    long begin = Stopwatch.GetTimestamp();
                    using (sessions[i].Run(options, feeds[i].Names, inputs[i], sessions[i].OutputNames))
                    {
                        best[i] = Math.Min(best[i], Stopwatch.GetElapsedTime(begin).TotalMilliseconds);
                    }
                }
            }
        }
        inputs.ForEach(values => values.ForEach(value => value.Dispose()));
        return best;
    }
}
