using System.Numerics.Tensors;
using System.Runtime.CompilerServices;
using OnnxLowRank.Calibration;
using OnnxLowRank.Factorization;
using OnnxLowRank.Layers;
using OnnxLowRank.Numerics;
using OnnxLowRank.Storage;
using OnnxLowRank.Utilization;

namespace OnnxLowRank;

/// <summary>From what calibration measured of a layer to its basis: which method asks what of which moments.</summary>
static class Decomposing
{
    /// <summary>The largest share of the weight-only objective mixed into the moments; see <see cref="Shrinkage"/>.</summary>
    const double LargestShrinkage = 1e-2;

    /// <summary>The decomposition of a layer that some rank makes smaller.</summary>
    /// <param name="utilized">What finds the spaces that the task uses, with <see cref="Method.Utilized"/>; null otherwise.</param>
    /// <param name="metrics">From <see cref="MetricsOf"/>.</param>
    /// <param name="patches">Of a Conv where it was measured; null otherwise.</param>
    public static Decomposition Of(
        ILinearAlgebra algebra, Layer layer, Measured measured, CompressionOptions options, Workspace workspace, LayerSearch? utilized, OutputMetric?[]? metrics, PatchMoment? patches)
    {
        var spill = workspace.Model.Spill;
        if (layer.Kind == LayerKind.Constant)
        {
            return OfConstant(algebra, layer, spill);
        }
        if (utilized != null)
        {
            return OfUtilized(algebra, layer, Projected(utilized, workspace, layer));
        }
        if (measured.Sketches.TryGetValue(layer, out var sketches))
        {
            return OfSketch(algebra, layer, sketches, options.Method, options.Seed, spill);
        }
        return OfMoments(algebra, layer, measured, options.Method, options.Seed, spill, metrics, patches);
    }

    /// <summary>The decomposition of a layer whose moments are known.</summary>
    public static Decomposition OfMoments(
        ILinearAlgebra algebra, Layer layer, Measured measured, Method method, int seed, Spill spill, OutputMetric?[]? metrics, PatchMoment? patches)
    {
        var (input, spatial) = InputsOf(algebra, layer, measured, method, patches);
        return Decompose(algebra, layer, measured, method, seed, layer.BreakEvenRank, input, spill, metrics, spatial, patches);
    }

    /// <summary>All rows of a constant count the same; of many, their products are cheaper to decompose than they themselves.</summary>
    static Decomposition OfConstant(ILinearAlgebra algebra, Layer layer, Spill spill)
    {
        int rank = layer.BreakEvenRank;
        var basis = layer.Out < layer.In
            ? OutputMethod.FromOutput(algebra, OutputMethod.Gram(algebra, layer.ReadTransposed()), [], shrinkage: 0, rank)
            : SvdMethod.Of(algebra, layer.ReadWeight(), rank);
        return new(algebra, layer, [basis], [null], spill: spill);
    }

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
        new(
            algebra, layer, [.. Enumerable.Range(0, layer.Groups).Select(g => SvdMethod.Of(algebra, layer.GroupOf(projected, g), layer.BreakEvenRank))],
            new double[layer.Uses.Count][], substitute: projected);

    /// <param name="rank">The largest that is to be cut.</param>
    /// <param name="spill">Where it waits; in memory when null.</param>
    /// <param name="metrics">From <see cref="MetricsOf"/>.</param>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)] // unoptimized code keeps every local alive to its end
    public static Decomposition Decompose(
        ILinearAlgebra algebra, Layer layer, Measured measured, Method method, int seed, int rank, InputBasis? input, Spill? spill = null,
        OutputMetric?[]? metrics = null, SpatialBasis? spatial = null, PatchMoment? patches = null)
    {
        var moments = measured.Moments[layer];
        bool isAtInput = Tap.IsAtInput(layer), isCentred = HasRoomForMeans(layer);
        double vectors = moments.Sum(use => use.Count);
        double shrinkage = ShrinkageOf(layer, vectors);
        bool looksAtWeight = method is Method.Svd or Method.Randomized;
        var weight = layer.Groups > 1 || looksAtWeight ? layer.ReadWeight() : null;
        OutputBasis[] groups = [.. Enumerable.Range(0, layer.Groups).Select(g =>
        {
            var part = weight == null ? null : layer.GroupOf(weight, g);
            var second = Moments.Pooled(moments, g, isCentred);
            return looksAtWeight
                ? OutputMethod.Along(algebra, OfWeight(algebra, part!, method, rank, seed + g).Vectors, second, isAtInput ? part : null)
                : FromMoments(algebra, layer, part, second, shrinkage, rank, metrics?[g]);
        })];
        return new(algebra, layer, groups, [.. layer.Uses.Select((use, i) => Mean(algebra, layer, use, moments[i].Mean(), isAtInput))], input, spill, spatial: spatial, patches: patches);
    }

    static OutputBasis OfWeight(ILinearAlgebra algebra, Matrix part, Method method, int rank, int seed) =>
        method == Method.Svd ? SvdMethod.Of(algebra, part, rank) : RandomizedMethod.Of(algebra, part, rank, seed);

    static double ShrinkageOf(Layer layer, double vectors) =>
        layer.Kind == LayerKind.Gather ? TableShrinkage(vectors, layer.In) : Shrinkage(vectors, IsSolvedAtInput(layer) ? layer.In : layer.OutPerGroup);

    /// <summary>The decomposition of a layer too wide for moments.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)] // unoptimized code keeps every local alive to its end
    static Decomposition OfSketch(ILinearAlgebra algebra, Layer layer, SketchedMoments[] moments, Method method, int seed, Spill spill)
    {
        bool isAtInput = Tap.IsAtInput(layer), isCentred = HasRoomForMeans(layer);
        double vectors = moments.Sum(use => use.Count);
        var second = SketchedMoments.Pooled(moments, isCentred);
        int rank = Math.Min(layer.BreakEvenRank, second.TestMatrix.Cols - RandomizedMethod.Oversampling);
        double shrinkage = ShrinkageOf(layer, vectors);
        var basis = method is Method.Svd or Method.Randomized ? SketchMethod.Along(algebra, OfWeight(algebra, layer.ReadWeight(), method, rank, seed).Vectors, second, isAtInput ? layer.ReadWeight() : null)
            : isAtInput ? SketchMethod.FromInput(algebra, second, layer.ReadRows(), layer.ReadTransposed(), layer.Out, shrinkage, rank)
            : SketchMethod.FromOutput(algebra, second, layer.ReadRows(), layer.ReadTransposed(), layer.In, shrinkage, rank);
        return new(algebra, layer, [basis], [.. layer.Uses.Select((use, i) => Mean(algebra, layer, use, moments[i].Mean(), isAtInput))], spill: spill);
    }

    /// <param name="part">W of the group; null for a layer of one group, whose weight is read in pieces.</param>
    /// <param name="second">Of the value that <see cref="Tap"/> chose.</param>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)] // unoptimized code keeps every local alive to its end
    static OutputBasis FromMoments(ILinearAlgebra algebra, Layer layer, Matrix? part, Matrix second, double shrinkage, int rank, OutputMetric? metric = null)
    {
        if (IsSolvedAtInput(layer))
        {
            return OutputMethod.FromInput(algebra, second, part == null ? layer.ReadRows() : [part], shrinkage, rank, metric);
        }
        var covariance = Tap.IsAtInput(layer) ? Through(algebra, part ?? layer.ReadWeight(), second) : second;
        return OutputMethod.FromOutput(algebra, covariance, part == null ? layer.ReadTransposed() : [part.Transposed()], shrinkage, rank, metric);
    }

    /// <summary>Which errors of a layer's output matter, one metric per group; null where that is not known.</summary>
    /// <param name="gradients">Of the outputs of the layer's uses; null where they were not measured.</param>
    public static OutputMetric?[]? MetricsOf(ILinearAlgebra algebra, Layer layer, Measured measured, Moments[]? gradients)
    {
        if (gradients == null || !measured.Moments.TryGetValue(layer, out var moments))
        {
            return null;
        }
        var weight = layer.Groups > 1 && Tap.IsAtInput(layer) ? layer.ReadWeight() : null;
        return [.. Enumerable.Range(0, layer.Groups).Select(g => MetricOf(
            algebra, layer, gradients, g, weight == null ? null : layer.GroupOf(weight, g), Moments.Pooled(moments, g, HasRoomForMeans(layer))))];
    }

    /// <param name="gradients">Of the outputs of all uses.</param>
    /// <param name="part">W of the group where <paramref name="second"/> is of the input; null for a layer of one group.</param>
    /// <param name="second">Of the value that <see cref="Tap"/> chose.</param>
    static OutputMetric? MetricOf(ILinearAlgebra algebra, Layer layer, Moments[] gradients, int group, Matrix? part, Matrix second)
    {
        var squares = Moments.Pooled(gradients, group, centred: false);
        double vectors = gradients.Sum(use => use.Count);
        if (!Tap.IsAtInput(layer))
        {
            return OutputMetric.Of(algebra, squares, vectors, second.Trace(), metric => TensorPrimitives.Dot<double>(metric.Data, second.Data));
        }
        var weight = part ?? layer.ReadWeight();
        var image = algebra.Multiply(weight, second); // W·G
        return OutputMetric.Of(algebra, squares, vectors, TensorPrimitives.Dot<double>(image.Data, weight.Data), metric => TensorPrimitives.Dot<double>(algebra.Multiply(metric, image).Data, weight.Data));
    }

    /// <summary>Whether the layer's basis follows from its input's moments without its output's.</summary>
    static bool IsSolvedAtInput(Layer layer) => Tap.IsAtInput(layer) && layer.In < layer.Out;

    /// <summary>What cuts a Conv at its input channels, and what cuts its kernel into columns and rows; null where that saves nothing.</summary>
    static (InputBasis? Input, SpatialBasis? Spatial) InputsOf(ILinearAlgebra algebra, Layer layer, Measured measured, Method method, PatchMoment? patches)
    {
        if (!Probes.MixesChannels(layer))
        {
            return default;
        }
        int channels = layer.In / layer.KernelSize;
        var moments = measured.InputMoments[layer];
        int height = (int)layer.Kernel[0];
        // Without patches about zero, since padding is zero; with them what the mean loses is known.
        var second = method is Method.Svd or Method.Randomized ? null : patches?.Within(layer.KernelSize) ?? Moments.Pooled(moments, 0, centred: false);
        Func<int, int, Matrix?>? columns = second == null ? null : patches == null ? (u, w) => u == w ? second : null : (u, w) => patches.Column(u, w, height, layer.KernelSize / height);
        double shrinkage = Shrinkage(moments.Sum(use => use.Count), channels);
        var weight = layer.ReadWeight();
        return (
            layer.BreakEvenInputRank == 0 ? null : InputMethod.Of(algebra, weight, channels, second, shrinkage, Math.Min(channels, layer.BreakEvenInputRank)),
            layer.BreakEvenSpatialRank == 0 ? null : SpatialMethod.Of(algebra, weight, channels, layer.KernelSize / height, columns, shrinkage, layer.BreakEvenSpatialRank));
    }

    /// <summary>Directions of a group's output over all uses, each about its mean, and the variance along them.</summary>
    /// <param name="part">W of the group, (out/groups, in).</param>
    public static OutputBasis OutputBasisOf(ILinearAlgebra algebra, Layer layer, Matrix part, Moments[] moments, int group) =>
        FromMoments(algebra, layer, part, Moments.Pooled(moments, group, centred: true), shrinkage: 0, Math.Min(part.Rows, part.Cols));

    /// <summary>The output's covariance W·G·Wᵀ.</summary>
    static Matrix Through(ILinearAlgebra algebra, Matrix weight, Matrix covariance) =>
        algebra.Multiply(algebra.Multiply(weight, covariance), weight, transposeRight: true);

    static bool HasRoomForMeans(Layer layer) => layer.Uses.All(use => HasRoomForMean(layer, use));

    /// <summary>Whether a corrected mean is written; else the mean counts as part of what must be kept.</summary>
    static bool HasRoomForMean(Layer layer, LayerUse use) =>
        use.Addend == null && (layer.Kind != LayerKind.LeftMatMul || use.Bias != null);

    /// <summary>Directions that few samples excite are uncertain; the mixture fades as vectors outnumber channels.</summary>
    public static double Shrinkage(double vectors, int channels) => LargestShrinkage * Math.Min(1, channels / Math.Max(1, vectors));

    /// <summary>Every row of a table counts as if it had been seen once more: samples never meet most of a large vocabulary.</summary>
    public static double TableShrinkage(double vectors, int rows) => rows / Math.Max(1, vectors);

    /// <summary>E[W·x] of one use, or null where a bias cannot be corrected.</summary>
    static double[]? Mean(ILinearAlgebra algebra, Layer layer, LayerUse use, double[] mean, bool isAtInput)
    {
        if (use.Addend != null)
        {
            return null;
        }
        return isAtInput
            ? [.. layer.ReadRows().SelectMany(rows => algebra.Multiply(rows, new Matrix(mean.Length, 1, mean)).Data)]
            : [.. mean.Select((value, i) => value - (use.Bias?[i] ?? 0))];
    }
}
