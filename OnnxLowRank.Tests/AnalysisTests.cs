using OnnxLowRank.Factorization;
using OnnxLowRank.Numerics;

namespace OnnxLowRank.Tests;

public class AnalysisTests
{
    /// <summary>
    /// A table of 256 rows, the first half of which was seen four times each: they fill 8 directions, the last four of which carry 1 %.
    /// The others fill 4 directions of their own, and 8 are kept.
    /// </summary>
    [Fact]
    public void Rows_of_a_table_that_were_never_seen_matter_more_than_what_is_small_in_those_that_were()
    {
        const int Rows = 256, Directions = 16, Kept = 8;
        var algebra = LinearAlgebra.Create(1);
        var numbers = Gaussian.Random(Rows, Directions, seed: 4);
        var table = new Matrix(Rows, Directions);
        for (int i = 0; i < Rows; i++)
        {
            for (int k = 0; k < Directions; k++)
            {
                table[i, k] = numbers[i, k] * (i < Rows / 2 ? k < 4 ? 1 : k < 8 ? 0.1 : 0 : k is >= 8 and < 12 ? 1 : 0);
            }
        }
        var seen = new Matrix(Rows / 2, Directions, table.Data[..(Rows / 2 * Directions)]);
        var moment = algebra.Gram(seen, transpose: true);
        for (int i = 0; i < moment.Data.Length; i++)
        {
            moment.Data[i] /= seen.Rows;
        }

        var basis = OutputMethod.FromOutput(algebra, moment, [table], Decomposing.TableShrinkage(4 * seen.Rows, Rows), Kept);

        for (int direction = 0; direction < 12; direction++)
        {
            double kept = Enumerable.Range(0, Kept).Sum(k => Math.Pow(basis.Vectors[direction, k], 2));
            Assert.True(direction is < 4 or >= 8 ? kept > 0.95 : kept < 0.05, $"direction {direction} is kept to {kept:g3}");
        }
    }
}
