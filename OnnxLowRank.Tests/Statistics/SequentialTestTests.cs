using OnnxLowRank.Statistics;

namespace OnnxLowRank.Tests.Statistics;

public class SequentialTestTests
{
    /// <summary>The test on a sequence of samples that differ or agree; also how many samples each look saw.</summary>
    static (SequentialTest.Answer Answer, List<int> Looks) Run(bool[] differs, double limit, int run)
    {
        var looks = new List<int>();
        int seen = 0;
        var answer = SequentialTest.IsWithin(limit, differs.Length, run, (from, to, alpha) =>
        {
            Assert.Equal(seen, from); // every sample once
            looks.Add(seen = to);
            return Agreement.Loss(to, differs[..to].Count(item => item), alpha);
        });
        return (answer, looks);
    }

    static bool[] Sequence(int count, double rate, int seed)
    {
        var random = new Random(seed);
        return [.. Enumerable.Range(0, count).Select(_ => random.NextDouble() < rate)];
    }

    /// <summary>Rates well away from the limit on both sides, at it, and nearly so.</summary>
    [Theory]
    [InlineData(0)]
    [InlineData(0.01)]
    [InlineData(0.08)]
    [InlineData(0.12)]
    [InlineData(0.3)]
    [InlineData(1)]
    public void Stopping_early_does_not_change_the_answer(double rate)
    {
        for (int seed = 0; seed < 40; seed++)
        {
            bool[] differs = Sequence(2000, rate, seed);

            var (answer, _) = Run(differs, limit: 0.1, run: 50);

            Assert.Equal(differs.Count(item => item) <= 0.1 * differs.Length, answer.IsWithin);
        }
    }

    [Theory]
    [InlineData(0.5, false)]
    [InlineData(0, true)]
    public void A_clear_answer_needs_an_eighth_of_the_samples(double rate, bool isWithin)
    {
        var (answer, looks) = Run(Sequence(2000, rate, seed: 1), limit: 0.1, run: 50);

        Assert.Equal((isWithin, 250), (answer.IsWithin, answer.Samples));
        Assert.Equal([250], looks);
    }

    /// <summary>The first half is without a difference, but says nothing yet: the limit is far below what so few samples can show.</summary>
    [Fact]
    public void An_unclear_answer_needs_all_samples()
    {
        bool[] differs = [.. Enumerable.Range(0, 400).Select(i => i >= 396)];

        var (answer, looks) = Run(differs, limit: 0.005, run: 50);

        Assert.Equal((false, 400, 0.01), (answer.IsWithin, answer.Samples, answer.Loss));
        Assert.Equal([50, 100, 200, 400], looks);
    }

    [Fact]
    public void A_loss_at_the_limit_is_within()
    {
        bool[] differs = [.. Enumerable.Range(0, 100).Select(i => i == 99)];

        Assert.True(Run(differs, limit: 0.01, run: 100).Answer.IsWithin);
        Assert.False(Run(differs, limit: 0.0099, run: 100).Answer.IsWithin);
    }

    [Fact]
    public void Looks_are_at_whole_runs()
    {
        var (_, looks) = Run(Sequence(100, 0.1, seed: 2), limit: 0.1, run: 64);

        Assert.Equal([64, 100], looks);
    }
}
