using System.Numerics.Tensors;
using OnnxLowRank.Layers;
using OnnxLowRank.Numerics;

namespace OnnxLowRank.Factorization;

/// <summary>
/// A Conv's kernel between both of its bases, computed once and cut at any pair of ranks: 1×1 (C_in → r_in), k×k (r_in → r_out),
/// 1×1 (r_out → C_out), where a full r_out leaves the last one out.
/// </summary>
/// <remarks>Source: Tucker-2 decomposition of kernels (Kim et al. 2016); both bases are data-aware here.</remarks>
sealed class Tucker
{
    readonly InputBasis _input;
    readonly int _taps;
    readonly float[] _entry;
    readonly float[] _kernel;
    readonly float[] _core;

    /// <param name="dual">P (out, k), what the output is projected by.</param>
    public Tucker(ILinearAlgebra algebra, Layer layer, InputBasis input, Matrix dual)
    {
        _input = input;
        _taps = layer.KernelSize;
        _entry = Floats(input.Entry);
        var kernel = ByOutput(input.Kernel, layer.Out);
        _kernel = Floats(kernel);
        _core = Floats(algebra.Multiply(dual, kernel, transposeLeft: true));
    }

    /// <summary>The largest input rank that can be cut.</summary>
    public int MaxInputRank => _input.MaxRank;

    /// <summary>Output energy lost through the input's basis, in the unit of the output's energy: see <see cref="Spectrum.Energy"/>.</summary>
    public double InputTail(int rank) => _input.Tail(rank);

    /// <summary>How the output's energy is spread over the input's directions.</summary>
    public Spectrum InputSpectrum => new(_input.Energy, _input.Total);

    /// <summary>Entry of every rank, (k, C_in).</summary>
    public float[] Entry => _entry;

    /// <summary>The first Conv's weight (r_in, C_in) and the factors its outputs were multiplied by.</summary>
    /// <param name="balanced">As in <see cref="Decomposition.Scales"/>.</param>
    public (float[] Weight, double[] Scales) CutEntry(int inputRank, bool balanced) => BalancedRows.Cut(_entry, _input, inputRank, balanced);

    /// <summary>The k×k Conv's weight (rows, r_in·taps) between scaled neighbours.</summary>
    /// <param name="outScales">One factor per row; null when the output's basis is not used and there is a row per output channel.</param>
    public float[] CutKernel(double[] inScales, double[]? outScales)
    {
        float[] source = outScales == null ? _kernel : _core;
        int stored = MaxInputRank * _taps, cols = inScales.Length * _taps, rows = outScales?.Length ?? source.Length / stored;
        var weight = new float[rows * cols];
        var factors = new float[cols];
        for (int i = 0; i < cols; i++)
        {
            factors[i] = (float)(1 / inScales[i / _taps]);
        }
        for (int o = 0; o < rows; o++)
        {
            var row = weight.AsSpan(o * cols, cols);
            TensorPrimitives.Multiply(source.AsSpan(o * stored, cols), factors, row);
            TensorPrimitives.Multiply(row, (float)(outScales?[o] ?? 1), row);
        }
        return weight;
    }

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

    static float[] Floats(Matrix matrix)
    {
        var floats = new float[matrix.Data.Length];
        TensorPrimitives.ConvertTruncating<double, float>(matrix.Data, floats);
        return floats;
    }
}
