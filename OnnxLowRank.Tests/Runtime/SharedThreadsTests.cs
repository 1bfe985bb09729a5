using Microsoft.ML.OnnxRuntime;
using OnnxLowRank.Runtime;

namespace OnnxLowRank.Tests.Runtime;

public class SharedThreadsTests
{
    [Fact]
    public void Sessions_share_threads_where_they_want_as_many_as_there_are() => InNewProcess.Run(Sharing);

    [Fact(Explicit = true)]
    public void Sharing()
    {
        const int Count = 3;
        Assert.False(SharedThreads.Has(Count));
        var device = Device.Open("cpu", Count);
        Assert.True(SharedThreads.Has(Count));
        Device.Open("cpu", Count + 1);
        Assert.False(SharedThreads.Has(Count + 1));

        int before = Threads();
        var sessions = Open(device, Count);
        Assert.InRange(Threads() - before, int.MinValue, Sessions - 1); // the runtime may start or end some of its own
        sessions.ForEach(session => session.Dispose());

        before = Threads();
        sessions = Open(device, Count + 1);
        Assert.InRange(Threads() - before, Sessions * Count / 2, int.MaxValue);
        sessions.ForEach(session => session.Dispose());
    }

    [Fact]
    public void An_application_that_has_made_the_environment_keeps_it() => InNewProcess.Run(Keeping);

    [Fact(Explicit = true)]
    public void Keeping()
    {
        var made = OrtEnv.Instance();

        var device = Device.Open("cpu", 2);

        Assert.Same(made, OrtEnv.Instance());
        Assert.False(SharedThreads.Has(2));
        Open(device, 2).ForEach(session => session.Dispose());
    }

    const int Sessions = 10;

    static List<ModelSession> Open(Device device, int threads) => [.. Enumerable.Range(0, Sessions).Select(_ => ModelSession.Open(TrialModel.Bytes(), device, threads))];

    static int Threads() => System.Diagnostics.Process.GetCurrentProcess().Threads.Count;
}
