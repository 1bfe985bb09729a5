using System.Numerics.Tensors;
using OnnxLowRank.Layers;
using OnnxLowRank.Numerics;
using OnnxLowRank.Storage;

namespace OnnxLowRank.Factorization;

/// <summary>Everything about one layer that a probe needs, computed once: the factors at the break-even rank and the loss at every rank.</summary>
sealed class Decomposition
{
    readonly Spectrum[] _groups;
    readonly Kept _up, _dual, _down;

    /// <param name="layer">Whose weight it is.</param>
    /// <param name="groups">One basis per group, of the same size.</param>
    /// <param name="means">Per use, E[W·x] (out) over the calibration samples, without the bias; null where none was measured.</param>
    /// <param name="input">The input channels' basis of a Conv that has one, or null.</param>
    /// <param name="spill">Where the factors wait, which together are no larger than the weight; in memory when null.</param>
    /// <param name="substitute">What the factors stand for where it is not W itself (out, in).</param>
    /// <param name="spatial">The columns and rows of a Conv's kernel that is worth cutting so, or null.</param>
    /// <param name="patches">What a kernel behind the first of two convolutions is fitted to, or null.</param>
    public Decomposition(
        ILinearAlgebra algebra, Layer layer, OutputBasis[] groups, double[]?[] means, InputBasis? input = null, Spill? spill = null, Matrix? substitute = null,
        SpatialBasis? spatial = null, PatchMoment? patches = null)
    {
        Layer = layer;
        Means = means;
        _groups = [.. groups.Select(group => new Spectrum(group.Energy, group.Total))];
        MaxRank = groups[0].Vectors.Cols;
        spill ??= Spill.None;
        _up = spill.Keep(Floats(groups, group => group.Vectors));
        _dual = groups.All(group => group.Dual == group.Vectors) ? _up : spill.Keep(Floats(groups, group => group.Dual));
        _down = spill.Keep(new DownFactor(algebra, layer, _dual, MaxRank).Make(substitute));
        Energy = groups.Sum(group => group.Total);
        Tucker = input == null ? null : new(algebra, layer, input, groups[0].Dual, patches, spill);
        Spatial = spatial == null ? null : new(algebra, layer, spatial, patches, spill);
    }

    Decomposition(Decomposition other, Layer layer, IReadOnlyList<double[]?> means, Kept down) =>
        (Layer, Means, MaxRank, Energy, _groups, _up, _dual, _down) = (layer, means, other.MaxRank, other.Energy, other._groups, other._up, other._dual, down);

    /// <summary>(out, k), group after group.</summary>
    static float[] Floats(OutputBasis[] groups, Func<OutputBasis, Matrix> part)
    {
        int elements = part(groups[0]).Data.Length;
        var floats = new float[groups.Length * elements];
        for (int g = 0; g < groups.Length; g++)
        {
            TensorPrimitives.ConvertTruncating<double, float>(part(groups[g]).Data, floats.AsSpan(g * elements));
        }
        return floats;
    }

    public Layer Layer { get; }

    /// <summary>Per use, E[W·x] (out), or null.</summary>
    public IReadOnlyList<double[]?> Means { get; }

    /// <summary>The largest rank (per group) that can be cut.</summary>
    public int MaxRank { get; }

    /// <summary>The ways that combine a Conv's input channels, or null where there is none.</summary>
    public Tucker? Tucker { get; private init; }

    /// <summary>A Conv's kernel as columns and rows, or null.</summary>
    public SpatialPair? Spatial { get; private init; }

    /// <summary>The same, but that kernels behind a first convolution, which take a while to find, are any of their size.</summary>
    public Decomposition WithAnyKernels() => new(this, Layer, Means, _down) { Tucker = Tucker?.WithAnyNumbers(), Spatial = Spatial?.WithAnyNumbers() };

    /// <summary>The same directions of the output for W·M, and what else is applied to the input, behind M.</summary>
    /// <param name="layer">With the weight W·M, and W·c in its biases.</param>
    public Decomposition Behind(InputFit fit, Layer layer, Spill spill) => new(
        this, layer, [.. Means.Select((mean, use) => mean == null ? null : Less(mean, fit.Gains[use]))], spill.Keep(fit.Through(_down.Span, layer.In)))
    {
        Tucker = Tucker?.Behind(fit),
        Spatial = Spatial?.Behind(fit),
    };

    /// <summary>A vector without another.</summary>
    internal static double[] Less(double[] vector, double[] other)
    {
        var rest = new double[vector.Length];
        TensorPrimitives.Subtract<double>(vector, other, rest);
        return rest;
    }

    /// <summary>The output's energy: variance summed over channels, or ‖W‖² where none was measured.</summary>
    public double Energy { get; }

    /// <summary>Of all groups together: a rank keeps as many directions of each.</summary>
    public Spectrum Spectrum => new([.. Enumerable.Range(0, MaxRank).Select(i => _groups.Sum(group => group.Energy[i]))], Energy);

    /// <summary>Share of the output's energy that is lost at a rank, 0…1; nothing at rank out/groups.</summary>
    public double Error(int rank) => Energy > 0 && rank < Layer.OutPerGroup ? _groups.Sum(group => group.Tail(rank)) / Energy : 0;

    /// <summary>Share of the output's energy that combining the input's channels is predicted to lose.</summary>
    public double InputError(int inputRank) => Energy > 0 ? Tucker!.InputSpectrum.Tail(inputRank) / Energy : 0;

    /// <summary>Share of the output's energy that cutting the kernel into columns and rows is predicted to lose.</summary>
    public double SpatialError(int rank) => Energy > 0 ? Spatial!.Spectrum.Tail(rank) / Energy : 0;

    /// <summary>Down = Pᵀ·W (groups·r, in), its rows multiplied by the scales.</summary>
    public float[] CutDown(int rank, double[] scales)
    {
        var all = _down.Span;
        var down = new float[scales.Length * Layer.In];
        for (int k = 0; k < scales.Length; k++)
        {
            TensorPrimitives.Multiply(all.Slice((k / rank * MaxRank + k % rank) * Layer.In, Layer.In), (float)scales[k], down.AsSpan(k * Layer.In));
        }
        return down;
    }

    /// <summary>What each number between the factors is multiplied by, (groups·r).</summary>
    /// <param name="balanced">
    /// Whether to split the spread evenly over both factors, h'ᵢ = hᵢ/σᵢ^½, which quantized factors need; otherwise Up's columns have length 1.
    /// </param>
    public double[] Scales(int rank, bool balanced)
    {
        var scales = new double[Layer.Groups * rank];
        Array.Fill(scales, 1);
        for (int g = 0; balanced && g < Layer.Groups; g++)
        {
            double[] energy = _groups[g].Energy;
            double least = 1e-12 * TensorPrimitives.Max<double>(energy);
            for (int k = 0; k < rank; k++)
            {
                scales[g * rank + k] = Math.Pow(Math.Max(energy[k], least > 0 ? least : 1), -0.25);
            }
        }
        return scales;
    }

    /// <summary>Up (out, r) that undoes the scales.</summary>
    public float[] CutUp(int rank, double[] scales)
    {
        var layer = Layer;
        var basis = _up.Span;
        var up = new float[layer.Out * rank];
        for (int o = 0; o < layer.Out; o++)
        {
            int g = o / layer.OutPerGroup;
            for (int k = 0; k < rank; k++)
            {
                up[o * rank + k] = (float)(basis[o * MaxRank + k] / scales[g * rank + k]);
            }
        }
        return up;
    }

    /// <summary>Pᵀ of every group, (groups, k, out/groups): what turns y into the numbers between the factors.</summary>
    public float[] ProjectionT()
    {
        int rows = Layer.OutPerGroup;
        var dual = _dual.Span;
        var transposed = new float[dual.Length];
        for (int o = 0; o < Layer.Out; o++)
        {
            for (int k = 0; k < MaxRank; k++)
            {
                transposed[(o / rows * MaxRank + k) * rows + o % rows] = dual[o * MaxRank + k];
            }
        }
        return transposed;
    }

    /// <summary>Pᵀ·b of every group, (groups·k): what a projected output holds beside Pᵀ·W·x.</summary>
    public double[] ProjectedBias(int use) => Layer.Uses[use].Bias is { } bias ? Projected(bias) : new double[Layer.Groups * MaxRank];

    /// <summary>Pᵀ·y of every group, (groups·k).</summary>
    /// <param name="vector">y (out).</param>
    public double[] Projected(double[] vector)
    {
        var projected = new double[Layer.Groups * MaxRank];
        var dual = _dual.Span;
        for (int o = 0; o < Layer.Out; o++)
        {
            var part = projected.AsSpan(o / Layer.OutPerGroup * MaxRank, MaxRank);
            for (int k = 0; k < MaxRank; k++)
            {
                part[k] += dual[o * MaxRank + k] * vector[o];
            }
        }
        return projected;
    }

    /// <summary>
    /// What the bias must gain so that the output's mean stays: (I − U_r·P_rᵀ)·E[W·x] per channel; null without a measured mean.
    /// </summary>
    /// <param name="lost">What is lost of that mean before it is projected (out), or null.</param>
    public double[]? BiasCorrection(int rank, int use, double[]? lost = null)
    {
        if (Means[use] is not { } mean)
        {
            return null;
        }
        if (rank >= Layer.OutPerGroup)
        {
            return lost ?? new double[Layer.Out]; // nothing was projected
        }
        var correction = new double[Layer.Out];
        if (lost != null)
        {
            mean = [.. mean.Zip(lost, (all, part) => all - part)];
        }
        int rows = Layer.OutPerGroup;
        ReadOnlySpan<float> basis = _up.Span, dual = _dual.Span;
        for (int g = 0; g < Layer.Groups; g++)
        {
            var part = mean.AsSpan(g * rows, rows);
            var inner = new double[rank];
            var direction = new double[rank];
            for (int o = 0; o < rows; o++)
            {
                TensorPrimitives.ConvertTruncating<float, double>(dual.Slice((g * rows + o) * MaxRank, rank), direction);
                TensorPrimitives.MultiplyAdd(direction, part[o], inner, inner);
            }
            for (int o = 0; o < rows; o++)
            {
                TensorPrimitives.ConvertTruncating<float, double>(basis.Slice((g * rows + o) * MaxRank, rank), direction);
                correction[g * rows + o] = part[o] - TensorPrimitives.Dot<double>(direction, inner) + (lost?[g * rows + o] ?? 0);
            }
        }
        return correction;
    }
}
