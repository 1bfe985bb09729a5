using System.Runtime.InteropServices;
using OnnxLowRank.Storage;
using OnnxLowRank.Tests.Samples;

namespace OnnxLowRank.Tests.Storage;

public class SpillTests
{
    static readonly float[] s_large = [.. Enumerable.Range(0, 1 << 19).Select(i => i * 0.5f)];

    [Fact]
    public void Large_arrays_come_back_from_disk_and_leave_no_file()
    {
        using var folder = new TempFolder();
        var spill = Spill.Beside(Path.Combine(folder.Path, "out.onnx"));
        var kept = spill.Keep(s_large);

        Assert.False(kept.Span == s_large.AsSpan()); // not the same place
        Assert.True(kept.Span.SequenceEqual(s_large));
        Assert.Equal(s_large.Length, kept.Length);
        Assert.Empty(Directory.EnumerateFileSystemEntries(folder.Path));
    }

    [Fact]
    public void Bytes_come_back_too()
    {
        using var folder = new TempFolder();
        byte[] bytes = [.. Enumerable.Range(0, 2 << 20).Select(i => (byte)(i * 7))];

        var spill = Spill.Beside(Path.Combine(folder.Path, "out.onnx"));
        var kept = spill.Keep(bytes);

        Assert.True(spill.Keep(kept).Equals(kept)); // not once more
        Assert.False(kept.Equals((ReadOnlyMemory<byte>)bytes));
        Assert.True(kept.Span.SequenceEqual(bytes));
        using var pin = kept.Pin();
        unsafe
        {
            Assert.Equal(bytes[5], ((byte*)pin.Pointer)[5]);
        }
    }

    [Fact]
    public void Room_on_disk_holds_what_is_written_and_leaves_no_file()
    {
        using var folder = new TempFolder();
        var spill = Spill.Beside(Path.Combine(folder.Path, "in.stats"));
        const int count = (1 << 18) + 7;

        var (room, other) = (spill.Room(count), spill.Room(count));

        Assert.Equal(count, room.Length);
        Assert.False(MemoryMarshal.TryGetArray<double>(room, out _));
        Assert.Equal(-1, room.Span.IndexOfAnyExcept(0));
        room.Span[^1] = 3;
        Assert.Equal((3, 0), (room.Span[^1], other.Span[^1]));
        Assert.True(MemoryMarshal.TryGetArray<double>(spill.Room(5), out _));
        Assert.True(MemoryMarshal.TryGetArray<double>(Spill.None.Room(count), out _));
        Assert.Empty(Directory.EnumerateFileSystemEntries(folder.Path));
    }

    [Fact]
    public void Small_arrays_stay_and_so_does_everything_without_a_disk()
    {
        using var folder = new TempFolder();
        float[] small = [1, 2, 3];
        byte[] large = new byte[2 << 20];
        string absent = Path.Combine(folder.Path, "none", "out.onnx"); // nothing can be written there

        Assert.True(Spill.Beside(absent).Keep(small).Span == small.AsSpan());
        Assert.True(Spill.None.Keep(s_large).Span == s_large.AsSpan());
        Assert.True(Spill.None.Keep(large).Equals((ReadOnlyMemory<byte>)large));
        Assert.Equal((true, false), (Spill.Beside(absent).IsToDisk, Spill.None.IsToDisk));
    }

    [Fact]
    public void A_file_that_cannot_be_written_is_named()
    {
        using var folder = new TempFolder();
        string absent = Path.Combine(folder.Path, "none", "out.onnx");

        var error = Assert.Throws<IOException>(() => Spill.Beside(absent).Keep(s_large));

        Assert.Contains(Path.Combine(folder.Path, "none", ".out.onnx."), error.Message, StringComparison.Ordinal);
        Assert.Contains("cannot be put aside on disk", error.Message, StringComparison.Ordinal);
    }
}
