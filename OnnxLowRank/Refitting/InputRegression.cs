using System.Numerics.Tensors;
using OnnxLowRank.Numerics;

namespace OnnxLowRank.Refitting;

/// <summary>x ≈ M·x̃ + c, found on some samples and judged on others by what the layer makes of the difference.</summary>
/// <param name="Mix">M (channels, channels).</param>
/// <param name="Offsets">c per use (channels).</param>
sealed record InputGuess(Matrix Mix, double[][] Offsets);

/// <summary>
/// Least squares, pulled a little towards leaving the input as it is: M = (Cov(x, x̃) + λ·I)·(Cov(x̃) + λ·I)⁻¹, c = E[x] − M·E[x̃].
/// </summary>
/// <param name="fitting">Per use of the layer, what is fitted to: x̃ as h, x as y.</param>
/// <param name="judging">The same on samples that choose λ.</param>
/// <param name="root">R (rows, channels): an error e of the input counts ‖R·e‖².</param>
/// <param name="hasOffset">Whether the layer has room for c; otherwise moments are about zero.</param>
sealed class InputRegression(ILinearAlgebra algebra, CrossMoments[] fitting, CrossMoments[] judging, Matrix root, bool hasOffset)
{
    /// <summary>λ in units of the mean variance of x̃.</summary>
    static readonly double[] s_dampings = [1e-3, 1e-2, 1e-1, 1];

    /// <summary>A fit that lowers the error by less, as a share of what the layer gets, is noise.</summary>
    const double LeastGain = 1e-6;

    /// <summary>The guess that judges like best, or null where they like the input as it is.</summary>
    public InputGuess? Best()
    {
        var (hh, yh) = Pooled();
        var identity = Matrix.Identity(hh.Rows);
        var judged = judging.Select(use => (Use: use, Seen: algebra.Multiply(root, use.SecondYH(hasOffset)), HH: use.SecondH(hasOffset))).ToList();
        double asItIs = ErrorOf(new(identity, [.. fitting.Select(_ => new double[hh.Rows])]), judged);
        (InputGuess Guess, double Error) Try(Matrix mix)
        {
            var guess = new InputGuess(mix, [.. fitting.Select(use => hasOffset ? Offset(use, mix) : new double[mix.Rows])]);
            return (guess, ErrorOf(guess, judged));
        }

        // The error has one minimum over λ: from two neighbours on, downhill.
        var (weak, strong) = (Try(Solve(hh, yh, s_dampings[1])), Try(Solve(hh, yh, s_dampings[2])));
        var next = Try(Solve(hh, yh, weak.Error < strong.Error ? s_dampings[0] : s_dampings[3]));
        var best = new[] { weak, strong, next, Try(identity) }.MinBy(item => item.Error);
        return best.Error < asItIs * (1 + LeastGain) ? best.Guess : null; // negative: what does not depend on the guess is left out
    }

    double ErrorOf(InputGuess guess, List<(CrossMoments Use, Matrix Seen, Matrix HH)> judged)
    {
        var applied = algebra.Multiply(root, guess.Mix);
        double error = 0;
        for (int i = 0; i < judged.Count; i++)
        {
            var (use, seen, hh) = judged[i];
            double one = TensorPrimitives.Dot<double>(algebra.Multiply(applied, hh).Data, applied.Data) - 2 * TensorPrimitives.Dot<double>(seen.Data, applied.Data);
            if (hasOffset)
            {
                double[] off = Offset(use, guess.Mix);
                TensorPrimitives.Subtract<double>(off, guess.Offsets[i], off);
                one += TensorPrimitives.SumOfSquares<double>(algebra.Multiply(root, new Matrix(off.Length, 1, off)).Data);
            }
            error += use.Count * one;
        }
        return error;
    }

    /// <summary>Second moments over all uses.</summary>
    (Matrix HH, Matrix YH) Pooled()
    {
        double total = fitting.Sum(use => use.Count);
        Matrix Pool(Func<CrossMoments, Matrix> part) => Matrix.Sum(fitting.Select(use =>
        {
            var second = part(use);
            TensorPrimitives.Multiply<double>(second.Data, use.Count / total, second.Data);
            return second;
        }));
        return (Pool(use => use.SecondH(hasOffset)), Pool(use => use.SecondYH(hasOffset)));
    }

    Matrix Solve(Matrix hh, Matrix yh, double relativeDamping)
    {
        double damping = Math.Max(relativeDamping * hh.Trace() / hh.Rows, 1e-30);
        Matrix left = hh.Copy(), right = yh.Transposed();
        left.AddToDiagonal(damping);
        right.AddToDiagonal(damping);
        return algebra.Solve(left, right).Transposed();
    }

    /// <summary>E[x] − M·E[x̃].</summary>
    static double[] Offset(CrossMoments use, Matrix mix)
    {
        double[] offset = use.MeanY(), mean = use.MeanH();
        for (int i = 0; i < offset.Length; i++)
        {
            offset[i] -= TensorPrimitives.Dot<double>(mix.Row(i), mean);
        }
        return offset;
    }
}
