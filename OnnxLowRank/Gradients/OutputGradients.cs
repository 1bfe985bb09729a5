using OnnxLowRank.Calibration;
using OnnxLowRank.Layers;
using OnnxLowRank.Onnx;
using OnnxLowRank.Onnx.Proto;
using OnnxLowRank.Runtime;

namespace OnnxLowRank.Gradients;

/// <summary>
/// How the model's outputs follow each layer's output: moments of the gradient of sᵀ·(all outputs) with a new random s of unit variance for every sample. ONNX Runtime computes it
/// by a backward pass that is part of the graph.
/// </summary>
sealed class OutputGradients
{
    /// <summary>Samples at least. Those of one sample are alike where it has many vectors.</summary>
    const int FewestSamples = 16, EnoughSamples = 64;

    /// <summary>Vectors per channel from which on more of them change nothing that can be told from noise: the rest of the metric is the plain error.</summary>
    const double EnoughVectors = 4;

    /// <summary>Multiply-adds of the forward passes, about.</summary>
    const double MostMacs = 1e11;

    /// <summary>The same for all passes together, as there is one for every wave of layers: a minute on a small machine.</summary>
    const double MostMacsOfAll = 5e12;

    /// <summary>A backward pass takes about as long as a forward pass, which it needs.</summary>
    const double Passes = 2;

    readonly OnnxModel _backward;
    readonly IReadOnlyDictionary<Layer, Tap[]> _taps;
    readonly Sampling _sampling;
    readonly IReadOnlyDictionary<string, long[]> _shapes;
    readonly Device _device;
    readonly int _threads;
    readonly long _bytesPerSample;
    readonly int _samples;
    readonly double _macs;

    OutputGradients(
        OnnxModel backward, IReadOnlyDictionary<Layer, Tap[]> taps, Sampling sampling, IReadOnlyDictionary<string, long[]> shapes, Device device, int threads, long bytesPerSample, int samples,
        double macs) => (_backward, _taps, _sampling, _shapes, _device, _threads, _bytesPerSample, _samples, _macs) = (backward, taps, sampling, shapes, device, threads, bytesPerSample, samples, macs);

    /// <summary>Writes the backward pass.</summary>
    /// <param name="layers">Whose outputs' gradients are asked for.</param>
    /// <param name="outputs">Of the model, that are compared.</param>
    /// <param name="areScores">Whether outputs are only compared behind a softmax over their last axis, which does not see what they have in common.</param>
    /// <param name="shapes">Shape of every use's input and output in one run.</param>
    /// <param name="macs">Multiply-adds that a sample takes.</param>
    /// <param name="memory">Bytes that a run may take: all its values are kept, as the backward pass needs them again.</param>
    /// <param name="seed">Of the random directions.</param>
    /// <returns>Null where no layer's output has a gradient, or one sample would take more than the memory.</returns>
    /// <exception cref="ModelException">The model cannot be run.</exception>
    public static OutputGradients? Of(
        OnnxModel model, IReadOnlyCollection<Layer> layers, string[] outputs, bool areScores, Sampling sampling, IReadOnlyDictionary<string, long[]> shapes, Device device, int threads,
        double macs, long memory, int seed)
    {
        string[] values = [.. layers.SelectMany(layer => layer.Uses).Select(use => use.Output).Distinct()];
        var path = BackwardGraph.Path(model.Graph, values, outputs);
        if (path.Count == 0 || Calibrator.BytesPerSample(shapes) > memory)
        {
            return null;
        }
        var trace = ValueTrace.Of(model, path.SelectMany(node => node.Input.Concat(node.Output)).Where(value => value.Length > 0), sampling, device, threads);
        var backward = model.Copy();
        var writer = new GraphWriter(backward, "gradient");
        var index = new GraphIndex(model.Graph);
        var seeds = new Dictionary<string, string>(StringComparer.Ordinal);
        foreach (string output in outputs)
        {
            var (value, isSoftmax) = BeforeSoftmax(index, trace, output);
            if (!trace.IsSingle(value) || seeds.ContainsKey(value))
            {
                continue;
            }
            string random = writer.Node("RandomNormalLike", [value], node => node.With(Seed(seed)));
            seeds[value] = !areScores && !isSoftmax ? random : writer.Node("Sub", [random, writer.Reduced("ReduceMean", 18, random, [trace.Shape(value).Length - 1], keepsAxes: true)]);
        }
        var gradients = BackwardGraph.Append(writer, path, trace, values, seeds);
        var taps = layers.Where(layer => layer.Uses.All(use => gradients.ContainsKey(use.Output)))
            .ToDictionary(layer => layer, layer => layer.Uses.Select(use => Tap.AtOutput(layer, use, shapes) with { Value = gradients[use.Output] }).ToArray());
        if (taps.Count == 0)
        {
            return null;
        }
        double wanted = taps.Max(item => EnoughVectors * item.Key.Out / Math.Max(1, item.Key.Uses.Zip(item.Value).Sum(pair => Tap.Vectors(pair.Second, shapes[pair.First.Output]))));
        int samples = (int)Math.Max(FewestSamples, Math.Min(Math.Max(wanted, EnoughSamples), MostMacs / Math.Max(1, macs)));
        return new(backward, taps, sampling, shapes, device, threads, trace.BytesPerSample, samples, macs);
    }

    /// <summary>What a Softmax over the last axis makes an output of, whose directions count alike, or the output.</summary>
    static (string Value, bool IsSoftmax) BeforeSoftmax(GraphIndex index, ValueTrace trace, string output) =>
        index.Producer(output) is { } node && (node.Is("Softmax") || node.Is("LogSoftmax")) && trace.IsSingle(output) && trace.IsSingle(node.Input[0])
            && node.Int("axis", -1) is var axis && (axis == -1 || axis == trace.Shape(output).Length - 1) ? (node.Input[0], true) : (output, false);

    static AttributeProto Seed(int seed) => new() { Name = "seed", Type = AttributeProto.Types.AttributeType.Float, F = seed };

    /// <summary>Whether so many passes may be made.</summary>
    public bool IsAffordable(int passes) => Passes * _macs * _samples * passes <= MostMacsOfAll;

    /// <summary>What is measured of a layer; nothing where its output has no gradient.</summary>
    public IReadOnlyList<Tap> Taps(Layer layer) => _taps.GetValueOrDefault(layer) ?? [];

    /// <summary>Moments of the gradients of layers' outputs, one set per use, of the layers that have them.</summary>
    /// <param name="samples">Those that may be run.</param>
    /// <exception cref="ModelException">A part of the backward pass cannot be run.</exception>
    public IReadOnlyDictionary<Layer, Moments[]> Collect(IEnumerable<Layer> layers, ReadOnlyMemory<int> samples)
    {
        Layer[] known = [.. layers.Where(_taps.ContainsKey)];
        var tally = new Tally<SummedMoments>(new([.. known.SelectMany(layer => _taps[layer]).Distinct()], [], []), tap => new(tap.Groups, tap.Size, _backward.Spill));
        int step = Math.Max(1, samples.Length / _samples);
        int[] chosen = [.. Enumerable.Range(0, Math.Min(_samples, samples.Length)).Select(i => samples.Span[i * step])]; // wherever in the files they are, as those may be ordered by what is in them
        try
        {
            _sampling.FitTo(2 * _bytesPerSample);
            _sampling.Share = Passes;
            new Calibrator(_backward, [], _device, _threads).Fill(tally, _sampling, _sampling.WholeRuns(chosen));
        }
        finally
        {
            _sampling.Share = 1;
            _sampling.FitTo(Calibrator.BytesPerSample(_shapes));
        }
        var sums = tally.Probes.Taps.Zip(tally.Moments).ToDictionary();
        return known.ToDictionary(layer => layer, layer => _taps[layer].Select(tap => (Moments)sums[tap]).ToArray());
    }
}
