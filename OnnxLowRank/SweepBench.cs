using OnnxLowRank.Layers;
using OnnxLowRank.Numerics;
using OnnxLowRank.Onnx;
using OnnxLowRank.Planning;
using OnnxLowRank.Rewriting;
using OnnxLowRank.Runtime;
using OnnxLowRank.Samples;
using OnnxLowRank.Validation;

namespace OnnxLowRank;

/// <summary>A model on which rewritten copies of it are measured, for sweeps that need no search.</summary>
sealed class SweepBench : IDisposable
{
    const double Alpha = 0.05;

    readonly SweepOptions _options;
    readonly string _input;
    readonly ReadOnlyMemory<int> _unseen;
    readonly Evaluator? _likelihood;

    public SweepBench(SweepOptions options, string input, CancellationToken cancellation)
    {
        (_options, _input) = (options, input);
        Compression = options.Compression(input, output: "");
        Workspace = Workspace.Open(Compression, cancellation);
        Algebra = LinearAlgebra.Create(options.Threads, Workspace.Notes.Add);
        var shares = Workspace.Shares;
        int[] unseen = [.. shares.Search.ToArray(), .. shares.Verification.ToArray()];
        Array.Sort(unseen);
        _unseen = unseen;
        if (options.Labels != null)
        {
            string output = Workspace.Metric.Outputs[0];
            bool areProbabilities = MetricChoice.AreProbabilities(new GraphIndex(Workspace.Model.Graph), output);
            _likelihood = new(new LikelihoodScorer(Labels.Read(options.Labels, shares.Count), areProbabilities), [output], Workspace.Sampling, Workspace.Original);
        }
    }

    public CompressionOptions Compression { get; }

    public Workspace Workspace { get; }

    public ILinearAlgebra Algebra { get; }

    public string Name => SweepOptions.NameOf(_input);

    public FoundLayers Find() => LayerFinder.Find(Workspace.Model, Compression.Layers);

    /// <summary>Starts the model in a sweep.</summary>
    public void Start(SweepSink sink, Layer? layer = null, int? rank = null, double? effectiveRank = null)
    {
        sink.RunsOn(RuntimeInfo.Of(Workspace.Device, Algebra, _options.Threads));
        double original = Workspace.Evaluator.Measure(Workspace.Original, _unseen, Alpha).Original;
        sink.Start(
            new(Name, new(_input, ModelFiles.Sha256(_input), Workspace.SourceBytes), original, Nll(Workspace.Original), layer?.Name, rank, effectiveRank),
            Workspace.Metric.Metric.ToString().ToLowerInvariant());
        Workspace.Notes.ForEach(sink.Note);
    }

    /// <summary>The model rewritten by a plan, on the samples that shaped no factor.</summary>
    public SweepPoint Measure(Rewriter rewriter, IEnumerable<LayerPlan> plans, string series, double setting, int repeat = 0)
    {
        var model = rewriter.Apply(plans).Model;
        byte[] bytes = model.ToBytes();
        using var session = ModelSession.Open(bytes, Workspace.Device, _options.Threads);
        var loss = Workspace.Evaluator.Measure(session, _unseen, Alpha);
        return new(Name, series, setting, repeat, bytes.LongLength, (double)bytes.LongLength / Workspace.SourceBytes, null, null,
            loss.Compressed, loss.Estimate, loss.Low, loss.High, loss.Samples, Nll(session));
    }

    double? Nll(ModelSession session) => _likelihood?.Measure(session, _unseen, Alpha).Compressed;

    public void Dispose() => Workspace.Dispose();
}
