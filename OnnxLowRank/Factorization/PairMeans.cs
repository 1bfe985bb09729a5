using System.Numerics.Tensors;
using OnnxLowRank.Numerics;

namespace OnnxLowRank.Factorization;

/// <summary>What is known of the means on the way through two convolutions, the first of which, D, reads every slot of a patch alike (see <see cref="PatchMoment.Between"/>).</summary>
/// <param name="Inputs">Per use, the mean of what the second one reads, (k·slots), in the order of D's rows.</param>
/// <param name="Outputs">Per use, the mean of what both together should make, (C_out).</param>
sealed record PairMeans(double[][] Inputs, double[][] Outputs)
{
    /// <param name="means">Of patches, per use, (in).</param>
    /// <param name="weight">W (C_out, in).</param>
    /// <param name="down">D (k, in/slots).</param>
    public static PairMeans Of(ILinearAlgebra algebra, IEnumerable<double[]> means, Matrix weight, Matrix down, int slots) => new(
        [.. means.Select(mean => PatchMoment.Project(algebra, new(1, mean.Length, mean), down, slots).Data)], [.. means.Select(mean => algebra.Multiply(weight, new Matrix(mean.Length, 1, mean)).Data)]);

    /// <summary>The same for M·x̃ = x − c; without <paramref name="means"/>, what c takes alone.</summary>
    /// <param name="down">D as it is applied to x.</param>
    public static PairMeans Behind(PairMeans? means, InputFit fit, Matrix down, int slots)
    {
        static double[] Less(double[]? known, double[] constant) => Decomposition.Less(known ?? new double[constant.Length], constant);
        return new([.. fit.ReadBy(down, slots).Select((input, use) => Less(means?.Inputs[use], input))], [.. fit.Gains.Select((gain, use) => Less(means?.Outputs[use], gain))]);
    }

    /// <summary>What the mean of the output loses, (C_out).</summary>
    /// <param name="kernel">The second convolution's weight beside the first rows of D, (C_out, r·slots).</param>
    public double[] Lost(Matrix kernel, int use)
    {
        double[] lost = [.. Outputs[use]];
        for (int o = 0; o < lost.Length; o++)
        {
            lost[o] -= TensorPrimitives.Dot<double>(kernel.Row(o), Inputs[use].AsSpan(0, kernel.Cols));
        }
        return lost;
    }
}
