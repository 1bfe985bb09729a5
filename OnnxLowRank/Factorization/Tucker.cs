using System.Numerics.Tensors;
using OnnxLowRank.Layers;
using OnnxLowRank.Numerics;
using OnnxLowRank.Storage;

namespace OnnxLowRank.Factorization;

/// <summary>
/// A Conv's kernel between both of its bases, computed once and cut at any pair of ranks: 1×1 (C_in → r_in), k×k (r_in → r_out),
/// 1×1 (r_out → C_out), where a full r_out leaves the last one out.
/// </summary>
/// <remarks>Source: Tucker-2 decomposition of kernels (Kim et al. 2016); both bases are data-aware here.</remarks>
sealed class Tucker
{
    readonly ILinearAlgebra _algebra;
    readonly InputBasis _input;
    readonly Matrix _dual;
    readonly int _taps;
    readonly Kept _kernel;
    readonly FittedKernel? _fitted;
    PairMeans? _means;

    /// <summary>Whether the kernel's numbers do not matter; see <see cref="WithAnyNumbers"/>.</summary>
    bool _hasAnyNumbers;

    /// <param name="dual">P (out, k), what the output is projected by.</param>
    /// <param name="patches">What the kernel is fitted to; null to take what the basis makes of it.</param>
    /// <param name="spill">Where kernels wait.</param>
    public Tucker(ILinearAlgebra algebra, Layer layer, InputBasis input, Matrix dual, PatchMoment? patches, Spill spill)
    {
        (_algebra, _input, _dual, _taps) = (algebra, input, dual, layer.KernelSize);
        Entry = input.Entry.ToFloats();
        if (patches != null)
        {
            _fitted = new(algebra, layer.ReadWeight(), input.Entry, _taps, patches, spill);
            _means = _fitted.Means;
        }
        else
        {
            _kernel = spill.Keep(ByOutput(input.Kernel, layer.Out).ToFloats());
        }
    }

    /// <summary>The same ways, with kernels that take as long to compute with, and no time to find.</summary>
    public Tucker WithAnyNumbers()
    {
        var copy = (Tucker)MemberwiseClone();
        copy._hasAnyNumbers = true;
        return copy;
    }

    /// <summary>The same ways for inputs to which M is applied first.</summary>
    public Tucker Behind(InputFit fit)
    {
        var behind = (Tucker)MemberwiseClone();
        behind.Entry = fit.Through(Entry, _input.Entry.Cols);
        behind._means = PairMeans.Behind(_means, fit, _input.Entry, _taps);
        return behind;
    }

    /// <summary>The largest input rank that can be cut.</summary>
    public int MaxInputRank => _input.MaxRank;

    /// <summary>Whether kernels are fitted to patches.</summary>
    public bool IsFitted => _fitted != null;

    /// <summary>How the output's energy is spread over the input's directions.</summary>
    public Spectrum InputSpectrum => _fitted?.Spectrum ?? new(_input.Energy, _input.Total);

    /// <summary>Entry of every rank, (k, C_in).</summary>
    public float[] Entry { get; private set; }

    /// <summary>The first Conv's weight (r_in, C_in) and the factors its outputs were multiplied by.</summary>
    /// <param name="balanced">As in <see cref="Decomposition.Scales"/>.</param>
    public (float[] Weight, double[] Scales) CutEntry(int inputRank, bool balanced) => BalancedRows.Cut(Entry, _input, inputRank, balanced);

    /// <summary>The k×k Conv's weight (rows, r_in·taps) between scaled neighbours.</summary>
    /// <param name="outScales">One factor per row; null when the output's basis is not used and there is a row per output channel.</param>
    public float[] CutKernel(double[] inScales, double[]? outScales)
    {
        if (_hasAnyNumbers)
        {
            return FittedKernel.Any(outScales?.Length ?? _dual.Rows, inScales.Length * _taps);
        }
        var kernel = Kernel(inScales.Length);
        if (outScales != null)
        {
            kernel = _algebra.Multiply(_dual.LeftCols(outScales.Length), kernel, transposeLeft: true);
        }
        double[] factors = [.. Enumerable.Range(0, kernel.Cols).Select(i => 1 / inScales[i / _taps])];
        var scaled = kernel.WithColumnsTimes(factors);
        for (int o = 0; o < scaled.Rows && outScales != null; o++)
        {
            TensorPrimitives.Multiply<double>(scaled.Row(o), outScales[o], scaled.Row(o));
        }
        return scaled.ToFloats();
    }

    /// <summary>What the output's mean loses beside so many of the input's directions, (C_out); null where that is not known.</summary>
    public double[]? LostMean(int inputRank, int use) => _means?.Lost(Kernel(inputRank), use);

    /// <summary>(C_out, r_in·taps).</summary>
    Matrix Kernel(int inputRank) => _fitted?.Weight(inputRank) ?? Matrix.LeftOf(_kernel.Span, MaxInputRank * _taps, inputRank * _taps);

    /// <summary>(out, k·taps) from (out·taps, k).</summary>
    static Matrix ByOutput(Matrix kernel, int rows)
    {
        int taps = kernel.Rows / rows;
        var result = new Matrix(rows, kernel.Cols * taps);
        for (int o = 0; o < rows; o++)
        {
            for (int t = 0; t < taps; t++)
            {
                var source = kernel.Row(o * taps + t);
                for (int i = 0; i < source.Length; i++)
                {
                    result[o, i * taps + t] = source[i];
                }
            }
        }
        return result;
    }
}
