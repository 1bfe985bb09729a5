using OnnxLowRank.Layers;

namespace OnnxLowRank.Factorization;

/// <summary>A Conv's kernel as columns and rows, computed once and cut at any rank: k_h×1 (C_in → r), then 1×k_w (r → C_out).</summary>
sealed class SpatialPair
{
    readonly SpatialBasis _basis;
    readonly int _outputs;
    readonly int _width;

    public SpatialPair(Layer layer, SpatialBasis basis)
    {
        (_basis, _outputs, _width) = (basis, layer.Out, (int)layer.Kernel[1]);
        int height = basis.Columns.Count, channels = basis.Columns[0].Rows;
        Columns = new float[MaxRank * channels * height];
        for (int u = 0; u < height; u++)
        {
            for (int i = 0; i < channels; i++)
            {
                var row = basis.Columns[u].Row(i);
                for (int k = 0; k < MaxRank; k++)
                {
                    Columns[(k * channels + i) * height + u] = (float)row[k];
                }
            }
        }
    }

    /// <summary>The largest rank that can be cut.</summary>
    public int MaxRank => _basis.Energy.Length;

    /// <summary>How the output's energy is spread over pairs of columns and rows.</summary>
    public Spectrum Spectrum => new(_basis.Energy, _basis.Total);

    /// <summary>The first Conv's weight at every rank, (k, C_in·k_h).</summary>
    public float[] Columns { get; }

    /// <summary>The first Conv's weight (r, C_in·k_h) and the factors its outputs were multiplied by.</summary>
    /// <param name="balanced">As in <see cref="Decomposition.Scales"/>.</param>
    public (float[] Weight, double[] Scales) CutColumns(int rank, bool balanced) => BalancedRows.Cut(Columns, _basis, rank, balanced);

    /// <summary>The second Conv's weight (C_out, r·k_w), which undoes the scales.</summary>
    public float[] CutRows(double[] scales)
    {
        var weight = new float[_outputs * scales.Length * _width];
        for (int v = 0; v < _width; v++)
        {
            for (int o = 0; o < _outputs; o++)
            {
                var row = _basis.Rows.Row(v * _outputs + o);
                for (int k = 0; k < scales.Length; k++)
                {
                    weight[(o * scales.Length + k) * _width + v] = (float)(row[k] / scales[k]);
                }
            }
        }
        return weight;
    }
}
