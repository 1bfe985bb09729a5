using OnnxLowRank.Calibration;

namespace OnnxLowRank.Tests.Calibration;

public class SamplingTests
{
    static Sampling Of(int count, int? batch = null, int? fixedBatch = null, CancellationTokenSource? cancelledBy = null) =>
        new(new MemorySamples([Feed.Random("x", count, 4)], fixedBatch: fixedBatch), batch, cancelledBy?.Token ?? CancellationToken.None);

    [Fact]
    public void Every_sample_is_read_once_and_in_order()
    {
        var sampling = Of(10, batch: 4);
        int[] indices = [9, 2, 5, 7, 0, 1];
        var seen = new List<int>();
        var sizes = new List<int>();

        sampling.ForEach(indices, (run, part) =>
        {
            seen.AddRange(part.ToArray());
            sizes.Add(run.Valid);
        });

        Assert.Equal(indices, seen);
        Assert.Equal([4, 2], sizes);
        Assert.Equal(0.6, sampling.Passes, 12);
    }

    [Fact]
    public void A_part_of_the_model_counts_as_a_part_of_a_pass()
    {
        var sampling = Of(10);
        int[] indices = [.. Enumerable.Range(0, 10)];

        sampling.ForEach(indices, (_, _) => { });
        sampling.Share = 0.25;
        sampling.ForEach(indices, (_, _) => { });

        Assert.Equal(1.25, sampling.Passes, 12);
    }

    [Fact]
    public void Runs_are_as_large_as_memory_allows_unless_the_user_chose()
    {
        var free = Of(10);
        var chosen = Of(10, batch: 3);
        int before = free.RunSize;

        free.FitTo(100L << 20);
        chosen.FitTo(100L << 20);

        Assert.Equal((64, 5, 3), (before, free.RunSize, chosen.RunSize));
    }

    [Fact]
    public void A_sample_that_is_larger_than_the_limit_still_runs()
    {
        var sampling = Of(10);

        sampling.FitTo(1L << 40);

        Assert.Equal(1, sampling.RunSize);
    }

    [Fact]
    public void A_last_run_that_would_be_padded_can_be_left_out()
    {
        int[] indices = [.. Enumerable.Range(0, 10)];

        Assert.Equal(8, Of(10, fixedBatch: 4).WholeRuns(indices).Length);
        Assert.Equal(3, Of(10, fixedBatch: 4).WholeRuns(indices.AsMemory(0, 3)).Length);
        Assert.Equal(10, Of(10, batch: 4).WholeRuns(indices).Length);
    }

    [Fact]
    public void A_cancelled_run_stops()
    {
        using var source = new CancellationTokenSource();
        var sampling = Of(10, batch: 1, cancelledBy: source);
        int runs = 0;

        Assert.Throws<OperationCanceledException>(() => sampling.ForEach(Enumerable.Range(0, 10).ToArray(), (_, _) =>
        {
            if (++runs == 3)
            {
                source.Cancel();
            }
        }));

        Assert.Equal(3, runs);
    }
}
