using OnnxLowRank.Numerics;
using OnnxLowRank.Quantization;
using static OnnxLowRank.Tests.Numerics.DenseMath;

namespace OnnxLowRank.Tests.Quantization;

public class ErrorFeedbackTests
{
    /// <summary>H = (I + U)·D·(I + U)ᵀ, put together again from what every column gets from those before it; sizes around whole panels.</summary>
    [Theory]
    [InlineData(1)]
    [InlineData(5)]
    [InlineData(64)]
    [InlineData(65)]
    [InlineData(150)]
    public void What_columns_get_from_each_other_makes_up_the_moment(int size)
    {
        var algebra = LinearAlgebra.Create(1);
        var moment = algebra.Gram(Gaussian.Random(size, 2 * size, seed: 1));

        var feedback = new ErrorFeedback(algebra, moment);

        var unit = Matrix.Identity(size);
        for (int k = 0; k < size; k++)
        {
            for (int j = 0; j < k; j++)
            {
                unit[j, k] = feedback.Carried(k, j, [1]);
            }
        }
        var own = new double[size];
        for (int i = size - 1; i >= 0; i--)
        {
            own[i] = moment[i, i] - Enumerable.Range(i + 1, size - i - 1).Sum(k => own[k] * unit[i, k] * unit[i, k]);
            Assert.True(own[i] > 0);
        }
        AssertClose(moment, Times(ScaledCols(unit, own), unit.Transposed()), 1e-9, Norm(moment));
    }

    [Fact]
    public void A_moment_without_an_input_is_refused()
    {
        var moment = Matrix.Identity(100);
        moment[70, 70] = 0;

        var error = Assert.Throws<ArithmeticException>(() => new ErrorFeedback(LinearAlgebra.Create(1), moment));

        Assert.Contains("at input 70", error.Message, StringComparison.Ordinal);
    }
}
