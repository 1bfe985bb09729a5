using System.Globalization;
using OnnxLowRank.Tests.Samples;
using OnnxLowRank.Timing;

namespace OnnxLowRank.Tests.Timing;

public sealed class TimingCacheTests : IDisposable
{
    static readonly TimingConditions s_here = new("1.0", "1.30.0", "cpu", "a processor, 2 cores", 2);

    readonly TempFolder _folder = new();
    readonly List<string> _notes = [];

    public void Dispose()
    {
        Assert.Empty(Directory.EnumerateFiles(_folder.Path, "*.tmp", SearchOption.AllDirectories));
        _folder.Dispose();
    }

    TimingCache Open(TimingConditions? conditions = null, string name = "cache") => new(Path.Combine(_folder.Path, name), conditions ?? s_here, _notes.Add);

    static void AssertTime(LayerTime expected, LayerTime? actual)
    {
        Assert.NotNull(actual);
        Assert.Equal((expected.One, expected.Each), (actual.One, actual.Each));
        Assert.Equal(expected.Kernels, actual.Kernels);
    }

    TimingCache Saved(params (string Key, LayerTime Time)[] times)
    {
        var cache = Open();
        foreach (var (key, time) in times)
        {
            cache.Add(key, time);
        }
        cache.Save();
        return cache;
    }

    [Fact]
    public void What_is_saved_is_found_again_to_the_last_bit()
    {
        var time = new LayerTime(1.0 / 3, Math.PI * 1e-7, ["Conv", "QLinearConv"]);
        Saved(("a key, with \"quotes\" and a\nline", time));

        AssertTime(time, Open().Find("a key, with \"quotes\" and a\nline"));
        Assert.Null(Open().Find("another"));
        Assert.Empty(_notes);
    }

    [Theory]
    [InlineData("1.31.0", "cpu", "a processor, 2 cores", 2)]
    [InlineData("1.30.0", "cuda:0", "a processor, 2 cores", 2)]
    [InlineData("1.30.0", "cpu", "another processor", 2)]
    [InlineData("1.30.0", "cpu", "a processor, 2 cores", 1)]
    public void Times_of_other_conditions_are_kept_apart(string runtime, string device, string processor, int threads)
    {
        var mine = Saved(("k", new(1, 2, [])));
        var other = Open(new(s_here.Tool, runtime, device, processor, threads));

        Assert.Null(other.Find("k"));
        other.Add("k", new(3, 4, []));
        other.Save();

        Assert.NotEqual(mine.Path, other.Path);
        AssertTime(new(1, 2, []), Open().Find("k"));
    }

    [Fact]
    public void Times_of_another_version_are_forgotten()
    {
        Saved(("k", new(1, 2, [])));
        var next = Open(s_here with { Tool = "1.1" });

        Assert.Null(next.Find("k"));
        next.Add("l", new(3, 4, []));
        next.Save();

        AssertTime(new(3, 4, []), Open(s_here with { Tool = "1.1" }).Find("l"));
        Assert.Null(Open().Find("k"));
        Assert.Single(Directory.EnumerateFiles(Path.GetDirectoryName(next.Path)!));
    }

    [Theory]
    [InlineData("")]
    [InlineData("not json")]
    [InlineData("{\"tool\":\"1.0\"}")]
    public void A_file_without_its_first_line_is_as_good_as_none(string content)
    {
        var cache = Saved(("k", new(1, 2, [])));
        File.WriteAllText(cache.Path, content);

        Assert.Null(Open().Find("k"));
        Saved(("l", new(3, 4, [])));
        AssertTime(new(3, 4, []), Open().Find("l"));
        Assert.Empty(_notes);
    }

    [Theory]
    [InlineData("{\"key\":\"bad\",\"one\":1,\"each\":")] // cut short
    [InlineData("{\"key\":\"bad\",\"one\":-1,\"each\":1,\"kernels\":[]}")]
    [InlineData("{\"key\":\"bad\",\"one\":1,\"each\":1,\"kernels\":null}")]
    [InlineData("{\"key\":\"bad\",\"one\":\"fast\",\"each\":1,\"kernels\":[]}")]
    [InlineData("[]")]
    [InlineData("null")]
    public void A_damaged_line_costs_only_itself(string line)
    {
        var cache = Saved(("k", new(1, 2, [])));
        File.AppendAllText(cache.Path, line + "\n");

        Assert.Null(Open().Find("bad"));
        AssertTime(new(1, 2, []), Open().Find("k"));
    }

    [Fact]
    public void Programs_that_save_at_once_leave_a_whole_file()
    {
        Parallel.For(0, 8, i =>
        {
            var cache = new TimingCache(Path.Combine(_folder.Path, "cache"), s_here, note => Assert.Fail(note));
            cache.Add(i.ToString(CultureInfo.InvariantCulture), new(i, i, []));
            cache.Save();
        });

        var known = Enumerable.Range(0, 8).Where(i => Open().Find(i.ToString(CultureInfo.InvariantCulture)) is { } time && time.One == i);
        Assert.NotEmpty(known); // whoever came last
        Assert.Equal(1 + known.Count(), File.ReadAllLines(Open().Path).Length);
    }

    [Fact]
    public void What_another_program_saved_first_stays()
    {
        var late = Open();
        Saved(("k", new(1, 2, [])), ("l", new(3, 4, [])));
        late.Add("k", new(5, 6, []));
        late.Add("m", new(7, 8, []));
        late.Save();

        AssertTime(new(1, 2, []), Open().Find("k"));
        AssertTime(new(3, 4, []), Open().Find("l"));
        AssertTime(new(7, 8, []), Open().Find("m"));
    }

    [Fact]
    public void A_folder_that_cannot_be_made_is_a_note()
    {
        _folder.File("file", []);
        var cache = Open(name: "file/cache");
        cache.Add("k", new(1, 2, []));

        cache.Save();

        AssertTime(new(1, 2, []), cache.Find("k"));
        Assert.Contains("measured times cannot be kept in", Assert.Single(_notes), StringComparison.Ordinal);
    }

    [Fact]
    public void Without_a_folder_nothing_is_written()
    {
        var cache = new TimingCache("", s_here, _notes.Add);
        cache.Add("k", new(1, 2, []));

        cache.Save();

        AssertTime(new(1, 2, []), cache.Find("k"));
        Assert.Empty(_notes);
    }
}
