using OnnxLowRank.Layers;
using OnnxLowRank.Numerics;
using OnnxLowRank.Storage;

namespace OnnxLowRank.Factorization;

/// <summary>A Conv's kernel as columns and rows, computed once and cut at any rank: k_h×1 (C_in → r), then 1×k_w (r → C_out).</summary>
sealed class SpatialPair
{
    readonly SpatialBasis _basis;
    readonly int _outputs, _width;
    readonly Kept _rows;
    readonly FittedKernel? _fitted;
    PairMeans? _means;

    /// <summary>Whether the rows' numbers do not matter; see <see cref="WithAnyNumbers"/>.</summary>
    bool _hasAnyNumbers;

    /// <param name="patches">What the rows are fitted to; null to take those of the basis.</param>
    /// <param name="spill">Where they wait.</param>
    public SpatialPair(ILinearAlgebra algebra, Layer layer, SpatialBasis basis, PatchMoment? patches, Spill spill)
    {
        (_basis, _outputs, _width) = (basis, layer.Out, (int)layer.Kernel[1]);
        var columns = ColumnsOf(basis);
        Columns = columns.ToFloats();
        if (patches != null)
        {
            _fitted = new(algebra, layer.ReadWeight(), columns, _width, patches, spill);
            _means = _fitted.Means;
        }
        else
        {
            _rows = spill.Keep(RowsOf(basis, layer.Out, _width));
        }
    }

    /// <summary>The same pairs, with rows that take as long to compute with, and no time to find.</summary>
    public SpatialPair WithAnyNumbers()
    {
        var copy = (SpatialPair)MemberwiseClone();
        copy._hasAnyNumbers = true;
        return copy;
    }

    /// <summary>The same pairs for inputs to which M is applied first.</summary>
    public SpatialPair Behind(InputFit fit)
    {
        var (behind, columns) = ((SpatialPair)MemberwiseClone(), ColumnsOf(_basis));
        behind.Columns = fit.Through(Columns, columns.Cols);
        behind._means = PairMeans.Behind(_means, fit, columns, _width);
        return behind;
    }

    /// <summary>The largest rank that can be cut.</summary>
    public int MaxRank => _basis.Energy.Length;

    /// <summary>Whether rows are fitted to patches.</summary>
    public bool IsFitted => _fitted != null;

    /// <summary>How the output's energy is spread over pairs of columns and rows.</summary>
    public Spectrum Spectrum => _fitted?.Spectrum ?? new(_basis.Energy, _basis.Total);

    /// <summary>The first Conv's weight at every rank, (k, C_in·k_h).</summary>
    public float[] Columns { get; private set; }

    /// <summary>The first Conv's weight (r, C_in·k_h) and the factors its outputs were multiplied by.</summary>
    /// <param name="balanced">As in <see cref="Decomposition.Scales"/>.</param>
    public (float[] Weight, double[] Scales) CutColumns(int rank, bool balanced) => BalancedRows.Cut(Columns, _basis, rank, balanced);

    /// <summary>The second Conv's weight (C_out, r·k_w), which undoes the scales.</summary>
    public float[] CutRows(double[] scales)
    {
        if (_hasAnyNumbers)
        {
            return FittedKernel.Any(_outputs, scales.Length * _width);
        }
        var rows = RowsAt(scales.Length);
        return rows.WithColumnsTimes([.. Enumerable.Range(0, rows.Cols).Select(i => 1 / scales[i / _width])]).ToFloats();
    }

    /// <summary>What the output's mean loses at a rank, (C_out); null where that is not known.</summary>
    public double[]? LostMean(int rank, int use) => _means?.Lost(RowsAt(rank), use);

    /// <summary>(C_out, r·k_w).</summary>
    Matrix RowsAt(int rank) => _fitted?.Weight(rank) ?? Matrix.LeftOf(_rows.Span, MaxRank * _width, rank * _width);

    /// <summary>(k, C_in·k_h).</summary>
    static Matrix ColumnsOf(SpatialBasis basis)
    {
        int height = basis.Columns.Count, channels = basis.Columns[0].Rows;
        var columns = new Matrix(basis.Energy.Length, channels * height);
        for (int u = 0; u < height; u++)
        {
            for (int i = 0; i < channels; i++)
            {
                var row = basis.Columns[u].Row(i);
                for (int k = 0; k < row.Length; k++)
                {
                    columns[k, i * height + u] = row[k];
                }
            }
        }
        return columns;
    }

    /// <summary>(C_out, k·k_w).</summary>
    static float[] RowsOf(SpatialBasis basis, int outputs, int width)
    {
        int rank = basis.Energy.Length;
        var rows = new float[outputs * rank * width];
        for (int v = 0; v < width; v++)
        {
            for (int o = 0; o < outputs; o++)
            {
                var row = basis.Rows.Row(v * outputs + o);
                for (int k = 0; k < rank; k++)
                {
                    rows[(o * rank + k) * width + v] = (float)row[k];
                }
            }
        }
        return rows;
    }
}
