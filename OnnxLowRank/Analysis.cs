using System.Runtime.CompilerServices;
using OnnxLowRank.Calibration;
using OnnxLowRank.Factorization;
using OnnxLowRank.Gradients;
using OnnxLowRank.Layers;
using OnnxLowRank.Numerics;
using OnnxLowRank.Planning;
using OnnxLowRank.Quantization;
using OnnxLowRank.Rewriting;
using OnnxLowRank.Storage;
using OnnxLowRank.Timing;
using OnnxLowRank.Utilization;

namespace OnnxLowRank;

/// <summary>What is known of a model's layers before any plan is made: computed once, used by every probe.</summary>
/// <param name="Decompositions">Of the layers that some rank makes smaller.</param>
/// <param name="InFewBits">Of the layers that can be run in few bits; empty where those are not allowed.</param>
/// <param name="Shapes">Of the layers' inputs and outputs for one sample.</param>
/// <param name="Positions">How often weights are applied to a sample, all uses together.</param>
/// <param name="RunShapes">Of every value that enters a layer.</param>
/// <param name="Spreads">As <see cref="Measured.Spreads"/>; empty where 8 bits are not allowed.</param>
sealed record Analysis(
    FoundLayers Found, IReadOnlyDictionary<Layer, Decomposition> Decompositions, IReadOnlyDictionary<Layer, NBitWeights> InFewBits,
    IReadOnlyDictionary<string, long[]> Shapes, IReadOnlyDictionary<Layer, Positions> Positions, ActivationRanges Ranges,
    IReadOnlyDictionary<string, RunShape> RunShapes, IReadOnlyDictionary<Layer, double> Spreads)
{
    /// <summary>Shapes first, because the run's size depends on them; then moments, decompositions, and ranges where int8 is allowed.</summary>
    /// <param name="withGradients">Whether factors are chosen by how the model's outputs follow (<see cref="OutputMetric"/>); otherwise all errors of a layer's output count the same.</param>
    public static Analysis Of(
        Workspace workspace, FoundLayers found, CompressionOptions options, ILinearAlgebra algebra, StageClock clock, bool withGradients = true)
    {
        Layer[] layers = [.. found.Measured];
        var sampling = workspace.Sampling;
        var calibrator = new Calibrator(workspace.Model, layers, workspace.Device, options.Threads);
        bool wantsInt8 = options.WantsIntegers;

        clock.Enter("calibrate");
        var shapesOf = calibrator.Shapes(sampling, [1, 2]);
        var shapes = shapesOf[0];
        sampling.FitTo(Calibrator.BytesPerSample(shapes));
        var positions = found.Layers.ToDictionary(layer => layer, layer => layer.IsMeasured ? PositionsOf(layer, shapes) : default);
        var utilized = options.Method != Method.Utilized ? null : Search(workspace, layers, options, algebra, shapes);
        int done = 0;
        var decompositions = new Dictionary<Layer, Decomposition>();
        var inFewBits = new Dictionary<Layer, NBitWeights>();
        var grids = new Dictionary<string, UInt8Grid>();
        var spreads = new Dictionary<Layer, double>();
        var sketched = new List<(string Layer, int Channels, int Width)>();
        bool wantsFewBits = options.Format is FormatChoice.Auto or FormatChoice.Int4;
        bool CanRunInFewBits(Layer layer) => wantsFewBits && IsSeen(layer, positions) && Obstacle(layer, WeightFormat.Int4, options.Dialect, workspace.Model.Opset).Length == 0;
        bool Factorizes(Layer layer) => options.Method != Method.None && IsSeen(layer, positions) && layer.BreakEvenRank >= 1 && !layer.IsDepthwise;
        bool withPatches = options.Method is not (Method.Svd or Method.Randomized);
        bool WantsPatches(Layer layer) => withPatches && (CanRunInFewBits(layer) || (options.Method == Method.Output && Factorizes(layer) && Probes.MixesChannels(layer)));
        var gradients = !withGradients || options.Method != Method.Output ? null : WhereTheyRun(workspace, () => OutputGradients.Of(
            workspace.Model, [.. layers.Where(layer => Factorizes(layer) && OutputMetric.IsWorthIt(layer))], workspace.Metric.Outputs, workspace.Metric.AreScores, sampling, shapes,
            workspace.Device, options.Threads, layers.Sum(layer => Inspector.Macs(layer, shapes)), workspace.Memory, options.Seed));
        List<List<Layer>> Waves() => Calibrator.Waves(found.Layers, shapes, workspace.Memory, withPatches, gradients == null ? null : gradients.Taps);
        var waves = Waves();
        if (gradients?.IsAffordable(waves.Count) == false)
        {
            gradients = null;
            waves = Waves();
        }
        foreach (var wave in waves)
        {
            clock.Enter("calibrate");
            Layer[] running = [.. wave.Where(layer => layer.IsMeasured)];
            var patchesOf = running.Where(WantsPatches);
            var measured = workspace.Stats?.Measured(algebra, running, shapes, wantsInt8, workspace.Model.Spill, workspace.Memory, patchesOf)
                ?? new Calibrator(workspace.Model, running, workspace.Device, options.Threads).Collect(sampling, workspace.Shares.Moments, shapes, wantsInt8, workspace.Memory, patchesOf);
            foreach (var (value, grid) in measured.Grids)
            {
                grids[value] = grid;
            }
            foreach (var (layer, spread) in measured.Spreads)
            {
                spreads[layer] = spread;
            }
            var followed = gradients == null ? null : WhereTheyRun(workspace, () => gradients.Collect(running, workspace.Shares.Moments));
            gradients = followed == null ? null : gradients;
            sketched.AddRange(measured.Sketches.Select(item => (item.Key.Name, item.Value[0].Size, item.Value[0].Width)));
            clock.Enter("decompose");
            var moments = new ConditionalWeakTable<Moments, InputMoment?>();
            foreach (var layer in wave)
            {
                var moment = measured.Patches.TryGetValue(layer, out var uses) ? PatchMoments.Of(layer, uses) : null;
                var metrics = Decomposing.MetricsOf(algebra, layer, measured, followed?.GetValueOrDefault(layer));
                if (Factorizes(layer))
                {
                    decompositions[layer] = Decomposing.Of(algebra, layer, measured, options, workspace, utilized, metrics, moment);
                }
                if (CanRunInFewBits(layer))
                {
                    inFewBits[layer] = FewBits.Of(
                        algebra, layer, decompositions.GetValueOrDefault(layer), measured, moment, shapes, options.Method, metrics is [var metric] ? metric : null, moments, workspace.Model.Spill);
                }
                clock.Report((double)++done / found.Layers.Count);
                measured.Forget(layer); // the next layers' decompositions take its place in memory
                Garbage.Collect(layer.Elements);
            }
        }

        if (sketched.Count > 0)
        {
            var (name, channels, width) = sketched.MaxBy(item => item.Channels);
            workspace.Notes.Add(FormattableString.Invariant(
                $"moments of {sketched.Count} layers take more than --memory: sketched, the widest ({name}, {channels:N0} channels) with {width:N0} mixtures of its channels, which no rank exceeds"));
        }

        clock.Enter("calibrate");
        var inside = calibrator.InnerRanges(sampling, workspace.Shares.Moments, shapes, wantsInt8
            ? [.. decompositions.Values.Where(decomposition => decomposition.Layer.Kind == LayerKind.Conv)]
            : []);
        var inputs = layers.SelectMany(layer => layer.Uses).Select(use => use.Input).Distinct();
        return new(
            found, decompositions, inFewBits, shapes, positions, new(grids, inside),
            inputs.ToDictionary(value => value, value => new RunShape(shapes[value], shapesOf[1][value])), spreads);
    }

    /// <summary>What a backward pass tells, or null where ONNX Runtime cannot run it: plans are good without it.</summary>
    static T? WhereTheyRun<T>(Workspace workspace, Func<T?> measure) where T : class
    {
        try
        {
            return measure();
        }
        catch (ModelException e)
        {
            workspace.Notes.Add($"errors of layers' outputs count alike, as gradients cannot be computed: {e.Message}");
            return null;
        }
    }

    internal static Positions PositionsOf(Layer layer, IReadOnlyDictionary<string, long[]> shapes)
    {
        double Vectors(string value, int channels) => shapes[value].Aggregate(1.0, (product, dim) => product * dim) / channels;
        double output = layer.Uses.Sum(use => Vectors(use.Output, layer.Out));
        return new(layer.IsConvolution ? layer.Uses.Sum(use => Vectors(use.Input, layer.Groups * (layer.In / layer.KernelSize))) : output, output);
    }

    static LayerSearch Search(Workspace workspace, Layer[] layers, CompressionOptions options, ILinearAlgebra algebra, IReadOnlyDictionary<string, long[]> shapes) =>
        new(workspace.Shares, options.Seed)
        {
            Model = workspace.Model,
            Device = workspace.Device,
            Threads = options.Threads,
            Algebra = algebra,
            Sampling = workspace.Sampling,
            Evaluator = workspace.Evaluator,
            Outputs = workspace.Metric.Outputs,
            Shapes = shapes,
            Cost = new(layers.ToDictionary(layer => layer, layer => Inspector.Macs(layer, shapes))),
            Delta = options.Delta,
        };

    /// <summary>
    /// Largest <see cref="RowMaxima.Spread"/> of an input that may get one 8-bit scale per run. At k = 16 half of the rows are left with
    /// log2(256/16) = 4 bits when the largest one is in the batch. With rows of Gaussian numbers, whose maximum is about 3.5σ, the step
    /// 2·16·3.5σ/255 then adds noise of 1.6 % of their energy: a hundred times the noise that plans count with, and it depends on the batch.
    /// </summary>
    const double LargestSpread = 16;

    /// <summary>Whether 8 bits with one scale for all rows of the layer's input are not safe.</summary>
    public bool IsUneven(Layer layer) => Spreads.GetValueOrDefault(layer, 1) > LargestSpread;

    /// <summary>Whether samples give the layer anything to apply its weight to. What errors in it would cost is unknown otherwise: it is left alone.</summary>
    public bool IsSeen(Layer layer) => IsSeen(layer, Positions);

    static bool IsSeen(Layer layer, IReadOnlyDictionary<Layer, Positions> positions) => !layer.IsMeasured || positions[layer].Output > 0;

    /// <summary>Of the layers in <see cref="Decompositions"/>, that of the output and, where a Conv's kernel may be cut so, those of the input's channels and of its columns and rows.</summary>
    public IReadOnlyDictionary<Layer, (Spectrum Output, Spectrum? Input, Spectrum? Spatial)> Spectra { get; } =
        Decompositions.Values.ToDictionary(item => item.Layer, item => (item.Spectrum, item.Tucker?.InputSpectrum, item.Spatial?.Spectrum));

    /// <summary>What a report needs of it: the rest takes more memory than the model.</summary>
    public Analysis Summary => this with { Decompositions = new Dictionary<Layer, Decomposition>(), InFewBits = new Dictionary<Layer, NBitWeights>() };

    /// <summary>What parts of the original cost.</summary>
    public ForwardCost Cost { get; } = new(Found.Layers.ToDictionary(layer => layer, layer => Inspector.Macs(layer, Shapes)));

    /// <summary>Multiply-adds per sample in the layers, when done like this.</summary>
    public double Macs(IEnumerable<LayerPlan> plans) => plans.Sum(plan => Product.Of(plan, Positions[plan.Layer]).Sum(product => product.Macs));

    /// <summary>The table of candidates per layer, in graph order.</summary>
    public List<List<Candidate>> Tables(
        IReadOnlyDictionary<Layer, DamageCurve> damage, ICostModel cost, Func<Layer, Allowed> allowedFor, Dialect dialect, int opset) =>
        [.. Found.Layers.Select(layer =>
        {
            Garbage.Collect(layer.Elements);
            var allowed = !IsSeen(layer) ? Allowed.Nothing : IsUneven(layer) ? allowedFor(layer).WithoutScalesPerRun() : allowedFor(layer);
            return Candidates.Of(
                layer, Decompositions.GetValueOrDefault(layer), InFewBits.GetValueOrDefault(layer), cost, damage[layer], format => Obstacle(layer, format, dialect, opset).Length == 0,
                opset < WeightOnly.OldestOpset ? allowed with { WeightOnly = [] } : allowed);
        })];

    /// <summary>QLinearConv, which ONNX Runtime makes of a quantized Conv, is that old.</summary>
    const int OldestInt8Conv = 10;

    /// <summary>Why a layer cannot run in a format, or nothing.</summary>
    public static string Obstacle(Layer layer, WeightFormat format, Dialect dialect, int opset) =>
        format == WeightFormat.Float32 ? ""
        : format == WeightFormat.Float16 ? HalfObstacle(layer)
        : layer.Kind == LayerKind.LeftMatMul ? "the weight is MatMul's left operand, which no 8-bit kernel takes"
        : layer.Kind == LayerKind.ConvTranspose ? "no 8-bit kernel runs a ConvTranspose"
        : layer.Uses.Any(use => use.Addend != null) ? "Gemm's C is not a bias per channel"
        : format == WeightFormat.Int4 && layer.IsTable && layer.Out % 2 == 1 ? "an odd number of columns does not fit bytes of two"
        : format.IsFewBits() && opset < Unpacking.OldestOpset ? $"opset {opset} cannot unpack {format.Bits()} bits (from {Unpacking.OldestOpset} on)"
        : Int8Obstacle(layer, dialect, opset);

    /// <summary>Why a layer cannot be stored in 16-bit floats, or nothing.</summary>
    static string HalfObstacle(Layer layer) =>
        layer.IsHalf ? "its floats have 16 bits already"
        : !(layer.LargestNumber <= (double)Half.MaxValue) ? $"a number of the weight is beyond fp16's range, which ends at {(float)Half.MaxValue}"
        : "";

    static string Int8Obstacle(Layer layer, Dialect dialect, int opset)
    {
        if (layer.Kind == LayerKind.Conv && opset < OldestInt8Conv)
        {
            return $"opset {opset} has no integer convolution (from {OldestInt8Conv} on)";
        }
        int oldest = layer.Kind == LayerKind.Conv ? ActivationGrids.PerAxisOpset : Int8Product.OldestOnnxOpset;
        return dialect == Dialect.Onnx && opset < oldest
            ? $"opset {opset} has no standard operator for it (from {oldest} on); --dialect ort has one"
            : "";
    }
}
