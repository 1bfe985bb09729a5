using OnnxLowRank.Factorization;

namespace OnnxLowRank.Tests.Factorization;

static class DecompositionExtensions
{
    /// <summary>Both factors at a rank.</summary>
    public static LowRank Cut(this Decomposition decomposition, int rank, bool balanced)
    {
        double[] scales = decomposition.Scales(rank, balanced);
        return new(rank, decomposition.CutUp(rank, scales), decomposition.CutDown(rank, scales), scales);
    }
}
