using OnnxLowRank.Samples;

namespace OnnxLowRank.Tests.Samples;

public sealed class LabelsTests : IDisposable
{
    readonly TempFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Fact]
    public void One_label_per_sample()
    {
        var labels = Labels.Read(_folder.Npy("labels.npy", [3], 5L, -100, 7));

        Assert.Equal([5, -100, 7], labels.Values);
        Assert.Equal((3, 1), (labels.Count, labels.PerSample));
        Assert.Equal([7], labels.Of(2).ToArray());
    }

    [Fact]
    public void One_label_per_token()
    {
        var labels = Labels.Read(_folder.Npy("labels.npy", [2, 3], 1, 2, 3, 4, 5, 6));

        Assert.Equal([2, 3], labels.Shape);
        Assert.Equal((2, 3), (labels.Count, labels.PerSample));
        Assert.Equal([4, 5, 6], labels.Of(1).ToArray());
    }

    [Fact]
    public void Every_integer_type_is_read()
    {
        Assert.Equal([-1, 127], Read<sbyte>(-1, sbyte.MaxValue));
        Assert.Equal([1, 255], Read<byte>(1, byte.MaxValue));
        Assert.Equal([-1, 32767], Read<short>(-1, short.MaxValue));
        Assert.Equal([1, 65535], Read<ushort>(1, ushort.MaxValue));
        Assert.Equal([int.MinValue, int.MaxValue], Read(int.MinValue, int.MaxValue));
        Assert.Equal([1, int.MaxValue], Read<uint>(1, int.MaxValue));
        Assert.Equal([int.MinValue, int.MaxValue], Read<long>(int.MinValue, int.MaxValue));
        Assert.Equal([1, int.MaxValue], Read<ulong>(1, int.MaxValue));
    }

    [Fact]
    public void More_labels_than_one_block_are_read()
    {
        var labels = Labels.Read(_folder.Npy("labels.npy", [100_000], [.. Enumerable.Range(0, 100_000)]));

        Assert.Equal(Enumerable.Range(0, 100_000), labels.Values);
    }

    [Fact]
    public void What_is_no_list_of_class_indices_is_refused_with_the_reason()
    {
        void Refused(string path, string reason) => Assert.Contains(reason, Assert.Throws<DataException>(() => Labels.Read(path)).Message);

        Refused(_folder.Npy("f.npy", [1], 1f), "labels are float32");
        Refused(_folder.Npy("b.npy", [1], true), "labels are bool");
        Refused(_folder.Npy("s.npy", [], 1), "labels of shape scalar");
        Refused(_folder.Npy("c.npy", [1, 1, 1], 1), "labels of shape 1x1x1");
        Refused(_folder.Npy("e.npy", [0], Array.Empty<int>()), "0 labels");
        Refused(_folder.Npy("z.npy", [3, 0], Array.Empty<int>()), "0 labels");
        Refused(_folder.Npy("l.npy", [2], 1, 1L << 31), "label 1 is 2147483648");
        Refused(_folder.Npy("u.npy", [1], ulong.MaxValue), "label 0 is 18446744073709551615");
        Refused(Path.Combine(_folder.Path, "none.npy"), "no such file");
    }

    int[] Read<T>(params T[] values) where T : unmanaged => Labels.Read(_folder.Npy("labels.npy", [values.Length], values)).Values;
}
