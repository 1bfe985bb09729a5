using OnnxLowRank.Runtime;

namespace OnnxLowRank.Tests.Runtime;

/// <summary>Turns of models that take known times on a clock of the test's own.</summary>
public class TurnsTests
{
    sealed class Clock : TimeProvider
    {
        public long Now { get; set; }

        public override long TimestampFrequency => TimeSpan.TicksPerSecond;

        public override long GetTimestamp() => Now;
    }

    /// <summary>What was run, and what it left to be disposed, which takes no counted time.</summary>
    sealed class Result(Action dispose) : IDisposable
    {
        public void Dispose() => dispose();
    }

    readonly Clock _clock = new();
    readonly List<char> _ran = [];

    Func<IDisposable> Model(char name, double milliseconds) => () =>
    {
        _ran.Add(name);
        _clock.Now += TimeSpan.FromMilliseconds(milliseconds).Ticks;
        return new Result(() => _clock.Now += TimeSpan.FromMilliseconds(0.5).Ticks);
    };

    static TurnPlan Plan(double settling, int runs, int fewest, int most, double budget) =>
        new(TimeSpan.FromMilliseconds(settling), runs, fewest, most, TimeSpan.FromMilliseconds(budget));

    List<double[][]> Take(TurnPlan plan, params Func<IDisposable>[] models) => Turns.Take(models, plan, _clock, CancellationToken.None);

    [Fact]
    public void Models_take_turns_and_are_charged_for_their_runs_alone()
    {
        var rounds = Take(Plan(0, 1, 3, 3, 0), Model('A', 2), Model('B', 5));

        Assert.Equal("ABABAB", string.Concat(_ran));
        Assert.Equal(3, rounds.Count);
        Assert.All(rounds, round => Assert.Equal([[2.0], [5.0]], round));
    }

    [Fact]
    public void A_turn_settles_first()
    {
        var rounds = Take(Plan(settling: 3, runs: 2, 1, 1, 0), Model('A', 2), Model('B', 9));

        // A run of A takes 2.5 ms with what is off the clock: two to settle; of B one. Then two that count.
        Assert.Equal("AAAABBB", string.Concat(_ran));
        Assert.Equal([[2.0, 2.0], [9.0, 9.0]], rounds[0]);
    }

    [Theory]
    [InlineData(2, 100, 10, 4)] // 2.5 ms each
    [InlineData(6, 100, 10, 6)]
    [InlineData(1, 3, 10, 3)]
    public void Rounds_are_run_as_long_as_there_is_time_but_not_too_few_or_many(int fewest, int most, double budget, int expected)
    {
        Assert.Equal(expected, Take(Plan(0, 1, fewest, most, budget), Model('A', 2)).Count);
    }

    [Fact]
    public void They_end_when_the_user_wants_to_stop()
    {
        using var source = new CancellationTokenSource();
        Func<IDisposable> run = () =>
        {
            source.Cancel();
            return new Result(() => { });
        };

        Assert.Throws<OperationCanceledException>(() => Turns.Take([run], Plan(0, 1, 5, 5, 0), _clock, source.Token));
    }
}
