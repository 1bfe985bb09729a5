using System.Diagnostics;
using OnnxLowRank.Onnx;
using OnnxLowRank.Samples;
using OnnxLowRank.StatsFiles;
using OnnxLowRank.Storage;
using OnnxLowRank.Tests.Samples;

namespace OnnxLowRank.Tests.Storage;

public class RegularFileTests
{
    public static TheoryData<string, Action<string>> Readers => new()
    {
        { "model.onnx", path => OnnxModel.Load(path) },
        { "x.npy", path => Npy.Open(path) },
        { "input_0.pb", path => TensorFile.Read(path) },
        { "some.stats", path => StatsFile.Open(path) },
        { "weights.data", path => new ExternalFile(path).Dispose() },
    };

    /// <summary>Whoever opens a pipe waits until somebody writes to it.</summary>
    [Theory, MemberData(nameof(Readers), DisableDiscoveryEnumeration = true)]
    public async Task A_pipe_is_refused_and_not_waited_for(string name, Action<string> read)
    {
        if (OperatingSystem.IsWindows())
        {
            Assert.Skip("no named pipes in folders here");
        }
        using var folder = new TempFolder();
        string pipe = Path.Combine(folder.Path, name);
        using (var mkfifo = Process.Start("mkfifo", [pipe]))
        {
            await mkfifo.WaitForExitAsync(TestContext.Current.CancellationToken);
        }

        var reading = Task.Run(() => Record.Exception(() => read(pipe)), TestContext.Current.CancellationToken);
        var error = await reading.WaitAsync(TimeSpan.FromSeconds(20), TestContext.Current.CancellationToken);

        Assert.NotNull(error);
        Assert.Contains("empty, or no regular file", error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void A_file_that_holds_something_is_opened()
    {
        using var folder = new TempFolder();

        using var file = RegularFile.Open(folder.File("one", [7]));

        Assert.Equal(7, file.ReadByte());
    }
}
