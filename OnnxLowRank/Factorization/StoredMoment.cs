using OnnxLowRank.Numerics;
using OnnxLowRank.Quantization;
using OnnxLowRank.Storage;

namespace OnnxLowRank.Factorization;

/// <summary>A second moment put aside, and the error feedback that follows from it.</summary>
/// <param name="moment">(n, n), positive definite.</param>
/// <param name="spill">Where it waits; in memory when null.</param>
sealed class StoredMoment(Matrix moment, Spill? spill = null)
{
    readonly StoredSymmetric _stored = new(moment, spill);

    /// <summary>As large as the moment twice over, so it is only kept while memory is not short.</summary>
    readonly WeakReference<ErrorFeedback?> _feedback = new(null);

    /// <summary>The moment (n, n), its elements rounded to single precision.</summary>
    public Matrix Read() => _stored.Read();

    /// <summary>The same one as long as somebody holds it.</summary>
    public ErrorFeedback Feedback(ILinearAlgebra algebra)
    {
        if (!_feedback.TryGetTarget(out var feedback))
        {
            _feedback.SetTarget(feedback = new(algebra, Read()));
        }
        return feedback;
    }
}
