using System.Diagnostics;
using System.Runtime.InteropServices;
using System.Text.Json;
using OnnxLowRank.Calibration;
using OnnxLowRank.Factorization;
using OnnxLowRank.Layers;
using OnnxLowRank.Onnx;
using OnnxLowRank.Planning;
using OnnxLowRank.Rewriting;
using OnnxLowRank.Runtime;
using OnnxLowRank.Samples;
using OnnxLowRank.Storage;

namespace OnnxLowRank.Timing;

/// <summary>
/// Times ways to do one layer: each is rewritten in a model of its own, as it would be in the whole model, and run on numbers of the
/// layer's real shape. What counts is the time inside kernels, without what only stands at the little model's ends: conversions that
/// in the whole model are shared with the neighbours, or not there at all.
/// </summary>
/// <param name="shapes">Of every value that enters a layer.</param>
/// <param name="positions">How often each layer's weight is applied to a sample, all uses together.</param>
/// <param name="scratch">Makes a folder for profiles, which is deleted here.</param>
sealed class LayerTimer(
    OnnxModel model, IReadOnlyDictionary<Layer, Decomposition> decompositions, IReadOnlyDictionary<Layer, NBitWeights> inFewBits, ActivationRanges ranges, IReadOnlyDictionary<string, RunShape> shapes,
    IReadOnlyDictionary<Layer, Positions> positions, Dialect dialect, Device device, int threads, Func<string> scratch, CancellationToken cancellation)
{
    /// <summary>Samples in a run of many.</summary>
    public const int Many = 32;

    /// <summary>A run of many has fewer samples where they would take more multiply-adds than this; time then grows with the samples.</summary>
    const double MostMacs = 1L << 29;

    /// <summary>…or more floats at the layer's input.</summary>
    const double MostFloats = 1 << 23;

    /// <summary>Rounds A B A B … over the plans, so that a machine that is busy for a moment is busy to all.</summary>
    const int Rounds = 3, FewestRounds = 2;

    /// <summary>Rounds go on at least this long, because a moment is easily some hundredths of a second, and the third is only begun where a plan takes less on average.</summary>
    static readonly TimeSpan s_moment = TimeSpan.FromSeconds(0.03);

    /// <summary>…and this long per plan: the shortest of many runs is what a kernel takes, that of a few is the machine's noise.</summary>
    static readonly TimeSpan s_each = TimeSpan.FromSeconds(0.01);

    /// <summary>Runs of many and of one sample per round; the first of each finds in the caches what ran before it.</summary>
    const int RunsOfMany = 2, RunsOfOne = 3;

    /// <summary>Between runs of one sample the rest of the model passes through the caches, or as much of it as caches may hold.</summary>
    const long LargestRest = 64 << 20, SmallestRest = 1 << 20;

    /// <summary>Models open at once; more are timed in groups.</summary>
    const long MostBytes = 48 << 20;

    readonly GraphIndex _index = new(model.Graph);
    readonly double _bytes = positions.Keys.Sum(layer => (double)layer.Bytes);
    double? _overhead;
    byte[] _rest = [];

    /// <summary>Whether an exception only means that something could not be timed.</summary>
    public static bool IsFailure(Exception e) => e is ModelException or IOException or UnauthorizedAccessException or JsonException;

    /// <summary>The same text for uses that take the same time when their layers are done like this, in this model or another.</summary>
    /// <param name="use">Number of the layer's use.</param>
    public string Key(LayerPlan plan, int use)
    {
        var (layer, applied) = (plan.Layer, plan.Layer.Uses[use]);
        string behind = applied.Activation == applied.Output ? "" : _index.Producer(applied.Activation)!.OpType;
        bool addsBias = applied.Bias == null && plan is LayerPlan.Factorize factorize
            && CorrectedBias.Of(decompositions[layer], factorize.OutputRank, use, isFree: false) != null;
        return TimingKey.Of(layer, applied, shapes[applied.Input], Rest(layer), behind, addsBias, plan, dialect, model.Opset);
    }

    /// <summary>Bytes of the model's other layers, as a power of two; 0 where they are nothing to caches.</summary>
    long Rest(Layer layer)
    {
        double rest = _bytes - layer.Bytes;
        return rest < SmallestRest ? 0 : (long)Math.Pow(2, Math.Round(Math.Log2(Math.Min(rest, LargestRest))));
    }

    /// <summary>Times ways to do one layer, for a moment: to be done twice, some time apart where that is possible, keeping the shorter times.</summary>
    /// <param name="use">Number of the layer's use.</param>
    /// <exception cref="ModelException">ONNX Runtime cannot run one of them.</exception>
    /// <exception cref="IOException">There is no room for profiles.</exception>
    /// <exception cref="OperationCanceledException">The user wants to stop.</exception>
    public LayerTime[] Measure(IReadOnlyList<LayerPlan> plans, int use)
    {
        var layer = plans[0].Layer;
        var shape = shapes[layer.Uses[use].Input];
        double macs = Product.Of(new LayerPlan.Keep(layer), positions[layer]).Sum(product => product.Macs) / layer.Uses.Count;
        string folder = scratch();
        var times = new List<LayerTime>();
        var open = new List<Contender>();
        try
        {
            double overhead = _overhead ??= ProfilingOverhead.Measure(device, threads, folder);
            long bytes = 0;
            foreach (var plan in plans)
            {
                cancellation.ThrowIfCancellationRequested();
                byte[] small = Model(plan, use).ToBytes();
                Garbage.Collect(layer.Elements); // what the bytes were made of, before ONNX Runtime copies them
                // The rest of the model is as much smaller as this layer.
                long rest = (long)(Rest(layer) * Math.Min(1, (double)small.Length / layer.Bytes));
                open.Add(new(ModelSession.OpenProfiled(small, device, threads, Path.Combine(folder, $"{times.Count + open.Count}")), rest));
                bytes += small.Length;
                if (bytes > MostBytes || times.Count + open.Count == plans.Count)
                {
                    times.AddRange(Run(open, layer, shape, macs, overhead));
                    bytes = 0;
                }
            }
            return [.. times];
        }
        finally
        {
            open.ForEach(contender => contender.Session.Dispose());
            Directory.Delete(folder, recursive: true);
        }
    }

    /// <summary>The layer alone, done as planned.</summary>
    public OnnxModel Model(LayerPlan plan, int use)
    {
        var layer = plan.Layer;
        var single = layer.Uses.Count == 1 ? layer : layer with { Uses = [layer.Uses[use]] };
        // Rounding and fitting take far longer than computing with what they make.
        Dictionary<Layer, T> Of<T>(IReadOnlyDictionary<Layer, T> all) => all.TryGetValue(layer, out var known) ? new() { [single] = known } : [];
        var anyNumbers = Of(inFewBits).ToDictionary(item => item.Key, item => item.Value.WithAnyNumbers());
        var factors = Of(decompositions).ToDictionary(item => item.Key, item => item.Value.WithAnyKernels());
        var rewriter = new Rewriter(LayerModel.Of(model, _index, single, shapes[single.Uses[0].Input]), factors, anyNumbers, new(ranges.Values, new(Of(ranges.Inside.Outputs), Of(ranges.Inside.Inputs), Of(ranges.Inside.Columns))), dialect, new Dictionary<string, string>());
        return rewriter.Apply([plan with { Layer = single }]).Model;
    }

    /// <param name="Rest">Bytes that pass through the caches between its runs of one sample.</param>
    readonly record struct Contender(ModelSession Session, long Rest);

    /// <summary>Times the open sessions in turns, and closes them.</summary>
    List<LayerTime> Run(List<Contender> contenders, Layer layer, RunShape shape, double macs, double overhead)
    {
        int many = Batch(shape, macs);
        long largest = contenders.Max(contender => contender.Rest);
        if (_rest.Length < largest)
        {
            _rest = new byte[largest];
            Array.Fill(_rest, (byte)1); // pages that were never written are all the same one
        }
        long start = Stopwatch.GetTimestamp();
        TimeSpan Elapsed() => Stopwatch.GetElapsedTime(start);
        var least = contenders.Count * s_each < s_moment ? s_moment : contenders.Count * s_each;
        for (int round = 0; round < FewestRounds || Elapsed() < (round < Rounds ? s_moment * contenders.Count : least); round++)
        {
            foreach (var (session, bytes) in contenders)
            {
                if (many > 1)
                {
                    Repeat(session, layer, shape.At(many), RunsOfMany, []);
                }
                Repeat(session, layer, shape.One, RunsOfOne, _rest.AsSpan(0, (int)bytes));
            }
        }
        var times = new List<LayerTime>();
        foreach (var (session, _) in contenders)
        {
            var runs = KernelProfile.Read(File.ReadAllBytes(session.EndProfiling()));
            int perRound = RunsOfOne + (many > 1 ? RunsOfMany : 0);
            var ofOne = runs.Where((_, i) => i % perRound >= perRound - RunsOfOne).ToList();
            var ofMany = runs.Where((_, i) => i % perRound < perRound - RunsOfOne).ToList();
            var (one, kernels) = Sum(ofOne, overhead);
            times.Add(new(one, many > 1 ? Sum(ofMany, overhead).Microseconds / many : one, kernels));
            session.Dispose();
        }
        contenders.Clear();
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

    static void Repeat(ModelSession session, Layer layer, long[] shape, int runs, ReadOnlySpan<byte> rest)
    {
        // Inputs beside the layer's own are Gemm's C or Clip's limits, of fixed shape.
        using var run = new SampleRun(1, [.. session.Inputs.Select((input, i) => layer.Kind == LayerKind.Gather ? Ids(input.Key, shape, layer.In) : Numbers(layer.Type, input.Key, i == 0 ? shape : Array.ConvertAll(input.Value.Dimensions, dim => (long)dim)))]);
        string[] outputs = [.. session.OutputNames];
        for (int i = 0; i < runs; i++)
        {
            Touch(rest);
            session.Run(run, outputs).Dispose();
        }
    }

    static int Touch(ReadOnlySpan<byte> bytes)
    {
        const int CacheLine = 64;
        int sum = 0;
        for (int i = 0; i < bytes.Length; i += CacheLine)
        {
            sum += bytes[i];
        }
        return sum;
    }

    /// <summary>Ids all over a table, so that its rows come from memory as they do in the whole model.</summary>
    static SampleBuffer Ids(string name, long[] shape, int rows)
    {
        var buffer = new SampleBuffer(new(name, Onnx.Proto.TensorProto.Types.DataType.Int64, new long?[shape.Length]), shape);
        var values = MemoryMarshal.Cast<byte, long>(buffer.Bytes.Span);
        for (int i = 0; i < values.Length; i++)
        {
            values[i] = i * 7919L % rows;
        }
        return buffer;
    }

    /// <summary>Some numbers between −1 and 1: kernels take no longer for others.</summary>
    static SampleBuffer Numbers(Onnx.Proto.TensorProto.Types.DataType type, string name, long[] shape)
    {
        var buffer = new SampleBuffer(new(name, type, new long?[shape.Length]), shape);
        ElementValues.FillWithNumbers(type, buffer.Bytes.Span);
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
