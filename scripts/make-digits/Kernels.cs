using System.Numerics.Tensors;
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using System.Runtime.Intrinsics;

namespace MakeDigits;

/// <summary>
/// The arithmetic of the network. Pictures are stored with the channels last. Every sum is taken in the order of its index
/// with fused multiply-adds, so the bits do not depend on the vector width, on tiling, or on the thread count.
/// </summary>
static class Kernels
{
    const int TileRows = 4, Lanes = 8, TileCols = 2 * Lanes;

    /// <summary>C (m,n) += A (m,k) · B (k,n), with B and C row after row.</summary>
    /// <param name="aRow">Distance between the rows of A; with <paramref name="aCol"/> it lets A be read transposed.</param>
    /// <param name="aCol">Distance between the columns of A.</param>
    public static void MultiplyAdd(
        int m, int n, int k, ReadOnlySpan<float> a, int aRow, int aCol, ReadOnlySpan<float> b, Span<float> c)
    {
        int fullCols = n - n % TileCols, fullRows = m - m % TileRows;
        for (int j = 0; j < fullCols; j += TileCols)
        {
            for (int i = 0; i < fullRows; i += TileRows)
            {
                FourRows(k, a[(i * aRow)..], aRow, aCol, b[j..], n, c[(i * n + j)..]);
            }
            for (int i = fullRows; i < m; i++)
            {
                OneRow(k, a[(i * aRow)..], aCol, b[j..], n, c[(i * n + j)..]);
            }
        }
        for (int i = 0; i < m && fullCols < n; i++)
        {
            for (int j = fullCols; j < n; j++)
            {
                float sum = c[i * n + j];
                for (int p = 0; p < k; p++)
                {
                    sum = MathF.FusedMultiplyAdd(a[i * aRow + p * aCol], b[p * n + j], sum);
                }
                c[i * n + j] = sum;
            }
        }
    }

    static void FourRows(int k, ReadOnlySpan<float> a, int aRow, int aCol, ReadOnlySpan<float> b, int n, Span<float> c)
    {
        // The only unchecked memory accesses of the program: this is nine tenths of its time.
        ArgumentOutOfRangeException.ThrowIfGreaterThan(3 * aRow + (k - 1) * aCol, a.Length - 1, nameof(a));
        ArgumentOutOfRangeException.ThrowIfGreaterThan((k - 1) * n + TileCols, b.Length, nameof(b));
        ArgumentOutOfRangeException.ThrowIfGreaterThan(3 * n + TileCols, c.Length, nameof(c));
        ref float a0 = ref MemoryMarshal.GetReference(a), b0 = ref MemoryMarshal.GetReference(b), c0 = ref MemoryMarshal.GetReference(c);
        nuint row = (nuint)n;

        var c00 = Vector256.LoadUnsafe(ref c0);
        var c01 = Vector256.LoadUnsafe(ref c0, Lanes);
        var c10 = Vector256.LoadUnsafe(ref c0, row);
        var c11 = Vector256.LoadUnsafe(ref c0, row + Lanes);
        var c20 = Vector256.LoadUnsafe(ref c0, 2 * row);
        var c21 = Vector256.LoadUnsafe(ref c0, 2 * row + Lanes);
        var c30 = Vector256.LoadUnsafe(ref c0, 3 * row);
        var c31 = Vector256.LoadUnsafe(ref c0, 3 * row + Lanes);
        nint atA = 0;
        nuint atB = 0;
        for (int p = 0; p < k; p++, atA += aCol, atB += row)
        {
            var left = Vector256.LoadUnsafe(ref b0, atB);
            var right = Vector256.LoadUnsafe(ref b0, atB + Lanes);
            var x = Vector256.Create(Unsafe.Add(ref a0, atA));
            c00 = Vector256.FusedMultiplyAdd(x, left, c00);
            c01 = Vector256.FusedMultiplyAdd(x, right, c01);
            x = Vector256.Create(Unsafe.Add(ref a0, atA + aRow));
            c10 = Vector256.FusedMultiplyAdd(x, left, c10);
            c11 = Vector256.FusedMultiplyAdd(x, right, c11);
            x = Vector256.Create(Unsafe.Add(ref a0, atA + 2 * aRow));
            c20 = Vector256.FusedMultiplyAdd(x, left, c20);
            c21 = Vector256.FusedMultiplyAdd(x, right, c21);
            x = Vector256.Create(Unsafe.Add(ref a0, atA + 3 * aRow));
            c30 = Vector256.FusedMultiplyAdd(x, left, c30);
            c31 = Vector256.FusedMultiplyAdd(x, right, c31);
        }
        c00.StoreUnsafe(ref c0);
        c01.StoreUnsafe(ref c0, Lanes);
        c10.StoreUnsafe(ref c0, row);
        c11.StoreUnsafe(ref c0, row + Lanes);
        c20.StoreUnsafe(ref c0, 2 * row);
        c21.StoreUnsafe(ref c0, 2 * row + Lanes);
        c30.StoreUnsafe(ref c0, 3 * row);
        c31.StoreUnsafe(ref c0, 3 * row + Lanes);
    }

    static void OneRow(int k, ReadOnlySpan<float> a, int aCol, ReadOnlySpan<float> b, int n, Span<float> c)
    {
        var c0 = Vector256.Create<float>(c);
        var c1 = Vector256.Create<float>(c[Lanes..]);
        for (int p = 0; p < k; p++)
        {
            var x = Vector256.Create(a[p * aCol]);
            c0 = Vector256.FusedMultiplyAdd(x, Vector256.Create(b[(p * n)..]), c0);
            c1 = Vector256.FusedMultiplyAdd(x, Vector256.Create(b[(p * n + Lanes)..]), c1);
        }
        c0.CopyTo(c);
        c1.CopyTo(c[Lanes..]);
    }

    /// <summary>One row per output pixel: the kernel·kernel·channels inputs it sees, zeros outside the picture.</summary>
    public static void Patches(ReadOnlySpan<float> picture, int side, int channels, int kernel, int pad, Span<float> patches)
    {
        int outSide = side + 2 * pad - kernel + 1, to = 0;
        for (int y = 0; y < outSide; y++)
        {
            for (int x = 0; x < outSide; x++)
            {
                int left = Math.Max(x - pad, 0), right = Math.Min(x - pad + kernel, side);
                for (int row = y - pad; row < y - pad + kernel; row++, to += kernel * channels)
                {
                    var line = patches.Slice(to, kernel * channels);
                    if (right - left < kernel || row < 0 || row >= side)
                    {
                        line.Clear();
                    }
                    if (row >= 0 && row < side)
                    {
                        picture.Slice((row * side + left) * channels, (right - left) * channels).CopyTo(line[((left - x + pad) * channels)..]);
                    }
                }
            }
        }
    }

    /// <summary>The reverse of <see cref="Patches"/> for no padding: adds each patch back to where it was read from.</summary>
    public static void AddPatches(ReadOnlySpan<float> patches, int side, int channels, int kernel, Span<float> picture)
    {
        int outSide = side - kernel + 1, from = 0;
        for (int y = 0; y < outSide; y++)
        {
            for (int x = 0; x < outSide; x++)
            {
                for (int row = y; row < y + kernel; row++, from += kernel * channels)
                {
                    Add(patches.Slice(from, kernel * channels), picture.Slice((row * side + x) * channels, kernel * channels));
                }
            }
        }
    }

    /// <summary>to += from, element by element.</summary>
    public static void Add(ReadOnlySpan<float> from, Span<float> to) => TensorPrimitives.Add(from, to[..from.Length], to);

    /// <summary>Writes the bias to every row.</summary>
    public static void FillRows(ReadOnlySpan<float> bias, Span<float> rows)
    {
        for (int at = 0; at < rows.Length; at += bias.Length)
        {
            bias.CopyTo(rows[at..]);
        }
    }

    /// <summary>sums += the sum of the rows.</summary>
    public static void AddRows(ReadOnlySpan<float> rows, Span<float> sums)
    {
        for (int at = 0; at < rows.Length; at += sums.Length)
        {
            Add(rows.Slice(at, sums.Length), sums);
        }
    }

    /// <summary>The largest of each 2·2 block, or 0 if none is positive: ReLU and max pooling in one.</summary>
    public static void ReluPool(ReadOnlySpan<float> picture, int side, int channels, Span<float> pooled)
    {
        for (int y = 0, to = 0; y < side / 2; y++)
        {
            for (int x = 0; x < side / 2; x++)
            {
                int at = (2 * y * side + 2 * x) * channels;
                for (int ch = 0; ch < channels; ch++, to++, at++)
                {
                    float top = Math.Max(picture[at], picture[at + channels]);
                    float bottom = Math.Max(picture[at + side * channels], picture[at + (side + 1) * channels]);
                    pooled[to] = Math.Max(0, Math.Max(top, bottom));
                }
            }
        }
    }

    /// <summary>Passes the gradient of <see cref="ReluPool"/> to the pixel that was the (first) largest; overwrites the picture with its gradient.</summary>
    public static void ReluPoolBack(ReadOnlySpan<float> pooled, ReadOnlySpan<float> gradient, int side, int channels, Span<float> picture)
    {
        for (int y = 0, from = 0; y < side / 2; y++)
        {
            for (int x = 0; x < side / 2; x++)
            {
                int at = (2 * y * side + 2 * x) * channels;
                for (int ch = 0; ch < channels; ch++, from++, at++)
                {
                    float largest = pooled[from], left = largest > 0 ? gradient[from] : 0;
                    foreach (int corner in (ReadOnlySpan<int>)[at, at + channels, at + side * channels, at + (side + 1) * channels])
                    {
                        bool takes = picture[corner] == largest;
                        picture[corner] = takes ? left : 0;
                        left = takes ? 0 : left;
                    }
                }
            }
        }
    }
}
