using System.Numerics.Tensors;
using System.Runtime.CompilerServices;
using OnnxLowRank.Calibration;
using OnnxLowRank.Factorization;
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
/// <param name="Int4">Of the layers that can be run in 4 bits; empty where those are not allowed.</param>
/// <param name="Shapes">Of the layers' inputs and outputs for one sample.</param>
/// <param name="Positions">How often weights are applied to a sample, all uses together.</param>
/// <param name="RunShapes">Of every value that enters a layer.</param>
/// <param name="Spreads">As <see cref="Measured.Spreads"/>; empty where 8 bits are not allowed.</param>
sealed record Analysis(
    FoundLayers Found, IReadOnlyDictionary<Layer, Decomposition> Decompositions, IReadOnlyDictionary<Layer, Int4Weights> Int4,
    IReadOnlyDictionary<string, long[]> Shapes, IReadOnlyDictionary<Layer, Positions> Positions, ActivationRanges Ranges,
    IReadOnlyDictionary<string, RunShape> RunShapes, IReadOnlyDictionary<Layer, double> Spreads)
{
    /// <summary>The largest share of the weight-only objective mixed into the moments; see <see cref="Shrinkage"/>.</summary>
    const double LargestShrinkage = 1e-2;

    /// <summary>What every input counts in 4 bits, in units of the average input's variance.</summary>
    const double Damping = 1e-2;

    /// <summary>Shapes first, because the run's size depends on them; then moments, decompositions, and ranges where int8 is allowed.</summary>
    public static Analysis Of(
        Workspace workspace, FoundLayers found, CompressionOptions options, ILinearAlgebra algebra, StageClock clock)
    {
        Layer[] layers = [.. found.Layers.Where(layer => layer.Kind != LayerKind.Constant)]; // what constants are is known
        var sampling = workspace.Sampling;
        var calibrator = new Calibrator(workspace.Model, layers, workspace.Device, options.Threads);
        bool wantsInt8 = options.Format != FormatChoice.Float32;

        clock.Enter("calibrate");
        var shapesOf = calibrator.Shapes(sampling, [1, 2]);
        var shapes = shapesOf[0];
        sampling.FitTo(Calibrator.BytesPerSample(shapes));
        var positions = found.Layers.ToDictionary(layer => layer, layer => layer.Kind == LayerKind.Constant ? default : PositionsOf(layer, shapes));
        var utilized = options.Method != Method.Utilized ? null : Search(workspace, layers, options, algebra, shapes);
        int done = 0;
        var decompositions = new Dictionary<Layer, Decomposition>();
        var int4 = new Dictionary<Layer, Int4Weights>();
        var grids = new Dictionary<string, UInt8Grid>();
        var spreads = new Dictionary<Layer, double>();
        foreach (var wave in Calibrator.Waves(found.Layers, shapes, options.Memory))
        {
            clock.Enter("calibrate");
            Layer[] running = [.. wave.Where(layer => layer.Kind != LayerKind.Constant)];
            var measured = workspace.Stats?.Measured(running, shapes, wantsInt8)
                ?? new Calibrator(workspace.Model, running, workspace.Device, options.Threads).Collect(sampling, workspace.Shares.Moments, shapes, wantsInt8);
            foreach (var (value, grid) in measured.Grids)
            {
                grids[value] = grid;
            }
            foreach (var (layer, spread) in measured.Spreads)
            {
                spreads[layer] = spread;
            }
            clock.Enter("decompose");
            var moments = new ConditionalWeakTable<Moments, InputMoment?>();
            foreach (var layer in wave)
            {
                bool isSeen = IsSeen(layer, positions);
                if (isSeen && options.Method != Method.None && layer.BreakEvenRank >= 1 && !layer.IsDepthwise)
                {
                    decompositions[layer] = layer.Kind == LayerKind.Constant ? OfConstant(algebra, layer, workspace.Model.Spill)
                        : utilized != null ? OfUtilized(algebra, layer, Projected(utilized, workspace, layer))
                        : Decompose(
                            algebra, layer, measured, options.Method, options.Seed, layer.BreakEvenRank, InputBasisOf(algebra, layer, measured, options), workspace.Model.Spill);
                }
                if (isSeen && options.Format is FormatChoice.Auto or FormatChoice.Int4 && Obstacle(layer, WeightFormat.Int4, options.Dialect, workspace.Model.Opset).Length == 0)
                {
                    int4[layer] = InFewBits(algebra, layer, decompositions.GetValueOrDefault(layer), measured, shapes, options.Method, moments, workspace.Model.Spill);
                }
                clock.Report((double)++done / found.Layers.Count);
                measured.Forget(layer); // the next layers' decompositions take its place in memory
                Garbage.Collect(layer);
            }
        }

        clock.Enter("calibrate");
        var (inner, entry) = calibrator.InnerRanges(sampling, workspace.Shares.Moments, shapes, wantsInt8
            ? [.. decompositions.Values.Where(decomposition => decomposition.Layer.Kind == LayerKind.Conv)]
            : []);
        var inputs = layers.SelectMany(layer => layer.Uses).Select(use => use.Input).Distinct();
        return new(
            found, decompositions, int4, shapes, positions, new(grids, inner, entry),
            inputs.ToDictionary(value => value, value => new RunShape(shapes[value], shapesOf[1][value])), spreads);
    }

    internal static Positions PositionsOf(Layer layer, IReadOnlyDictionary<string, long[]> shapes)
    {
        double Vectors(string value, int channels) => shapes[value].Aggregate(1.0, (product, dim) => product * dim) / channels;
        double output = layer.Uses.Sum(use => Vectors(use.Output, layer.Out));
        return new(layer.IsConvolution ? layer.Uses.Sum(use => Vectors(use.Input, layer.Groups * (layer.In / layer.KernelSize))) : output, output);
    }

    /// <summary>All rows of a constant count the same; of many, their products are cheaper to decompose than they themselves.</summary>
    static Decomposition OfConstant(ILinearAlgebra algebra, Layer layer, Spill spill)
    {
        var weight = layer.ReadWeight();
        int rank = layer.BreakEvenRank;
        var basis = layer.Out < layer.In ? OutputMethod.FromOutput(algebra, algebra.Gram(weight), weight, shrinkage: 0, rank) : SvdMethod.Of(algebra, weight, rank);
        return new(algebra, layer, [basis], weight, [null], spill: spill);
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

    /// <summary>P_T·W·P_S of a layer, or W where nothing can be projected.</summary>
    static Matrix Projected(LayerSearch search, Workspace workspace, Layer layer)
    {
        var cut = new LayerCut(workspace.Model, layer, workspace.Metric.Outputs);
        string obstacle = search.Obstacle(layer, cut);
        if (obstacle.Length > 0)
        {
            workspace.Notes.Add($"{layer.Name}: not projected, {obstacle}");
            return layer.ReadWeight();
        }
        var inputs = search.Inputs(layer, cut).Space;
        return LayerSearch.Projected(inputs, search.Find(layer, cut, inputs, _ => { }));
    }

    /// <summary>The SVD of what is left of a weight; biases stay as they are.</summary>
    static Decomposition OfUtilized(ILinearAlgebra algebra, Layer layer, Matrix projected) =>
        new(algebra, layer, [.. Enumerable.Range(0, layer.Groups).Select(g => SvdMethod.Of(algebra, layer.GroupOf(projected, g), layer.BreakEvenRank))], projected, new double[layer.Uses.Count][])
        {
            Substitute = projected,
        };

    /// <param name="rank">The largest that is to be cut.</param>
    /// <param name="spill">Where it waits; in memory when null.</param>
    internal static Decomposition Decompose(
        ILinearAlgebra algebra, Layer layer, Measured measured, Method method, int seed, int rank, InputBasis? input, Spill? spill = null)
    {
        var moments = measured.Moments[layer];
        var weight = layer.ReadWeight();
        bool isAtInput = Tap.IsAtInput(layer), isCentred = layer.Uses.All(use => HasRoomForMean(layer, use));
        bool isSolvedAtInput = isAtInput && layer.In < layer.Out;
        double vectors = moments.Sum(use => use.Count);
        double shrinkage = layer.Kind == LayerKind.Gather ? TableShrinkage(vectors, layer.In) : Shrinkage(vectors, isSolvedAtInput ? layer.In : layer.OutPerGroup);
        var groups = new OutputBasis[layer.Groups];
        for (int g = 0; g < groups.Length; g++)
        {
            var part = layer.GroupOf(weight, g);
            var second = Moments.Pooled(moments, g, isCentred);
            groups[g] = method switch
            {
                Method.Svd => OutputMethod.Along(algebra, SvdMethod.Of(algebra, part, rank).Vectors, second, isAtInput ? part : null),
                Method.Randomized => OutputMethod.Along(algebra, RandomizedMethod.Of(algebra, part, rank, seed + g).Vectors, second, isAtInput ? part : null),
                _ => FromMoments(algebra, layer, part, second, shrinkage, rank),
            };
        }
        return new(algebra, layer, groups, weight, [.. layer.Uses.Select((use, i) => Mean(algebra, use, weight, moments[i], isAtInput))], input, spill);
    }

    static InputBasis? InputBasisOf(ILinearAlgebra algebra, Layer layer, Measured measured, CompressionOptions options)
    {
        if (layer.BreakEvenInputRank == 0)
        {
            return null;
        }
        int channels = layer.In / layer.KernelSize;
        var moments = measured.InputMoments[layer];
        bool isDataAware = options.Method is not (Method.Svd or Method.Randomized);
        return InputMethod.Of(
            algebra, layer.ReadWeight(), channels, isDataAware ? Moments.Pooled(moments, 0, centred: false) : null,
            Shrinkage(moments.Sum(use => use.Count), channels), Math.Min(channels, layer.BreakEvenInputRank));
    }

    /// <summary>Directions of a group's output over all uses, each about its mean, and the variance along them.</summary>
    /// <param name="part">W of the group, (out/groups, in).</param>
    internal static OutputBasis OutputBasisOf(ILinearAlgebra algebra, Layer layer, Matrix part, Moments[] moments, int group) =>
        FromMoments(algebra, layer, part, Moments.Pooled(moments, group, centred: true), shrinkage: 0, Math.Min(part.Rows, part.Cols));

    /// <param name="second">Of the value that <see cref="Tap"/> chose.</param>
    static OutputBasis FromMoments(ILinearAlgebra algebra, Layer layer, Matrix part, Matrix second, double shrinkage, int rank) =>
        !Tap.IsAtInput(layer) ? OutputMethod.FromOutput(algebra, second, part, shrinkage, rank)
        : layer.In < layer.Out ? OutputMethod.FromInput(algebra, second, part, shrinkage, rank)
        : OutputMethod.FromOutput(algebra, Through(algebra, part, second), part, shrinkage, rank);

    /// <summary>The output's covariance W·G·Wᵀ.</summary>
    static Matrix Through(ILinearAlgebra algebra, Matrix weight, Matrix covariance) =>
        algebra.Multiply(algebra.Multiply(weight, covariance), weight, transposeRight: true);

    /// <param name="known">Moments of values that several layers read, which it does not keep alive.</param>
    static Int4Weights InFewBits(
        ILinearAlgebra algebra, Layer layer, Decomposition? decomposition, Measured measured, IReadOnlyDictionary<string, long[]> shapes, Method method,
        ConditionalWeakTable<Moments, InputMoment?> known, Spill spill)
    {
        bool isConv = measured.InputMoments.ContainsKey(layer);
        if (method is Method.Svd or Method.Randomized || !(isConv || Tap.IsAtInput(layer)))
        {
            return new(algebra, layer, decomposition, null, new double[layer.Uses.Count][]);
        }
        var moments = isConv ? measured.InputMoments[layer] : measured.Moments[layer];
        double[] taps = isConv ? Patches.Shares(layer, layer.Uses[0], shapes) : [1];
        double[][] means = [.. moments.Select(use => Patches.Repeat(use.Mean(), taps))];
        if (isConv)
        {
            // Next to padding even a constant input varies: there is no mean to take off where a tap reads none of it.
            var moment = Moments.Pooled(moments, 0, centred: true);
            double inside = taps.Average();
            TensorPrimitives.Multiply<double>(moment.Data, inside, moment.Data);
            TensorPrimitives.MultiplyAdd(Moments.Pooled(moments, 0, centred: false).Data, 1 - inside, moment.Data, moment.Data);
            return new(algebra, layer, decomposition, Damped(moment, taps, spill), means);
        }
        if (moments.Length > 1)
        {
            return new(algebra, layer, decomposition, Damped(Moments.Pooled(moments, 0, centred: true), taps, spill), means);
        }
        if (!known.TryGetValue(moments[0], out var shared))
        {
            known.Add(moments[0], shared = Damped(moments[0].Second(0, centred: true), taps, spill));
        }
        return new(algebra, layer, decomposition, shared, means);
    }

    /// <summary>G with a little of every input in it, so that no error is free because few samples would show it; null where all inputs are constant.</summary>
    static InputMoment? Damped(Matrix covariance, double[] taps, Spill spill)
    {
        double mean = Enumerable.Range(0, covariance.Rows).Sum(i => covariance[i, i]) / covariance.Rows;
        for (int i = 0; i < covariance.Rows; i++)
        {
            covariance[i, i] += Damping * mean;
        }
        return mean > 0 ? new(covariance, taps, spill) : null;
    }

    /// <summary>Whether a corrected mean is written; else the mean counts as part of what must be kept.</summary>
    static bool HasRoomForMean(Layer layer, LayerUse use) =>
        use.Addend == null && (layer.Kind != LayerKind.LeftMatMul || use.Bias != null);

    /// <summary>Directions that few samples excite are uncertain; the mixture fades as vectors outnumber channels.</summary>
    public static double Shrinkage(double vectors, int channels) => LargestShrinkage * Math.Min(1, channels / Math.Max(1, vectors));

    /// <summary>Every row of a table counts as if it had been seen once more: samples never meet most of a large vocabulary.</summary>
    public static double TableShrinkage(double vectors, int rows) => rows / Math.Max(1, vectors);

    /// <summary>E[W·x] of one use, or null where a bias cannot be corrected.</summary>
    static double[]? Mean(ILinearAlgebra algebra, LayerUse use, Matrix weight, Moments moments, bool isAtInput)
    {
        if (use.Addend != null)
        {
            return null;
        }
        double[] mean = moments.Mean();
        return isAtInput
            ? algebra.Multiply(weight, new Matrix(mean.Length, 1, mean)).Data
            : [.. mean.Select((value, i) => value - (use.Bias?[i] ?? 0))];
    }

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

    static bool IsSeen(Layer layer, IReadOnlyDictionary<Layer, Positions> positions) => layer.Kind == LayerKind.Constant || positions[layer].Output > 0;

    /// <summary>Of the layers in <see cref="Decompositions"/>, that of the output and, where a Conv's input channels may be combined, that of the input.</summary>
    public IReadOnlyDictionary<Layer, (Spectrum Output, Spectrum? Input)> Spectra { get; } =
        Decompositions.Values.ToDictionary(item => item.Layer, item => (item.Spectrum, item.Tucker?.InputSpectrum));

    /// <summary>What a report needs of it: the rest takes more memory than the model.</summary>
    public Analysis Summary => this with { Decompositions = new Dictionary<Layer, Decomposition>(), Int4 = new Dictionary<Layer, Int4Weights>() };

    /// <summary>Multiply-adds per sample in the layers, when done like this.</summary>
    public double Macs(IEnumerable<LayerPlan> plans) => plans.Sum(plan => Product.Of(plan, Positions[plan.Layer]).Sum(product => product.Macs));

    /// <summary>The table of candidates per layer, in graph order.</summary>
    public List<List<Candidate>> Tables(
        IReadOnlyDictionary<Layer, DamageCurve> damage, ICostModel cost, Func<Layer, Allowed> allowedFor, Dialect dialect, int opset) =>
        [.. Found.Layers.Select(layer =>
        {
            Garbage.Collect(layer);
            var allowed = !IsSeen(layer) ? Allowed.Nothing : IsUneven(layer) ? allowedFor(layer).WithoutScalesPerRun() : allowedFor(layer);
            return Candidates.Of(
                layer, Decompositions.GetValueOrDefault(layer), Int4.GetValueOrDefault(layer), cost, damage[layer], format => Obstacle(layer, format, dialect, opset).Length == 0,
                opset < WeightOnly.OldestOpset ? allowed with { WeightOnly = [] } : allowed);
        })];

    /// <summary>QLinearConv, which ONNX Runtime makes of a quantized Conv, is that old.</summary>
    const int OldestInt8Conv = 10;

    /// <summary>Why a layer cannot run in a format, or nothing.</summary>
    public static string Obstacle(Layer layer, WeightFormat format, Dialect dialect, int opset) =>
        format == WeightFormat.Float32 ? ""
        : layer.Kind == LayerKind.LeftMatMul ? "the weight is MatMul's left operand, which no 8-bit kernel takes"
        : layer.Kind == LayerKind.ConvTranspose ? "no 8-bit kernel runs a ConvTranspose"
        : layer.Uses.Any(use => use.Addend != null) ? "Gemm's C is not a bias per channel"
        : format == WeightFormat.Int4 && layer.IsTable && layer.Out % 2 == 1 ? "an odd number of columns does not fit bytes of two"
        : format == WeightFormat.Int4 && opset < Unpacking.OldestOpset ? $"opset {opset} cannot unpack 4 bits (from {Unpacking.OldestOpset} on)"
        : Int8Obstacle(layer, dialect, opset);

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
