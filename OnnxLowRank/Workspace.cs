using Microsoft.ML.OnnxRuntime;
using Microsoft.ML.OnnxRuntime.Tensors;
using OnnxLowRank.Calibration;
using OnnxLowRank.Layers;
using OnnxLowRank.Onnx;
using OnnxLowRank.Onnx.Proto;
using OnnxLowRank.Rewriting;
using OnnxLowRank.Runtime;
using OnnxLowRank.Samples;
using OnnxLowRank.StatsFiles;
using OnnxLowRank.Storage;
using OnnxLowRank.Validation;

namespace OnnxLowRank;

/// <summary>The user's model and data, opened and checked against each other.</summary>
sealed class Workspace : IDisposable
{
    readonly SampleSource _source;
    readonly CompressionOptions _options;

    Workspace(
        CompressionOptions options, OnnxModel model, long sourceBytes, long memory, Device device, ModelSession original, SampleSource source, Sampling sampling,
        MetricChoice metric, SampleShares shares, StatsSet? stats)
    {
        _options = options;
        (Model, SourceBytes, Memory, Device, Original, _source, Sampling, Metric, Shares, Stats) = (model, sourceBytes, memory, device, original, source, sampling, metric, shares, stats);
        Notes.AddRange(device.Note.Length > 0 ? source.Notes.Prepend(device.Note) : source.Notes);
        Evaluator = new(metric.Scorer, metric.Outputs, sampling, original);
        Divergence = new(new RelativeScorer(), metric.Outputs, sampling, original);
    }

    /// <summary>The model that is rewritten: the user's, <see cref="Flattened"/> and with <see cref="Siblings"/> stacked.</summary>
    public OnnxModel Model { get; }

    /// <summary>Bytes of the user's model on disk, external data included.</summary>
    public long SourceBytes { get; }

    /// <summary>Bytes that moments of the layers in work may take: <see cref="CompressionOptions.Memory"/> or what follows from the model.</summary>
    public long Memory { get; }

    public Device Device { get; }

    /// <summary>The user's model, to tell what it computes.</summary>
    public ModelSession Original { get; }

    public Sampling Sampling { get; }

    public MetricChoice Metric { get; }

    public SampleShares Shares { get; }

    /// <summary>Moments that were measured before; null where that is still to be done.</summary>
    public StatsSet? Stats { get; }

    /// <summary>Measures the user's metric.</summary>
    public Evaluator Evaluator { get; }

    /// <summary>Measures how far outputs moved, ‖Δy‖/‖y‖, whatever the metric: smooth, so that few samples rank what may be done to layers.</summary>
    public Evaluator Divergence { get; }

    /// <summary>What a careful user wants to know; stages add to it.</summary>
    public List<string> Notes { get; } = [];

    /// <exception cref="OptionException">The output would replace a file that is read.</exception>
    /// <exception cref="ModelException">The model cannot be read, is not valid or cannot be run.</exception>
    /// <exception cref="DataException">Samples or labels cannot be read or do not fit the model.</exception>
    /// <exception cref="DeviceException">The device or ONNX Runtime cannot be had.</exception>
    public static Workspace Open(CompressionOptions options, CancellationToken cancellation)
    {
        var model = OnnxModel.Load(options.Input);
        long memory = options.Memory ?? Math.Clamp(model.WeightBytes, LeastMemory, MostMemory);
        model = Kept(model, memory, options.Output.Length > 0 ? options.Output : Path.Combine(Path.GetTempPath(), "onnx-lowrank"));
        var device = Device.Open(options.Device, options.Threads);
        ModelSession? original = null;
        SampleSource? source = null;
        StatsSet? stats = null;
        try
        {
            original = ModelSession.Open(model, device, options.Threads);
            source = SampleSource.Open(options.Calibration, [.. original.Inputs.Select(input => Spec(input.Key, input.Value))]);
            if (options.Output.Length > 0)
            {
                RequireIntact(options, model, source);
            }
            var labels = options.Labels == null ? null : Labels.Read(options.Labels, source.Count);
            stats = options.HasStats ? StatsSet.Open(options.Stats, ModelFiles.ContentHash(options.Input, model)) : null;
            var shares = SampleShares.Of(source.Count, options.Seed);
            var unseen = stats == null ? shares : Unseen(shares, source, stats, cancellation);
            var metric = MetricChoice.Of(options.Metric, labels, model, original);
            var flattened = Flattened.Of(model);
            var stacked = Siblings.Stacked(flattened, LayerFinder.Find(flattened, options.Layers).Layers);
            var workspace = new Workspace(
                options, stacked, ModelFiles.Bytes(options.Input, model), memory, device, original, source, new Sampling(source, options.Batch, cancellation), metric, unseen, stats);
            if (flattened.Opset != model.Opset)
            {
                workspace.Notes.Add($"opset {model.Opset} becomes {flattened.Opset}, which defines every operator of the model alike");
            }
            if (stats != null)
            {
                workspace.Notes.AddRange(stats.Notes);
                int left = shares.Search.Length + shares.Verification.Length, kept = unseen.Search.Length + unseen.Verification.Length;
                workspace.Notes.AddRange(kept < left ? [$"{left - kept} of {left} samples for search and verification are in --stats and left out"] : []);
            }
            return workspace;
        }
        catch
        {
            stats?.Dispose();
            source?.Dispose();
            original?.Dispose();
            throw;
        }
    }

    /// <summary>What moments may take when nothing is said: as much as the weights do, in these bounds.</summary>
    const long LeastMemory = 256L << 20, MostMemory = 1L << 30;

    /// <summary>A model whose weights take this share of the memory allowed, or more, keeps what is made of them on disk.</summary>
    const double LargeShare = 0.25;

    /// <param name="memory">Bytes allowed.</param>
    /// <param name="beside">A file whose folder has room.</param>
    public static OnnxModel Kept(OnnxModel model, long memory, string beside) => model.WeightBytes < LargeShare * memory ? model : model.KeepingIn(Spill.Beside(beside));

    /// <summary>The shares without samples that moments were measured on, where others must decide.</summary>
    /// <exception cref="DataException">Nothing is left.</exception>
    static SampleShares Unseen(SampleShares shares, SampleSource source, StatsSet stats, CancellationToken cancellation)
    {
        ReadOnlyMemory<int> Without(ReadOnlyMemory<int> indices)
        {
            ulong[] hashes = SampleHash.Of(source, indices.Span, cancellation);
            return indices.ToArray().Where((_, i) => !stats.Holds(hashes[i])).ToArray();
        }

        var unseen = shares with { Search = Without(shares.Search), Verification = Without(shares.Verification) };
        return unseen.Search.Length > 0 && unseen.Verification.Length > 0
            ? unseen
            : throw new DataException("--stats: moments were measured on the samples that are to pick and to judge plans; calibrate without --all and with the seed of compress, or give other samples");
    }

    /// <summary>Nothing that is read may be replaced by what is written: not even weights or samples, which users do not name one by one.</summary>
    static void RequireIntact(CompressionOptions options, OnnxModel model, SampleSource source)
    {
        var read = model.ExternalFiles.Prepend(options.Input).Select(path => (File: path, Role: "the input model"))
            .Concat(source.Files.Select(path => (File: path, Role: "the calibration samples")));
        if (options.Labels != null)
        {
            read = read.Append((File: options.Labels, Role: "the labels"));
        }
        read = read.Concat(options.Stats.Select(path => (File: path, Role: "--stats")));
        if (read.FirstOrDefault(item => RealPath.AreSame(item.File, options.Output) || WeightsFile.IsFor(options.Output, item.File)) is { File: not null } lost)
        {
            throw new OptionException($"{options.Output}: writing it could replace {lost.File}, a file of {lost.Role}; choose another output");
        }
    }

    /// <summary>
    /// Lets the original say all that will be asked and closes it, if that can be remembered: its weights are not those of
    /// <see cref="Model"/> where layers are stacked.
    /// </summary>
    /// <param name="diverging">Samples on which <see cref="Divergence"/> will be measured.</param>
    public void ReleaseOriginal(ReadOnlyMemory<int> diverging)
    {
        if (Divergence.Prepare(diverging) && Evaluator.Prepare(Shares.Search) && Evaluator.Prepare(Shares.Verification))
        {
            Original.Dispose();
        }
    }

    /// <summary>Whether models may be loaded as they are deployed, two at a time: each then copies its weights.</summary>
    public bool MayLoadWhole => 2 * SourceBytes <= Memory;

    /// <summary>
    /// A written model: as ONNX Runtime loads it, or, where that would copy weights that are too large to be copied, with its weights where they lie in
    /// its files.
    /// </summary>
    /// <param name="optimizedPath">Where to write the graph that ONNX Runtime made of the model, or null.</param>
    /// <exception cref="ModelException">It cannot be read, or ONNX Runtime refuses it.</exception>
    public ModelSession OpenWritten(string path, string? optimizedPath = null) => MayLoadWhole || !Model.Spill.IsToDisk
        ? ModelSession.Open(path, Device, _options.Threads, optimizedPath)
        : ModelSession.Open(OnnxModel.Load(path).KeepingIn(Model.Spill), Device, _options.Threads, optimizedPath);

    /// <summary>The user's model as it is deployed, to tell how long it takes. The caller disposes it.</summary>
    public ModelSession OpenOriginal() => ModelSession.Open(_options.Input, Device, _options.Threads);

    internal static InputSpec Spec(string name, NodeMetadata metadata)
    {
        if (WhyNotFed(name, metadata) is { Length: > 0 } obstacle)
        {
            throw new ModelException(obstacle);
        }
        return new(name, (TensorProto.Types.DataType)(int)metadata.ElementDataType, Array.ConvertAll(metadata.Dimensions, dim => dim < 0 ? (long?)null : dim));
    }

    /// <summary>Why no samples can be given for an input, or nothing.</summary>
    internal static string WhyNotFed(string name, NodeMetadata metadata)
    {
        string kind = metadata.OnnxValueType switch
        {
            OnnxValueType.ONNX_TYPE_TENSOR => metadata.ElementDataType == TensorElementType.String ? "of strings" : "",
            OnnxValueType.ONNX_TYPE_SPARSETENSOR => "a sparse tensor",
            OnnxValueType.ONNX_TYPE_SEQUENCE => "a sequence",
            OnnxValueType.ONNX_TYPE_OPTIONAL => "optional",
            OnnxValueType.ONNX_TYPE_MAP => "a map",
            _ => "no tensor",
        };
        return kind.Length == 0 ? "" : $"input '{name}' is {kind}, which samples cannot be given for";
    }

    public void Dispose()
    {
        Stats?.Dispose();
        _source.Dispose();
        Original.Dispose();
    }
}
