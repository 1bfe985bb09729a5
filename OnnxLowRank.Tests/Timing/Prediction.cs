using System.Globalization;
using OnnxLowRank.Layers;
using OnnxLowRank.Numerics;
using OnnxLowRank.Planning;
using OnnxLowRank.Rewriting;
using OnnxLowRank.Runtime;
using OnnxLowRank.Timing;

namespace OnnxLowRank.Tests.Timing;

/// <summary>How well layers timed alone add up to whole models; see scripts/check-timing.sh.</summary>
public class Prediction
{
    /// <summary>Rounds of interleaved runs of the whole models.</summary>
    const int Rounds = 40;

    [Fact(Explicit = true)]
    public void Layers_timed_alone_predict_whole_models()
    {
        string[] arguments = (Environment.GetEnvironmentVariable("ONNX_LOWRANK_TIMING") ?? throw new InvalidOperationException("ONNX_LOWRANK_TIMING is not MODEL DATA THREADS")).Split(' ');
        var options = new CompressionOptions { Input = arguments[0], Output = "unused", Calibration = arguments[1], Threads = int.Parse(arguments[2], CultureInfo.InvariantCulture), Device = "cpu" };
        using var workspace = Workspace.Open(options, CancellationToken.None);
        var found = LayerFinder.Find(workspace.Model, new());
        var analysis = Analysis.Of(workspace, found, options, LinearAlgebra.Create(options.Threads), new StageClock(null));
        var start = System.Diagnostics.Stopwatch.GetTimestamp();
        var timer = new LayerTimer(
            workspace.Model, analysis.Decompositions, analysis.InFewBits, analysis.Ranges, analysis.RunShapes, analysis.Positions, Dialect.Ort, Device.Cpu, options.Threads, () => Directory.CreateTempSubdirectory().FullName, CancellationToken.None);
        var rewriter = new Rewriter(workspace.Model, analysis.Decompositions, analysis.InFewBits, analysis.Ranges, Dialect.Ort, new Dictionary<string, string>());

        var kinds = new List<(string Name, WeightFormat Format, Func<Layer, LayerPlan> Plan)>
        {
            ("original", WeightFormat.Float32, layer => new LayerPlan.Keep(layer)),
            ("dense int8", WeightFormat.Int8, layer => new LayerPlan.Quantize(layer, WeightFormat.Int8)),
        };
        foreach (var format in new[] { WeightFormat.Float32, WeightFormat.Int8, WeightFormat.Int4 })
        {
            foreach (double share in new[] { 0.1, 0.25, 0.5, 0.75, 1 })
            {
                LayerPlan Pair(Layer layer) => analysis.Decompositions.TryGetValue(layer, out var decomposition)
                    ? new LayerPlan.Factorize(layer, Math.Max(1, (int)(share * decomposition.MaxRank)), format)
                    : format == WeightFormat.Float32 ? new LayerPlan.Keep(layer) : new LayerPlan.Quantize(layer, format);
                kinds.Add((string.Create(CultureInfo.InvariantCulture, $"{share} {format}"), format, Pair));
            }
        }

        var known = new Dictionary<string, LayerTime[]>();
        var sums = new LayerTime[kinds.Count];
        Array.Fill(sums, new(0, 0, []));
        foreach (var layer in found.Layers)
        {
            for (int use = 0; use < layer.Uses.Count; use++)
            {
                string key = timer.Key(new LayerPlan.Keep(layer), use);
                if (!known.TryGetValue(key, out var times))
                {
                    known[key] = times = timer.Measure([.. kinds.Select(kind => kind.Plan(layer))], use);
                    TestContext.Current.TestOutputHelper?.WriteLine($"{layer.Name} {key}: {string.Join(" | ", times.Select(time => $"{time.One:0.0} {time.Each:0.00} {string.Join('+', time.Kernels)}"))}");
                }
                for (int i = 0; i < kinds.Count; i++)
                {
                    sums[i] += times[i];
                }
            }
        }
        TestContext.Current.TestOutputHelper?.WriteLine($"timed in {System.Diagnostics.Stopwatch.GetElapsedTime(start).TotalSeconds:0.0} s");
        foreach (var (kind, i) in kinds.Select((kind, i) => (kind, i)))
        {
            var ops = ModelRuns.Optimized(rewriter.Apply(found.Layers.Select(kind.Plan)).Model);
            TestContext.Current.TestOutputHelper?.WriteLine($"{kind.Name}: whole {string.Join(' ', ops.OrderBy(op => op.Key).Select(op => $"{op.Key} {op.Value}"))} | layers {string.Join(' ', sums[i].Kernels.CountBy(op => op).OrderBy(op => op.Key).Select(op => $"{op.Key} {op.Value}"))}");
        }
        var sessions = kinds.ConvertAll(kind => ModelSession.Open(rewriter.Apply(found.Layers.Select(kind.Plan)).Model.ToBytes(), Device.Cpu, options.Threads));
        double[] one = [], many = [];
        workspace.Sampling.First(1, run => one = Best(sessions, run));
        workspace.Sampling.First(LayerTimer.Many, run => many = Best(sessions, run));
        for (int i = 0; i < kinds.Count; i++)
        {
            // What is not layers is taken from the dense model of the same format.
            int dense = kinds[i].Format == WeightFormat.Float32 ? 0 : 1;
            double rest = Math.Max(0, one[dense] - sums[dense].One), restMany = Math.Max(0, many[dense] - LayerTimer.Many * sums[dense].Each);
            double Predicted(int j) => sums[j].One + rest;
            double PredictedMany(int j) => LayerTimer.Many * sums[j].Each + restMany;
            TestContext.Current.TestOutputHelper?.WriteLine(string.Create(CultureInfo.InvariantCulture,
                $"{kinds[i].Name,-14} b1: {one[i],8:0} us, layers {sums[i].One,8:0}, to dense {one[i] / one[dense]:0.00} predicted {Predicted(i) / Predicted(dense):0.00} | b32: {many[i],8:0}, layers {LayerTimer.Many * sums[i].Each,8:0}, {many[i] / many[dense]:0.00} predicted {PredictedMany(i) / PredictedMany(dense):0.00}"));
        }
    }

    static double[] Best(List<ModelSession> sessions, OnnxLowRank.Samples.SampleRun run)
    {
        var best = new double[sessions.Count];
        Array.Fill(best, double.PositiveInfinity);
        for (int round = 0; round < Rounds; round++)
        {
            for (int i = 0; i < best.Length; i++)
            {
                best[i] = Math.Min(best[i], 1000 * Latency.Milliseconds([sessions[i]], run, TimeSpan.Zero)[0]);
            }
        }
        return best;
    }
}
