using OnnxLowRank.Numerics;
using OnnxLowRank.Refitting;

namespace OnnxLowRank.Tests.Refitting;

public class InputRegressionTests
{
    const int Channels = 5;

    static readonly ILinearAlgebra s_algebra = LinearAlgebra.Create(1);

    /// <summary>x̃ = A·x + a plus noise, x random about a mean.</summary>
    static (double[][] X, double[][] Seen) Vectors(int count, double noise, int seed)
    {
        var random = new Random(seed);
        double Normal() => Math.Sqrt(-2 * Math.Log(1 - random.NextDouble())) * Math.Cos(2 * Math.PI * random.NextDouble());
        var x = new double[count][];
        var seen = new double[count][];
        for (int i = 0; i < count; i++)
        {
            x[i] = [.. Enumerable.Range(0, Channels).Select(k => 2 + (k + 1) * Normal())];
            seen[i] = [.. Enumerable.Range(0, Channels).Select(k => 0.9 * x[i][k] + 0.2 * x[i][(k + 1) % Channels] + 0.5 + noise * Normal())];
        }
        return (x, seen);
    }

    /// <summary>In runs of a few vectors, as they come from a session.</summary>
    static CrossMoments MomentsOf((double[][] X, double[][] Seen) vectors, int run = 20)
    {
        var moments = new CrossMoments(Channels);
        foreach (var (x, seen) in vectors.X.Chunk(run).Zip(vectors.Seen.Chunk(run)))
        {
            float[] MeanOf(double[][] all) => [.. Enumerable.Range(0, Channels).Select(k => (float)all.Average(vector => vector[k]))];
            float[] h = MeanOf(seen), y = MeanOf(x);
            float[] Products(double[][] left, float[] about) =>
                [.. from i in Enumerable.Range(0, Channels) from j in Enumerable.Range(0, Channels) select (float)left.Zip(seen, (a, b) => (a[i] - about[i]) * (b[j] - h[j])).Sum()];
            moments.Add(x.Length, h, y, Products(seen, h), Products(x, y));
        }
        return moments;
    }

    static double Error((double[][] X, double[][] Seen) vectors, Matrix mix, double[] offset) => vectors.X.Zip(vectors.Seen, (x, seen) =>
        Enumerable.Range(0, Channels).Sum(i => Math.Pow(x[i] - offset[i] - Enumerable.Range(0, Channels).Sum(k => mix[i, k] * seen[k]), 2))).Average();

    static InputGuess? Guess((double[][] X, double[][] Seen) fitting, (double[][] X, double[][] Seen) judging, bool hasOffset = true, Matrix? root = null) =>
        new InputRegression(s_algebra, [MomentsOf(fitting)], [MomentsOf(judging)], root ?? Matrix.Identity(Channels), hasOffset).Best();

    [Fact]
    public void What_was_done_to_the_input_alike_everywhere_is_undone()
    {
        var (fitting, judging, others) = (Vectors(400, 0, 1), Vectors(100, 0, 2), Vectors(200, 0, 3));

        var guess = Guess(fitting, judging)!;

        double before = Error(others, Matrix.Identity(Channels), new double[Channels]), after = Error(others, guess.Mix, guess.Offsets[0]);
        Assert.True(after < 1e-4 * before, $"{before:g4} became {after:g4}"); // λ pulls a little
    }

    [Fact]
    public void Noise_is_shrunk_as_the_normal_equations_say()
    {
        var (fitting, judging) = (Vectors(4000, 2, 1), Vectors(1000, 2, 2));

        var guess = Guess(fitting, judging)!;

        // M·(Cov(x̃) + λI) = Cov(x, x̃) + λI for one of the λ, from the vectors themselves.
        var moments = MomentsOf(fitting, run: fitting.X.Length);
        Matrix hh = moments.SecondH(centred: true), yh = moments.SecondYH(centred: true);
        double Rest(double damping)
        {
            var (left, right) = (hh.Copy(), yh.Copy());
            left.AddToDiagonal(damping * hh.Trace() / Channels);
            right.AddToDiagonal(damping * hh.Trace() / Channels);
            var product = s_algebra.Multiply(guess.Mix, left);
            return product.Data.Zip(right.Data, (a, b) => Math.Abs(a - b)).Max();
        }
        double[] rests = [.. new[] { 1e-3, 1e-2, 1e-1, 1 }.Select(Rest)];
        Assert.InRange(rests.Min(), 0, 1e-5);
        Assert.True(Error(judging, guess.Mix, guess.Offsets[0]) < 0.9 * Error(judging, Matrix.Identity(Channels), new double[Channels]));
        for (int i = 0; i < Channels; i++)
        {
            double mean = Enumerable.Range(0, Channels).Sum(k => guess.Mix[i, k] * moments.MeanH()[k]);
            Assert.Equal(moments.MeanY()[i] - mean, guess.Offsets[0][i], 1e-5);
        }
    }

    [Fact]
    public void Without_room_for_an_offset_moments_are_about_zero()
    {
        var (fitting, judging) = (Vectors(400, 0.5, 1), Vectors(100, 0.5, 2));

        var guess = Guess(fitting, judging, hasOffset: false)!;

        Assert.All(guess.Offsets[0], offset => Assert.Equal(0, offset));
        var centred = Guess(fitting, judging)!;
        Assert.True(Error(judging, guess.Mix, new double[Channels]) < Error(judging, centred.Mix, new double[Channels]));
    }

    [Fact]
    public void What_helps_only_where_it_was_found_is_not_taken()
    {
        var (few, judging) = (Vectors(6, 3, 1), Vectors(500, 0, 2));
        for (int i = 0; i < judging.X.Length; i++)
        {
            judging.Seen[i] = judging.X[i]; // nothing to undo there
        }

        Assert.Null(Guess(few, judging));
    }

    [Fact]
    public void Judges_count_what_reaches_the_output()
    {
        var (fitting, judging) = (Vectors(400, 0, 1), Vectors(100, 0, 2));
        for (int i = 0; i < judging.X.Length; i++)
        {
            judging.Seen[i] = [.. judging.X[i]];
            judging.Seen[i][0] = Vectors(400, 0, 1).Seen[i][0]; // only this channel is another one, and unlike what it was
        }
        var blind = new Matrix(1, Channels);
        blind[0, 1] = 1; // a layer that reads another channel

        Assert.Null(Guess(fitting, judging, root: blind));
    }

    [Fact]
    public void Inputs_that_are_as_they_were_stay()
    {
        var same = Vectors(300, 0, 1);
        same = (same.X, same.X);

        Assert.Null(Guess(same, same));
    }
}
