using OnnxLowRank.Statistics;

namespace OnnxLowRank;

/// <summary>How fast models are; the JSON report is this record.</summary>
/// <param name="Calibration">Where samples came from; null where numbers were made.</param>
/// <param name="Settings">Every number of threads with every batch.</param>
/// <param name="Notes">What a careful user wants to know.</param>
public sealed record BenchmarkReport(
    ToolInfo Tool, MachineInfo Machine, string? Calibration, double Seconds, IReadOnlyList<BenchmarkedModel> Models, IReadOnlyList<BenchmarkSetting> Settings,
    IReadOnlyList<string> Notes);

/// <summary>A model that was timed.</summary>
/// <param name="Bytes">Of the file, external data included.</param>
/// <param name="MemoryBytes">
/// What the process's working set grew by when the model was loaded and run once at its largest batch, with the first number of threads; memory of a CUDA device is not in it.
/// </param>
public sealed record BenchmarkedModel(string Path, string Sha256, long Bytes, long MemoryBytes);

/// <summary>One number of threads and one batch.</summary>
/// <param name="Batch">Samples per run.</param>
/// <param name="Rounds">How often every model had a turn.</param>
/// <param name="Times">In the order of the models; those that do not take the batch are missing.</param>
public sealed record BenchmarkSetting(int Threads, int Batch, int Rounds, IReadOnlyList<BenchmarkTimes> Times)
{
    /// <summary>1 − confidence of the ratio's interval.</summary>
    const double Alpha = 0.05;

    /// <param name="models">Places of the models among all.</param>
    /// <param name="rounds">Per round and model the milliseconds of its runs.</param>
    internal static BenchmarkSetting Of(int threads, int batch, IReadOnlyList<int> models, IReadOnlyList<double[][]> rounds)
    {
        double[][] minima = [.. rounds.Select(round => Array.ConvertAll(round, times => times.Min()))];
        return new(threads, batch, rounds.Count, [.. models.Select((model, i) =>
        {
            double[] sorted = [.. rounds.SelectMany(round => round[i]).Order()];
            Interval? ratio = models[0] == 0 ? MedianInterval.Of([.. minima.Select(round => round[i] / round[0])], Alpha) : null;
            return new BenchmarkTimes(
                model, sorted.Length, sorted[0], Quantile.Of(sorted, 0.5), Quantile.Of(sorted, 0.9), Quantile.Of(sorted, 0.99), 1000.0 * batch * sorted.Length / sorted.Sum(),
                ratio?.Estimate, ratio?.Low, ratio?.High);
        })]);
    }
}

/// <summary>Times of one model in one setting.</summary>
/// <param name="Model">Its place among the models, from 0.</param>
/// <param name="Runs">Runs that were counted.</param>
/// <param name="SamplesPerSecond">Of all counted runs together: samples through time, one run after the other.</param>
/// <param name="Ratio">
/// Time in units of the first model's: the median over rounds of the quotient of the shortest runs of both turns. What other programs add to a run is never negative, so the shortest
/// is nearest to the model's own time. Null where the first model does not take the batch.
/// </param>
/// <param name="RatioLow">Lower end of its 95 % interval.</param>
/// <param name="RatioHigh">Upper end.</param>
public sealed record BenchmarkTimes(
    int Model, int Runs, double MinMilliseconds, double MedianMilliseconds, double P90Milliseconds, double P99Milliseconds, double SamplesPerSecond, double? Ratio,
    double? RatioLow, double? RatioHigh);
