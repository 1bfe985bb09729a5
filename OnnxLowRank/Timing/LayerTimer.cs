using System.Diagnostics;
using System.Runtime.InteropServices;
using OnnxLowRank.Calibration;
using OnnxLowRank.Factorization;
using OnnxLowRank.Layers;
using OnnxLowRank.Onnx;
using OnnxLowRank.Planning;
using OnnxLowRank.Rewriting;
using OnnxLowRank.Runtime;
using OnnxLowRank.Samples;

namespace OnnxLowRank.Timing;

/// <summary>
/// Times ways to do one layer: each is rewritten in a model of its own, as it would be in the whole model, and run on numbers of the
/// layer's real shape. What counts is the time inside kernels, without what only stands at the little model's ends: conversions that
/// in the whole model are shared with the neighbours, or not there at all.
/// </summary>
sealed class LayerTimer(
    OnnxModel model, IReadOnlyDictionary<Layer, Decomposition> decompositions, ActivationRanges ranges, Dialect dialect, Device device, int threads)
{
    /// <summary>Samples in a run of many.</summary>
    public const int Many = 32;

    /// <summary>A run of many has fewer samples where they would take more multiply-adds than this; time then grows with the samples.</summary>
    const double MostMacs = 1L << 29;

    /// <summary>…or more floats at the layer's input.</summary>
    const double MostFloats = 1 << 23;

    /// <summary>Rounds A B A B … over the plans; a machine that is busy for a moment is busy to all.</summary>
    const int Rounds = 5, FewestRounds = 2;

    /// <summary>Runs of many and of one sample per round: what a run finds in caches and threads asleep is the run before it.</summary>
    const int RunsOfMany = 2, RunsOfOne = 8;

    static readonly TimeSpan s_budget = TimeSpan.FromSeconds(0.2);

    /// <summary>Models open at once; more are timed in groups.</summary>
    const long MostBytes = 256 << 20;

    readonly GraphIndex _index = new(model.Graph);
    double? _overhead;

    /// <param name="layer">Its first use is timed.</param>
    /// <param name="useIndex">Which of its uses.</param>
    /// <param name="shape">Of the use's input.</param>
    /// <param name="plans">Ways to do the layer.</param>
    /// <exception cref="ModelException">ONNX Runtime cannot run one of them.</exception>
    /// <exception cref="IOException">There is no room for profiles.</exception>
    public LayerTime[] Measure(Layer layer, int useIndex, RunShape shape, double macs, IReadOnlyList<LayerPlan> plans)
    {
        string folder = Directory.CreateTempSubdirectory("onnx-lowrank-timing-").FullName;
        var times = new List<LayerTime>();
        var open = new List<ModelSession>();
        try
        {
            double overhead = _overhead ??= ProfilingOverhead.Measure(device, threads, folder);
            long bytes = 0;
            foreach (var plan in plans)
            {
                byte[] small = Model(layer, useIndex, shape, plan).ToBytes();
                open.Add(ModelSession.OpenProfiled(small, device, threads, Path.Combine(folder, $"{times.Count + open.Count}")));
                bytes += small.Length;
                if (bytes > MostBytes)
                {
                    times.AddRange(Run(open, shape, macs, overhead));
                    bytes = 0;
                }
            }
            times.AddRange(Run(open, shape, macs, overhead));
            return [.. times];
        }
        finally
        {
            open.ForEach(session => session.Dispose());
            Directory.Delete(folder, recursive: true);
        }
    }

    /// <summary>The layer alone, done as planned.</summary>
    public OnnxModel Model(Layer layer, int useIndex, RunShape shape, LayerPlan plan)
    {
        var single = layer.Uses.Count == 1 ? layer : layer with { Uses = [layer.Uses[useIndex]] };
        var inner = ranges.Inner.TryGetValue(layer, out var range) ? new Dictionary<Layer, InnerRange> { [single] = range } : [];
        var decomposed = decompositions.TryGetValue(layer, out var decomposition)
            ? new Dictionary<Layer, Decomposition> { [single] = decomposition }
            : [];
        var rewriter = new Rewriter(LayerModel.Of(model, _index, single, shape), decomposed, new(ranges.Values, inner), dialect, new Dictionary<string, string>());
        return rewriter.Apply([plan with { Layer = single }]).Model;
    }

    /// <summary>Times the open sessions in turns, and closes them.</summary>
    static List<LayerTime> Run(List<ModelSession> sessions, RunShape shape, double macs, double overhead)
    {
        int many = Batch(shape, macs);
        var inputs = new Dictionary<string, InputSpec>();
        long start = Stopwatch.GetTimestamp();
        int rounds = 0;
        for (; rounds < Rounds && (rounds < FewestRounds || Stopwatch.GetElapsedTime(start) < s_budget); rounds++)
        {
            foreach (var session in sessions)
            {
                if (many > 1)
                {
                    Repeat(session, shape.At(many), RunsOfMany);
                }
                Repeat(session, shape.One, RunsOfOne);
            }
        }
        var times = new List<LayerTime>();
        foreach (var session in sessions)
        {
            var runs = KernelProfile.Read(File.ReadAllBytes(session.EndProfiling()));
            int perRound = RunsOfOne + (many > 1 ? RunsOfMany : 0);
            var ofOne = runs.Where((_, i) => i % perRound >= perRound - RunsOfOne).ToList();
            var ofMany = runs.Where((_, i) => i % perRound < perRound - RunsOfOne).ToList();
            var (one, kernels) = Sum(ofOne, overhead);
            times.Add(new(one, many > 1 ? Sum(ofMany, overhead).Microseconds / many : one, kernels));
            session.Dispose();
        }
        sessions.Clear();
        return times;
    }

    /// <summary>The largest power of two that is within limits.</summary>
    static int Batch(RunShape shape, double macs)
    {
        double floats = shape.One.Aggregate(1.0, (product, dim) => product * dim);
        int batch = 1;
        while (!shape.IsFixed && batch < Many && 2 * batch * macs <= MostMacs && 2 * batch * floats <= MostFloats)
        {
            batch *= 2;
        }
        return batch;
    }

    static void Repeat(ModelSession session, long[] shape, int runs)
    {
        using var run = new SampleRun(1, [.. session.Inputs.Select(input => Numbers(input.Key, input.Value.Dimensions.Length == shape.Length ? shape : Array.ConvertAll(input.Value.Dimensions, dim => (long)dim)))]);
        string[] outputs = [.. session.OutputNames];
        for (int i = 0; i < runs; i++)
        {
            session.Run(run, outputs).Dispose();
        }
    }

    /// <summary>Some numbers between −1 and 1: kernels take no longer for others.</summary>
    static SampleBuffer Numbers(string name, long[] shape)
    {
        var buffer = new SampleBuffer(new(name, Onnx.Proto.TensorProto.Types.DataType.Float, new long?[shape.Length]), shape);
        var values = MemoryMarshal.Cast<byte, float>(buffer.Bytes.Span);
        for (int i = 0; i < values.Length; i++)
        {
            values[i] = (i * 37 % 255 - 127) / 127f;
        }
        return buffer;
    }

    /// <summary>The shortest time of every kernel over all runs, and what lies between the conversions at both ends.</summary>
    static (double Microseconds, IReadOnlyList<string> Kernels) Sum(List<List<KernelTime>> runs, double overhead)
    {
        var ops = runs[0].ConvertAll(kernel => kernel.Op);
        int first = ops.FindIndex(op => !IsConversion(op)), last = ops.FindLastIndex(op => !IsConversion(op));
        double sum = 0;
        for (int i = first; first >= 0 && i <= last; i++)
        {
            sum += Math.Max(0, runs.Min(run => run[i].Microseconds) - overhead);
        }
        return (sum, first < 0 ? [] : ops[first..(last + 1)]);
    }

    /// <summary>Operators that change how numbers are stored, and nothing else.</summary>
    static bool IsConversion(string op) => op is "QuantizeLinear" or "DequantizeLinear" or "Transpose" or "ReorderInput" or "ReorderOutput";
}
