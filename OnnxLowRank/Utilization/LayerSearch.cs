using System.Diagnostics;
using OnnxLowRank.Calibration;
using OnnxLowRank.Factorization;
using OnnxLowRank.Layers;
using OnnxLowRank.Numerics;
using OnnxLowRank.Onnx;
using OnnxLowRank.Runtime;
using OnnxLowRank.Statistics;
using OnnxLowRank.Validation;

namespace OnnxLowRank.Utilization;

/// <summary>The subspaces that were found for one layer, and what it took.</summary>
/// <param name="InputDimension">k_S.</param>
/// <param name="OutputDimension">k_T.</param>
/// <param name="Loss">With both projections in this layer alone, on the samples that the last probe ran.</param>
/// <param name="Probes">Weights that were tried.</param>
/// <param name="IsCut">Whether probes ran only what is behind the layer.</param>
sealed record SearchedLayer(string Name, int InputDimension, int OutputDimension, double Loss, int Probes, bool IsCut, ForwardPasses Passes, double Seconds);

/// <summary>
/// How many dimensions of a layer's input and then of its output are needed: the smallest by binary search at which the whole model,
/// all other layers left as they are, loses at most δ. Source: Garg et al. 2024 (arXiv 2407.04797).
/// </summary>
sealed class LayerSearch
{
    /// <summary>Values before a layer that are remembered at most, in bytes; beyond it every probe runs the whole model.</summary>
    const long RememberedBytes = 1L << 30;

    /// <summary>The widest input whose moments are kept and decomposed: n² doubles and n³ operations.</summary>
    const int WidestInput = 8192;

    readonly SampleShares _shares;
    readonly ReadOnlyMemory<int> _samples;

    public LayerSearch(SampleShares shares, int seed)
    {
        _shares = shares;
        int[] order = shares.Search.ToArray();
        new Random(seed).Shuffle(order); // so that the first of them stand for all
        _samples = order;
    }

    public required OnnxModel Model { get; init; }

    public required Device Device { get; init; }

    public required int Threads { get; init; }

    public required ILinearAlgebra Algebra { get; init; }

    public required Sampling Sampling { get; init; }

    public required Evaluator Evaluator { get; init; }

    /// <summary>Outputs that <see cref="Evaluator"/> compares.</summary>
    public required string[] Outputs { get; init; }

    /// <summary>Shapes of the layers' values when one sample runs.</summary>
    public required IReadOnlyDictionary<string, long[]> Shapes { get; init; }

    public required ForwardCost Cost { get; init; }

    /// <summary>What may be lost by each of the two projections, in units of the metric.</summary>
    public required double Delta { get; init; }

    /// <summary>Bytes that may be remembered.</summary>
    public long Memory { get; init; } = RememberedBytes;

    /// <summary>Why a layer cannot be searched, or nothing.</summary>
    public string Obstacle(Layer layer, LayerCut cut) =>
        layer.IsTable ? "a table, whose rows are looked up: it has no input to project"
        : layer.Kind == LayerKind.ConvTranspose ? "a ConvTranspose: what reaches a number of its output is no value of the graph"
        : layer.IsDepthwise ? "depthwise: one input channel per output, of rank 1 in any case"
        : layer.In > WidestInput ? $"an input of {layer.In} numbers is too wide for its moments (at most {WidestInput})"
        : !cut.ReachesOutputs ? $"not everything that is measured depends on it: {string.Join(", ", Outputs)}"
        : "";

    /// <summary>The eigenvectors of the layer's inputs.</summary>
    /// <returns>Also how many vectors the moments are of, and the passes that took.</returns>
    public (InputSpace Space, double Vectors, ForwardPasses Passes) Inputs(Layer layer, LayerCut cut)
    {
        Sampling.FitTo(Calibrator.BytesPerSample(Shapes) + Calibrator.BytesPerSample(layer, Shapes));
        Sampling.Share = Cost.Share(cut.Prefix);
        var moments = new Calibrator(Model, [layer], Device, Threads).CollectInputs(layer, Sampling, _shares.Moments, Shapes);
        Sampling.Share = 1;
        Sampling.FitTo(Calibrator.BytesPerSample(Shapes));
        Matrix[] groups = [.. Enumerable.Range(0, layer.Kind == LayerKind.Conv ? layer.Groups : 1).Select(g => Moments.Pooled(moments, g, centred: false))];
        double passes = Cost.Share(cut.Prefix) * _shares.Moments.Length / _shares.Count;
        return (new(Algebra, layer, layer.ReadWeight(), groups), moments.Sum(use => use.Count), ForwardPasses.Of(passes));
    }

    /// <summary>Passes that a search takes at most, for telling how far it is.</summary>
    public double Expected(Layer layer, LayerCut cut)
    {
        int probes = SmallestDimension.Questions(layer.In) + SmallestDimension.Questions(layer.OutPerGroup);
        return (Cost.Share(cut.Prefix) * (_shares.Moments.Length + _samples.Length) + Cost.Share(cut.Suffix) * probes * _samples.Length) / _shares.Count;
    }

    /// <param name="onProbe">Told the share of the probes that is done, 0…1.</param>
    public SearchedLayer Find(Layer layer, LayerCut cut, InputSpace inputs, Action<double> onProbe)
    {
        long start = Stopwatch.GetTimestamp();
        Sampling.Share = Cost.Share(cut.Prefix);
        using var session = SuffixSession.Open(Model, layer, cut, Outputs, Device, Threads, Sampling, _samples, Memory);
        double share = Sampling.Share = session.IsCut ? Cost.Share(cut.Suffix) : 1, full = (double)_samples.Length / _shares.Count;
        var passes = new ForwardPasses(Cost.Share(cut.Prefix) * full, 0, 0);
        int probes = 0, most = SmallestDimension.Questions(layer.In) + SmallestDimension.Questions(layer.OutPerGroup);

        (int Dimension, double Loss) Smallest(int all, double limit, double lossAtAll, Func<int, Matrix> projected)
        {
            double loss = lossAtAll;
            int dimension = SmallestDimension.Of(all, k =>
            {
                session.Set(projected(k));
                var answer = Test(session, limit);
                double run = (double)answer.Samples / _shares.Count;
                passes = passes.Plus(new(share * run, run, full));
                onProbe((double)++probes / most);
                loss = answer.IsWithin ? answer.Loss : loss; // the last one that passes is the one that is kept
                return answer.IsWithin;
            });
            return (dimension, loss);
        }

        var (ofInput, lossAtInput) = Smallest(layer.In, Delta, 0, inputs.Projected);
        var (ofOutput, loss) = Smallest(layer.OutPerGroup, lossAtInput + Delta, lossAtInput, inputs.Responses(ofInput).Projected);
        Sampling.Share = 1;
        return new(layer.Name, ofInput, ofOutput, loss, probes, session.IsCut, passes, Stopwatch.GetElapsedTime(start).TotalSeconds);
    }

    SequentialTest.Answer Test(SuffixSession session, double limit)
    {
        var rows = new List<double[]>(_samples.Length);
        return SequentialTest.IsWithin(limit, _samples.Length, Sampling.RunSize, (from, to, alpha) =>
        {
            rows.AddRange(Evaluator.Rows(session.Run, _samples[from..to]));
            var loss = Evaluator.Sum(rows, alpha);
            return new(loss.Estimate, loss.Low, loss.High);
        });
    }

    /// <summary>P_T·W·P_S of a layer that was searched.</summary>
    public static Matrix Projected(InputSpace inputs, SearchedLayer found) => inputs.Responses(found.InputDimension).Projected(found.OutputDimension);
}
