using OnnxLowRank.Calibration;
using OnnxLowRank.Factorization;
using OnnxLowRank.Layers;
using OnnxLowRank.Numerics;
using OnnxLowRank.Onnx;
using OnnxLowRank.Planning;
using OnnxLowRank.Refitting;
using OnnxLowRank.Rewriting;
using OnnxLowRank.Runtime;
using OnnxLowRank.Storage;
using OnnxLowRank.Tests.Rewriting;
using OnnxLowRank.Timing;

namespace OnnxLowRank.Tests;

/// <summary>A model with its layers found and calibrated by the library, ready to be decomposed and rewritten at any rank.</summary>
sealed class Bench
{
    static readonly ILinearAlgebra s_algebra = LinearAlgebra.Create(1);
    readonly Calibrator _calibrator;
    readonly MemorySamples _samples;
    readonly Dictionary<Layer, Decomposition> _decompositions = [];
    readonly Dictionary<Layer, NBitWeights> _int4 = [];

    public Bench(OnnxModel model, MemorySamples samples, LayerFilter? filter = null, int? batch = null)
    {
        (Model, _samples) = (model, samples);
        Found = LayerFinder.Find(model, filter ?? new());
        Sampling = new Sampling(samples, batch, CancellationToken.None);
        _calibrator = new Calibrator(model, [.. Found.Layers.Where(layer => layer.Kind != LayerKind.Constant)], Device.Cpu, threads: 1);
        Shapes = _calibrator.Shapes(Sampling);
        Measured = _calibrator.Collect(Sampling, samples.All, Shapes, withRanges: true);
    }

    public OnnxModel Model { get; }

    public FoundLayers Found { get; }

    public Sampling Sampling { get; }

    public IReadOnlyDictionary<string, long[]> Shapes { get; }

    public Measured Measured { get; }

    /// <summary>The only layer of the model.</summary>
    public Layer Layer => Assert.Single(Found.Layers);

    /// <summary>Names of <see cref="LayerCases"/> with a Conv layer for which something holds.</summary>
    public static IEnumerable<string> ConvsWhere(Predicate<Layer> holds) => LayerCases.NamesWith("Conv").Where(name =>
    {
        var (model, samples) = LayerCases.Make(name);
        return holds(new Bench(model, samples).Layer);
    });

    /// <summary>By the output method, at every rank there is.</summary>
    public Decomposition Decompose(Layer layer)
    {
        if (_decompositions.TryGetValue(layer, out var known))
        {
            return known;
        }
        var weight = layer.ReadWeight();
        int rows = layer.OutPerGroup, rank = Math.Min(rows, layer.In);
        if (layer.Kind == LayerKind.Constant)
        {
            return _decompositions[layer] = new(s_algebra, layer, [SvdMethod.Of(s_algebra, weight, rank)], [null]);
        }
        bool isAtInput = Tap.IsAtInput(layer), isCentred = layer.Uses.All(use => use.Addend == null);
        var moments = Measured.Moments[layer];
        var bases = Enumerable.Range(0, layer.Groups).Select(g =>
        {
            var part = new Matrix(rows, layer.In, weight.Data.AsSpan(g * rows * layer.In, rows * layer.In).ToArray());
            var second = moments[0].Second(g, isCentred);
            return isAtInput
                ? OutputMethod.FromInput(s_algebra, second, [part], shrinkage: 0, rank)
                : OutputMethod.FromOutput(s_algebra, second, [part.Transposed()], shrinkage: 0, rank);
        });
        double[]?[] means = [.. layer.Uses.Select((use, i) => !isCentred ? null : isAtInput
            ? s_algebra.Multiply(weight, new Matrix(layer.In, 1, moments[i].Mean())).Data
            : moments[i].Mean().Select((mean, o) => mean - (use.Bias?[o] ?? 0)).ToArray())];
        int channels = layer.In / layer.KernelSize;
        var second = Probes.MixesChannels(layer) ? Measured.InputMoments[layer][0].Second(0, centred: false) : null;
        var input = layer.BreakEvenInputRank == 0 ? null : InputMethod.Of(s_algebra, weight, channels, second, shrinkage: 0, channels);
        var spatial = layer.BreakEvenSpatialRank == 0 ? null
            : SpatialMethod.Of(
                s_algebra, weight, channels, (int)layer.Kernel[1], (u, w) => u == w ? second : null, shrinkage: 0,
                (int)Math.Min(channels * layer.Kernel[0], layer.Kernel[1] * layer.Out));
        return _decompositions[layer] = new(s_algebra, layer, [.. bases], means, input, spatial: spatial);
    }

    /// <summary>In 4 bits, from the moment of the layer's input, or, of a Conv or a table, without any.</summary>
    public NBitWeights InFewBits(Layer layer)
    {
        if (!_int4.TryGetValue(layer, out var known))
        {
            if (layer.IsConvolution || layer.IsTable)
            {
                return _int4[layer] = new(s_algebra, layer, Decompose(layer), null, new double[layer.Uses.Count][]);
            }
            var moments = Measured.Moments[layer];
            var second = moments[0].Second(0, centred: true);
            second.AddToDiagonal(1e-4 * second.Trace() / second.Rows);
            _int4[layer] = known = new(s_algebra, layer, Decompose(layer), new(second, [1]), [.. moments.Select(use => use.Mean())]);
        }
        return known;
    }

    /// <summary>The model with every layer factorized.</summary>
    public Rewritten Factorize(Func<Layer, int> rank, WeightFormat format = WeightFormat.Float32, Dialect dialect = Dialect.Ort) =>
        Rewrite(dialect, layer => new LayerPlan.Factorize(layer, rank(layer), format));

    /// <summary>The model with one layer factorized in another way.</summary>
    public Rewritten Factorize(Layer layer, Decomposition decomposition, int rank) =>
        new Rewriter(Model, new Dictionary<Layer, Decomposition> { [layer] = decomposition }, new Dictionary<Layer, NBitWeights>(), ActivationRanges.None, Dialect.Ort, new Dictionary<string, string>())
            .Apply([new LayerPlan.Factorize(layer, rank, WeightFormat.Float32)]);

    public static int FullRank(Layer layer) => Math.Min(layer.OutPerGroup, layer.In);

    /// <summary>A third of the ranks: what is lost is large, so that any wrong treatment of it shows.</summary>
    public static int LowRank(Layer layer) => Math.Max(1, FullRank(layer) / 3);

    public Rewritten Quantize(Dialect dialect = Dialect.Ort) => Rewrite(dialect, layer => new LayerPlan.Quantize(layer, WeightFormat.Int8));

    public Rewritten Rewrite(Dialect dialect, Func<Layer, LayerPlan> plan, int weightBits = 8)
    {
        LayerPlan[] plans = [.. Found.Layers.Select(plan)];
        return RewriterFor(plans, dialect, weightBits).Apply(plans);
    }

    /// <summary>The plans with their factors fitted to each other on the first samples.</summary>
    public (Rewritten Rewritten, IReadOnlyDictionary<Layer, RefittedLayer> Refits) Refit(LayerPlan[] plans, int samples, double memory = 1e9)
    {
        var rewriter = RewriterFor(plans, Dialect.Ort);
        var decompositions = Found.Layers.ToDictionary(layer => layer, Decompose);
        var refits = new Refitter(Model, rewriter, decompositions, Int4, Ranges(decompositions.Values).Inside, Shapes, s_algebra, Device.Cpu, threads: 1, macs: 1, memory)
            .Refit(Sampling, _samples.All[..(samples - samples / 4)], _samples.All[(samples - samples / 4)..samples], plans);
        return (rewriter.Apply(plans, refits), refits);
    }

    /// <summary>The only layer, put behind what undoes x ≈ M·x̃ + c, and rewritten: of x̃ it makes what the layer alone, rewritten so, makes of x.</summary>
    /// <param name="shift">What E[x] is more than E[x̃], per channel.</param>
    public Rewritten RewriteBehind(LayerPlan plan, Matrix mix, double[] offset, double[] shift)
    {
        double[] shares = Layer.Kind == LayerKind.Conv ? Patches.Shares(Layer, Layer.Uses[0], Shapes) : [1];
        var decomposition = Decompose(Layer);
        var refit = LayerRefit.Of(
            s_algebra, Layer, new(s_algebra, Layer, mix, [offset], [shares]), [Patches.Repeat(shift, shares)], hasOffset: offset.Any(value => value != 0), decomposition, Int4.GetValueOrDefault(Layer), Ranges([decomposition]).Inside, Spill.None);
        return RewriterFor([plan], Dialect.Ort).Apply([plan], new Dictionary<Layer, RefittedLayer> { [Layer] = refit });
    }

    Rewriter RewriterFor(LayerPlan[] plans, Dialect dialect, int weightBits = 8)
    {
        var decompositions = plans.OfType<LayerPlan.Factorize>().ToDictionary(factorize => factorize.Layer, factorize => Decompose(factorize.Layer));
        return new Rewriter(Model, decompositions, Int4, Ranges(decompositions.Values), dialect, new Dictionary<string, string>(), weightBits);
    }

    ActivationRanges Ranges(IEnumerable<Decomposition> decompositions) =>
        new(Measured.Grids, _calibrator.InnerRanges(Sampling, _samples.All, Shapes, [.. decompositions.Where(item => item.Layer.Kind == LayerKind.Conv)]));

    Dictionary<Layer, NBitWeights> Int4 => Found.Layers.Where(layer => layer.Kind != LayerKind.LeftMatMul).ToDictionary(layer => layer, InFewBits);

    /// <summary>Times the model's layers, in runs of one sample.</summary>
    public LayerTimer Timer(Dialect dialect = Dialect.Ort)
    {
        var decompositions = Found.Layers.ToDictionary(layer => layer, Decompose);
        var shapes = Found.Layers.SelectMany(layer => layer.Uses).Select(use => use.Input).Distinct().ToDictionary(value => value, value => new RunShape(Shapes[value], Shapes[value]));
        return new(
            Model, decompositions, Int4, Ranges(decompositions.Values), shapes, Found.Layers.ToDictionary(layer => layer, _ => new Positions(1, 1)), dialect, Device.Cpu, threads: 1, () => Directory.CreateTempSubdirectory().FullName, CancellationToken.None);
    }

    public Seen[] Run(OnnxModel model, params string[] values) => ModelRuns.Run(model, _samples, values);

    /// <summary>
    /// What a layer's output must be when its first directions U_r are kept: with y the original's output and P = U_r·U_rᵀ per group,
    /// P·y + (I − P)·E[y]. It needs neither weight nor bias, so nothing that reads or writes those can be wrong in the same way.
    /// </summary>
    /// <param name="axis">Of the channels.</param>
    /// <param name="isCorrected">Whether the mean is kept; otherwise P·y.</param>
    public Seen Projected(Layer layer, Seen original, int axis, int rank, bool isCorrected = true)
    {
        var decomposition = Decompose(layer);
        float[] basisT = decomposition.ProjectionT();
        int rows = layer.OutPerGroup, size = layer.Out;
        var vectors = original.Vectors(axis);
        var mean = Enumerable.Range(0, size).Select(o => isCorrected ? vectors.Average(vector => (double)vector[o]) : 0).ToArray();
        var projected = new float[original.Values.Length];
        int inner = (int)original.Shape[(axis + 1)..].Aggregate(1L, (product, dim) => product * dim);
        for (int v = 0; v < vectors.Length; v++)
        {
            var result = (double[])mean.Clone();
            for (int g = 0; g < layer.Groups; g++)
            {
                for (int k = 0; k < rank; k++)
                {
                    var direction = basisT.AsSpan((g * decomposition.MaxRank + k) * rows, rows);
                    double length = 0;
                    for (int o = 0; o < rows; o++)
                    {
                        length += direction[o] * (vectors[v][g * rows + o] - mean[g * rows + o]);
                    }
                    for (int o = 0; o < rows; o++)
                    {
                        result[g * rows + o] += direction[o] * length;
                    }
                }
            }
            for (int o = 0; o < size; o++)
            {
                projected[(v / inner * size + o) * inner + v % inner] = (float)result[o];
            }
        }
        return original with { Values = projected };
    }
}
