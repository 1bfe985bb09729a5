using System.Numerics.Tensors;
using OnnxLowRank.Numerics;

namespace OnnxLowRank.Quantization;

/// <summary>
/// How much of the error made in one input of a layer the inputs after it can make good, or, H being which errors of its outputs matter, in one output those
/// after it: E is Eᵀ then. With H = (I + U)·D·(I + U)ᵀ, U strictly
/// upper triangular, and E = W − Q, tr(E·H·Eᵀ) = Σ_k D_k·‖e_k + Σ_{j&lt;k} e_j·U_jk‖²: when column k is rounded, what remains of its
/// term is its own rounding error if Σ_{j&lt;k} e_j·U_jk is added to it first.
/// </summary>
sealed class ErrorFeedback
{
    /// <summary>
    /// The least part of an input's moment that is taken to be its own. Rounding makes moments of inputs that are nearly functions of
    /// each other indefinite; that a little more is said to be an input's own costs nothing that matters.
    /// </summary>
    const double LeastOwn = 1e-6;

    /// <summary>Columns that are eliminated one by one before what is left gets all their parts at once, by one matrix product.</summary>
    const int Panel = 64;

    /// <summary>Uᵀ: row k holds what column k gets from those before it.</summary>
    readonly Matrix _columns;

    /// <param name="moment">H (n, n), the second moment of the inputs or of gradients of the outputs, positive definite up to rounding.</param>
    /// <exception cref="ArithmeticException">A diagonal element is not positive, or something is not a number.</exception>
    public ErrorFeedback(ILinearAlgebra algebra, Matrix moment)
    {
        _columns = moment.Copy();
        for (int end = moment.Rows; end > 0; end -= Panel)
        {
            int first = Math.Max(0, end - Panel);
            double[] pivots = EliminatePanel(moment, first, end);
            EliminateBefore(algebra, pivots, first);
        }
    }

    /// <summary>Takes the columns' parts off each other.</summary>
    double[] EliminatePanel(Matrix moment, int first, int end)
    {
        var pivots = new double[end - first];
        for (int k = end - 1; k >= first; k--)
        {
            double pivot = pivots[k - first] = Math.Max(_columns[k, k], LeastOwn * moment[k, k]);
            if (!(pivot > 0))
            {
                throw new ArithmeticException($"the moment is not positive definite at input {k}");
            }
            var shared = _columns.Row(k)[..k];
            for (int i = first; i < k; i++)
            {
                var rest = _columns.Row(i)[..(i + 1)];
                TensorPrimitives.MultiplyAdd<double>(shared[..(i + 1)], -shared[i] / pivot, rest, rest);
            }
            TensorPrimitives.Divide<double>(shared, pivot, shared);
        }
        return pivots;
    }

    /// <summary>Takes the parts of a panel's columns, the first of which is <paramref name="first"/>, off all columns before it.</summary>
    void EliminateBefore(ILinearAlgebra algebra, double[] pivots, int first)
    {
        if (first == 0)
        {
            return;
        }
        Matrix unit = new(pivots.Length, first), scaled = new(pivots.Length, first);
        for (int k = 0; k < pivots.Length; k++)
        {
            _columns.Row(first + k)[..first].CopyTo(unit.Row(k));
            TensorPrimitives.Multiply<double>(unit.Row(k), pivots[k], scaled.Row(k));
        }
        var shared = algebra.Multiply(scaled, unit, transposeLeft: true);
        for (int i = 0; i < first; i++)
        {
            var rest = _columns.Row(i)[..(i + 1)];
            TensorPrimitives.Subtract<double>(rest, shared.Row(i)[..(i + 1)], rest);
        }
    }

    /// <summary>n.</summary>
    public int Size => _columns.Rows;

    /// <summary>What a column gets from the errors of the columns from <paramref name="first"/> on.</summary>
    public double Carried(int column, int first, ReadOnlySpan<double> errors) =>
        errors.IsEmpty ? 0 : TensorPrimitives.Dot(_columns.Row(column).Slice(first, errors.Length), errors);

    /// <summary>Adds what the columns behind a stripe get from its errors.</summary>
    /// <param name="errors">(rows, stripe), of the columns from <paramref name="first"/> on.</param>
    /// <param name="targets">(rows, n), changed behind the stripe.</param>
    public void HandOn(ILinearAlgebra algebra, Matrix errors, int first, Matrix targets)
    {
        int next = first + errors.Cols, left = targets.Cols - next;
        if (left == 0)
        {
            return;
        }
        var coefficients = new Matrix(left, errors.Cols);
        for (int k = 0; k < left; k++)
        {
            _columns.Row(next + k).Slice(first, errors.Cols).CopyTo(coefficients.Row(k));
        }
        var carried = algebra.Multiply(errors, coefficients, transposeRight: true);
        for (int i = 0; i < targets.Rows; i++)
        {
            var rest = targets.Row(i)[next..];
            TensorPrimitives.Add<double>(rest, carried.Row(i), rest);
        }
    }

    /// <summary>What outputs get from the errors of those before the first of them, (count, cols).</summary>
    /// <param name="errors">(n, cols), of which rows before <paramref name="first"/> are known.</param>
    public Matrix Received(ILinearAlgebra algebra, Matrix errors, int first, int count)
    {
        if (first == 0)
        {
            return new(count, errors.Cols);
        }
        var coefficients = new Matrix(count, first);
        for (int i = 0; i < count; i++)
        {
            _columns.Row(first + i)[..first].CopyTo(coefficients.Row(i));
        }
        return algebra.Multiply(coefficients, errors.TopRows(first));
    }

    /// <summary>Adds what an output gets from the errors of those from <paramref name="first"/> on that come before it.</summary>
    public void Receive(int output, int first, Matrix errors, Span<double> received)
    {
        for (int k = first; k < output; k++)
        {
            TensorPrimitives.MultiplyAdd<double>(errors.Row(k), _columns[output, k], received, received);
        }
    }
}
