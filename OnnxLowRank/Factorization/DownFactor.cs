using System.Numerics.Tensors;
using System.Runtime.CompilerServices;
using OnnxLowRank.Layers;
using OnnxLowRank.Numerics;
using OnnxLowRank.Storage;

namespace OnnxLowRank.Factorization;

/// <summary>Down = Pᵀ·W of every group, (groups·k, in), made without the whole weight of a large layer in double precision.</summary>
/// <param name="dual">P (out, k), group after group.</param>
/// <param name="rank">k.</param>
sealed class DownFactor(ILinearAlgebra algebra, Layer layer, Kept dual, int rank)
{
    /// <param name="substitute">What the factors stand for where it is not W itself (out, in).</param>
    public float[] Make(Matrix? substitute) =>
        substitute == null && layer.Groups == 1 ? layer.In >= layer.Out ? ByColumns() : ByRows() : ByGroups(substitute ?? layer.ReadWeight());

    float[] ByGroups(Matrix whole)
    {
        var down = new float[layer.Groups * rank * layer.In];
        for (int g = 0; g < layer.Groups; g++)
        {
            Store(algebra.Multiply(Directions(g * layer.OutPerGroup, layer.OutPerGroup), layer.GroupOf(whole, g), transposeLeft: true), down.AsSpan(g * rank * layer.In));
        }
        return down;
    }

    float[] ByRows()
    {
        int first = 0;
        var sum = Matrix.Sum(layer.ReadRows().Select(rows =>
        {
            var directions = Directions(first, rows.Rows);
            first += rows.Rows;
            return algebra.Multiply(directions, rows, transposeLeft: true);
        }));
        var down = new float[rank * layer.In];
        Store(sum, down);
        return down;
    }

    /// <summary>For no fewer inputs than outputs, where Down is the large factor.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)] // unoptimized code keeps every local alive to its end
    float[] ByColumns()
    {
        var directions = Directions(0, layer.Out);
        var down = new float[rank * layer.In];
        int first = 0;
        foreach (var columns in layer.ReadTransposed())
        {
            Store(algebra.Multiply(directions, columns, transposeLeft: true, transposeRight: true), down.AsSpan(first));
            first += columns.Rows;
        }
        return down;
    }

    /// <summary>P of consecutive outputs, (count, k).</summary>
    Matrix Directions(int first, int count)
    {
        var directions = new Matrix(count, rank);
        TensorPrimitives.ConvertTruncating<float, double>(dual.Span.Slice(first * rank, count * rank), directions.Data);
        return directions;
    }

    /// <summary>Puts rows into rows of Down, as far as they go.</summary>
    void Store(Matrix part, Span<float> down)
    {
        for (int k = 0; k < part.Rows; k++)
        {
            TensorPrimitives.ConvertTruncating<double, float>(part.Row(k), down[(k * layer.In)..]);
        }
    }
}
