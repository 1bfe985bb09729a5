using System.Buffers;
using System.Numerics;

namespace OnnxLowRank.Numerics;

/// <summary>
/// op(A)·op(B) in blocks that fit the caches, after Goto and van de Geijn, "Anatomy of High-Performance Matrix Multiplication" (2008):
/// both operands are copied in strips, in the order in which a small kernel of registers reads them, and that copy is where
/// they are transposed. The sum for one element always runs in the same order, so the result does not depend on the threads.
/// </summary>
static unsafe class ManagedProduct
{
    // The kernel holds TileRows x 3 vectors of sums in registers: 12, and 3 for B, of the 16 there are with AVX2.
    const int TileRows = 4;
    static readonly int s_tileCols = 3 * Vector<double>.Count;

    /// <summary>Terms per block: a strip of B (Depth x tile columns) stays in the first-level cache.</summary>
    const int Depth = 256;

    /// <summary>Size of what one task computes: its rows of A (128 KiB) stay in the second-level cache.</summary>
    const int BlockRows = 64, BlockStrips = 20;

    /// <param name="lowerOnly">Leave out tiles that lie wholly above the diagonal.</param>
    public static Matrix Multiply(Matrix left, Matrix right, bool transposeLeft, bool transposeRight, ParallelOptions parallel, bool lowerOnly = false)
    {
        var (rows, inner) = transposeLeft ? (left.Cols, left.Rows) : (left.Rows, left.Cols);
        var product = new Matrix(rows, transposeRight ? right.Rows : right.Cols);
        int strips = Blocks(product.Cols, s_tileCols), blockRows = Blocks(rows, BlockRows), blockCols = Blocks(strips, BlockStrips);
        var packed = ArrayPool<double>.Shared.Rent(checked(strips * s_tileCols * Math.Min(Depth, inner)));

        for (int from = 0; from < inner; from += Depth)
        {
            var (start, depth) = (from, Math.Min(Depth, inner - from));
            For(strips, (long)product.Cols * depth, parallel, strip =>
                Pack(right, !transposeRight, strip * s_tileCols, s_tileCols, start, depth, packed.AsSpan(strip * s_tileCols * depth)));
            For(blockRows * blockCols, (long)rows * product.Cols * depth, parallel, block =>
            {
                var (row, strip) = (block / blockCols * BlockRows, block % blockCols * BlockStrips);
                if (!lowerOnly || strip * s_tileCols < row + BlockRows)
                {
                    MultiplyBlock(left, transposeLeft, packed, product, row, strip, Math.Min(strips, strip + BlockStrips), start, depth, lowerOnly);
                }
            });
        }
        ArrayPool<double>.Shared.Return(packed);
        return product;
    }

    /// <summary>Adds the terms start … start+depth to a block of the product.</summary>
    static void MultiplyBlock(
        Matrix left, bool transposeLeft, double[] packedRight, Matrix product, int firstRow, int firstStrip, int endStrip, int start, int depth, bool lowerOnly)
    {
        int endRow = Math.Min(product.Rows, firstRow + BlockRows);
        var packedLeft = ArrayPool<double>.Shared.Rent(BlockRows * depth);
        for (int row = firstRow; row < endRow; row += TileRows)
        {
            Pack(left, transposeLeft, row, TileRows, start, depth, packedLeft.AsSpan((row - firstRow) * depth));
        }
        double* tile = stackalloc double[TileRows * s_tileCols];
        fixed (double* a = packedLeft, b = packedRight)
        {
            for (int strip = firstStrip; strip < endStrip; strip++)
            {
                int col = strip * s_tileCols, cols = Math.Min(s_tileCols, product.Cols - col);
                for (int row = firstRow; row < endRow; row += TileRows)
                {
                    if (lowerOnly && col >= row + TileRows)
                    {
                        continue;
                    }
                    MultiplyTile(a + (row - firstRow) * depth, b + strip * s_tileCols * depth, depth, tile);
                    for (int i = 0; i < Math.Min(TileRows, endRow - row); i++)
                    {
                        var sums = new ReadOnlySpan<double>(tile + i * s_tileCols, cols);
                        var target = product.Row(row + i).Slice(col, cols);
                        System.Numerics.Tensors.TensorPrimitives.Add(target, sums, target);
                    }
                }
            }
        }
        ArrayPool<double>.Shared.Return(packedLeft);
    }

    /// <summary>tile (4, 3 vectors) = the sum over k of a[k] (4)·b[k]ᵀ (3 vectors).</summary>
    static void MultiplyTile(double* a, double* b, int depth, double* tile)
    {
        int width = Vector<double>.Count;
        Vector<double> c00 = default, c01 = default, c02 = default, c10 = default, c11 = default, c12 = default;
        Vector<double> c20 = default, c21 = default, c22 = default, c30 = default, c31 = default, c32 = default;
        for (int k = 0; k < depth; k++, a += TileRows, b += 3 * width)
        {
            var (b0, b1, b2) = (Vector.Load(b), Vector.Load(b + width), Vector.Load(b + 2 * width));
            var a0 = new Vector<double>(a[0]);
            c00 = Vector.FusedMultiplyAdd(a0, b0, c00);
            c01 = Vector.FusedMultiplyAdd(a0, b1, c01);
            c02 = Vector.FusedMultiplyAdd(a0, b2, c02);
            var a1 = new Vector<double>(a[1]);
            c10 = Vector.FusedMultiplyAdd(a1, b0, c10);
            c11 = Vector.FusedMultiplyAdd(a1, b1, c11);
            c12 = Vector.FusedMultiplyAdd(a1, b2, c12);
            var a2 = new Vector<double>(a[2]);
            c20 = Vector.FusedMultiplyAdd(a2, b0, c20);
            c21 = Vector.FusedMultiplyAdd(a2, b1, c21);
            c22 = Vector.FusedMultiplyAdd(a2, b2, c22);
            var a3 = new Vector<double>(a[3]);
            c30 = Vector.FusedMultiplyAdd(a3, b0, c30);
            c31 = Vector.FusedMultiplyAdd(a3, b1, c31);
            c32 = Vector.FusedMultiplyAdd(a3, b2, c32);
        }
        ReadOnlySpan<Vector<double>> sums = [c00, c01, c02, c10, c11, c12, c20, c21, c22, c30, c31, c32];
        for (int i = 0; i < sums.Length; i++)
        {
            sums[i].Store(tile + i * width);
        }
    }

    /// <summary>
    /// packed[k·size + i] = op(M)[first + i, start + k] for i &lt; size, k &lt; depth: one strip of A's rows, or with the roles of rows
    /// and columns swapped (transpose inverted) of B's columns. Rows past the end are zero.
    /// </summary>
    static void Pack(Matrix matrix, bool transpose, int first, int size, int start, int depth, Span<double> packed)
    {
        int used = Math.Min(size, (transpose ? matrix.Cols : matrix.Rows) - first);
        if (used < size)
        {
            packed[..(size * depth)].Clear();
        }
        if (transpose)
        {
            for (int k = 0; k < depth; k++)
            {
                matrix.Row(start + k).Slice(first, used).CopyTo(packed[(k * size)..]);
            }
            return;
        }
        for (int i = 0; i < used; i++)
        {
            var row = matrix.Row(first + i).Slice(start, depth);
            for (int k = 0; k < row.Length; k++)
            {
                packed[k * size + i] = row[k];
            }
        }
    }

    static void For(int count, long work, ParallelOptions parallel, Action<int> body)
    {
        const long worthThreads = 1 << 16; // about 10 µs
        if (work >= worthThreads && count > 1)
        {
            Parallel.For(0, count, parallel, body);
            return;
        }
        for (int i = 0; i < count; i++)
        {
            body(i);
        }
    }

    static int Blocks(int length, int size) => (length + size - 1) / size;
}
