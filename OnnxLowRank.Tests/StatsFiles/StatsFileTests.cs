using System.Buffers.Binary;
using System.Security.Cryptography;
using System.Text;
using OnnxLowRank.Calibration;
using OnnxLowRank.Layers;
using OnnxLowRank.Numerics;
using OnnxLowRank.Onnx;
using OnnxLowRank.Runtime;
using OnnxLowRank.Samples;
using OnnxLowRank.StatsFiles;
using OnnxLowRank.Storage;
using OnnxLowRank.Tests.Rewriting;
using OnnxLowRank.Tests.Samples;

namespace OnnxLowRank.Tests.StatsFiles;

/// <summary>Files of parts of the samples add up to one of all of them, and what is no such file is refused.</summary>
public sealed class StatsFileTests : IDisposable
{
    static readonly string s_model = new('a', 64);

    readonly TempFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    /// <summary>A layer's model, and what calibration asks of it.</summary>
    sealed class Subject
    {
        public Subject(OnnxModel model, MemorySamples samples)
        {
            Samples = samples;
            Layers = [.. LayerFinder.Find(model, new(Only: new("^y_node$"))).Layers];
            Calibrator = new(model, Layers, Device.Cpu, threads: 1);
            Shapes = Calibrator.Shapes(new Sampling(samples, 1, CancellationToken.None));
        }

        public MemorySamples Samples { get; }

        public Layer[] Layers { get; }

        public Calibrator Calibrator { get; }

        public IReadOnlyDictionary<string, long[]> Shapes { get; }

        public Measured Collected => Calibrator.Collect(new Sampling(Samples, 7, CancellationToken.None), Samples.All, Shapes, withRanges: true, patchesOf: Layers);
    }

    /// <summary>Every N-th sample, one per run.</summary>
    string Write(Subject subject, int shard, int shards, bool withPatches = true)
    {
        var patchSteps = withPatches ? PatchChoice.Steps(subject.Layers, subject.Shapes, long.MaxValue, subject.Samples.Count, 1) : null;
        var tally = new Tally<WideMoments>(Probes.Of(subject.Layers, subject.Shapes, withRanges: true, patchSteps), tap => new(tap.Groups, tap.Size, Spill.None));
        int[] samples = [.. subject.Samples.All.ToArray().Where(i => i % shards == shard - 1)];
        var hashes = new List<ulong>();
        subject.Calibrator.Fill(tally, new Sampling(subject.Samples, 1, CancellationToken.None), samples, (run, _) => hashes.AddRange(SampleHash.Of(run, 1)));
        string path = Path.Combine(_folder.Path, $"{shard}of{shards}.stats");
        StatsWriter.Write(path, StatsHeader.Of(s_model, new(subject.Samples.Count, true, 0, 1, shard, shards, samples.Length), samples.Length, tally), hashes.ToArray(), tally);
        return path;
    }

    Measured Merged(Subject subject, int shards)
    {
        var set = StatsSet.Open([.. Enumerable.Range(1, shards).Select(shard => Write(subject, shard, shards))], s_model);
        using (set)
        {
            var measured = set.Measured(LinearAlgebra.Create(1), subject.Layers, subject.Shapes, withRanges: true, Spill.None, patchesOf: subject.Layers);
            return measured with // read while files are open
            {
                Moments = measured.Moments.ToDictionary(item => item.Key, item => item.Value.Select(Copy).ToArray()),
                InputMoments = measured.InputMoments.ToDictionary(item => item.Key, item => item.Value.Select(Copy).ToArray()),
                Patches = measured.Patches.ToDictionary(item => item.Key, item => item.Value.Select(Copy).ToArray()),
            };
        }
    }

    /// <summary>All groups' second moments, and the mean.</summary>
    sealed class Copied(int size, double count, double[] sums, double[][] products) : Moments(size)
    {
        public override double Count => count;

        protected override ReadOnlySpan<double> Sums => sums;

        protected override double[] Products(int group) => [.. products[group]];
    }

    static Moments Copy(Moments moments)
    {
        double[] mean = moments.Mean();
        return new Copied(
            moments.Size, moments.Count, [.. mean.Select(value => value * moments.Count)],
            [.. Enumerable.Range(0, mean.Length / moments.Size).Select(g => moments.Second(g, centred: false).Data.Select(value => value * moments.Count).ToArray())]);
    }

    static void AssertSame(Moments expected, Moments actual, double tolerance)
    {
        Assert.Equal((expected.Count, expected.Size), (actual.Count, actual.Size));
        Near(expected.Mean(), actual.Mean(), tolerance);
        for (int g = 0; g < expected.Mean().Length / expected.Size; g++)
        {
            Near(expected.Second(g, centred: false).Data, actual.Second(g, centred: false).Data, tolerance);
        }
    }

    static void Near(double[] expected, double[] actual, double tolerance)
    {
        double scale = expected.Max(Math.Abs);
        Assert.All(expected.Zip(actual), pair => Assert.InRange(pair.Second, pair.First - tolerance * scale, pair.First + tolerance * scale));
    }

    static void AssertSame(Measured expected, Measured actual, double tolerance)
    {
        foreach (var (all, others) in new[] { (expected.Moments, actual.Moments), (expected.InputMoments, actual.InputMoments), (expected.Patches, actual.Patches) })
        {
            Assert.Equal(all.Keys.ToHashSet(), others.Keys.ToHashSet());
            Assert.All(all, item => Assert.All(item.Value.Zip(others[item.Key]), pair => AssertSame(pair.First, pair.Second, tolerance)));
        }
    }

    public static TheoryData<string> Cases => [.. LayerCases.Names];

    [Theory, MemberData(nameof(Cases))]
    public void Shards_add_up_to_the_whole(string name)
    {
        var (model, samples) = LayerCases.Make(name);
        var subject = new Subject(model, samples);
        var whole = Merged(subject, 1);

        AssertSame(subject.Collected, whole, 1e-5); // products of 7 samples a run, in single precision
        foreach (int shards in new[] { 3, 16 })
        {
            var merged = Merged(subject, shards);
            AssertSame(whole, merged, 0);
            Assert.Equal(whole.Grids, merged.Grids);
            Assert.Equal(whole.Spreads, merged.Spreads);
        }
        Assert.Equal(subject.Collected.Spreads, whole.Spreads);
    }

    [Fact]
    public void Patches_are_taken_where_every_file_has_them()
    {
        var (model, samples) = LayerCases.Make("Conv with bias and pads");
        var subject = new Subject(model, samples);
        bool Has(params string[] paths)
        {
            using var set = StatsSet.Open(paths, s_model);
            return set.Measured(LinearAlgebra.Create(1), subject.Layers, subject.Shapes, withRanges: true, Spill.None, patchesOf: subject.Layers).Patches.ContainsKey(subject.Layers[0]);
        }

        string first = Write(subject, 1, 2), second = Write(subject, 2, 2);
        Assert.True(Has(first, second));
        Assert.False(Has(first, Write(subject, 2, 2, withPatches: false)));
    }

    string Any()
    {
        var (model, samples) = LayerCases.Make("MatMul");
        return Write(new(model, samples), 1, 1);
    }

    [Fact]
    public void A_damaged_file_is_refused_wherever_it_is_damaged()
    {
        string path = Any();
        byte[] good = File.ReadAllBytes(path);
        StatsFile.Open(path).Dispose();
        for (int at = 0; at < good.Length; at += Math.Max(1, good.Length / 200))
        {
            byte[] bad = [.. good];
            bad[at] ^= 0x10;
            Refuse(bad);
            Refuse(good[..at]);
        }
        Refuse(good[..^1]);
        Refuse([.. good, 0]);
        void Refuse(byte[] content)
        {
            File.WriteAllBytes(path, content);
            Assert.Contains(path, Assert.Throws<DataException>(() => StatsFile.Open(path)).Message);
        }
    }

    /// <summary>Files whose checksum is right, but that no calibration has written: nothing is allocated by what they announce.</summary>
    [Theory]
    [InlineData("\"groups\":1,\"size\":24", "\"groups\":1,\"size\":1000000", "bytes, where its header announces")]
    [InlineData("\"groups\":1,\"size\":24", "\"groups\":2147483647,\"size\":2147483647", "more than a file can hold")]
    [InlineData("\"groups\":1", "\"groups\":0", "impossible")]
    [InlineData("\"axis\":1", "\"axis\":-1", "impossible")]
    [InlineData("\"count\":64", "\"count\":-64", "impossible")]
    [InlineData("\"count\":64", "\"count\":0.5", "impossible")]
    [InlineData("\"samples\":64", "\"samples\":65", "65 of 64 samples")]
    [InlineData("\"samples\":64", "\"samples\":-1", "samples")]
    [InlineData("\"part\":1", "\"part\":2", "shard 2 of 1")]
    [InlineData("\"value\":\"x\"", "\"value\":null", "its header")]
    [InlineData("\"values\":[{", "\"values\":[null,{", "missing")]
    [InlineData("\"model\":\"aaaa", "\"model\":\"../a", "hash")]
    [InlineData("\"rows\":[{", "\"rows\":[{},{", "its header")]
    [InlineData("{\"model\"", "[\"model\"", "its header")]
    public void A_header_that_cannot_be_is_refused(string old, string replacement, string message)
    {
        string path = Any();
        byte[] file = File.ReadAllBytes(path);
        int length = BinaryPrimitives.ReadInt32LittleEndian(file.AsSpan(12));
        string header = Encoding.UTF8.GetString(file, 16, length);
        Assert.Contains(old, header);
        byte[] changed = Encoding.UTF8.GetBytes(header.Replace(old, replacement, StringComparison.Ordinal));
        byte[] content = [.. file[..12], .. BitConverter.GetBytes(changed.Length), .. changed, .. file[(16 + length)..^32]];
        File.WriteAllBytes(path, [.. content, .. SHA256.HashData(content)]);

        string says = Assert.Throws<DataException>(() => StatsFile.Open(path)).Message;

        Assert.Contains(message, says);
        Assert.StartsWith(path, says);
    }

    [Fact]
    public void A_newer_version_is_told()
    {
        string path = Any();
        byte[] file = File.ReadAllBytes(path);
        file[8]++;
        File.WriteAllBytes(path, file);

        Assert.Contains($"version {StatsLayout.Version + 1}", Assert.Throws<DataException>(() => StatsFile.Open(path)).Message);
    }

    [Fact]
    public void A_sum_that_is_not_finite_is_refused_when_it_is_read()
    {
        string path = Any();
        byte[] file = File.ReadAllBytes(path);
        int start = 16 + BinaryPrimitives.ReadInt32LittleEndian(file.AsSpan(12)) + 64 * 8;
        BitConverter.GetBytes(double.NaN).CopyTo(file, start);
        File.WriteAllBytes(path, [.. file[..^32], .. SHA256.HashData(file[..^32])]);
        var (model, samples) = LayerCases.Make("MatMul");
        var subject = new Subject(model, samples);

        using var set = StatsSet.Open([path], s_model);

        Assert.Contains("not finite", Assert.Throws<DataException>(() => set.Measured(LinearAlgebra.Create(1), subject.Layers, subject.Shapes, withRanges: true, Spill.None)).Message);
    }

    [Fact]
    public void The_same_samples_may_not_count_twice()
    {
        var (model, samples) = LayerCases.Make("MatMul");
        var subject = new Subject(model, samples);
        string whole = Write(subject, 1, 1), half = Write(subject, 2, 2), copy = Path.Combine(_folder.Path, "copy.stats");
        File.Copy(half, copy);

        Assert.Equal($"{half} and {copy} hold the same samples (32 of 32): none may count twice", Assert.Throws<DataException>(() => StatsSet.Open([half, copy], s_model)).Message);
        Assert.StartsWith($"{whole} and {half} ", Assert.Throws<DataException>(() => StatsSet.Open([whole, half], s_model)).Message);
        using var set = StatsSet.Open([Write(subject, 1, 2), half], s_model);
        Assert.Equal(64, set.Samples);
        Assert.Empty(set.Notes);
    }

    [Fact]
    public void A_shard_that_is_missing_is_told()
    {
        var (model, samples) = LayerCases.Make("MatMul");
        var subject = new Subject(model, samples);

        using var set = StatsSet.Open([Write(subject, 1, 3), Write(subject, 3, 3)], s_model);

        Assert.Equal("--stats: only 2 of 3 shards are given", Assert.Single(set.Notes));
    }

    [Fact]
    public void A_layer_that_was_not_measured_is_named()
    {
        var (model, samples) = LayerCases.Make("MatMul");
        var (_, others) = LayerCases.Make("MatMul widening");
        string path = Write(new(model, samples), 1, 1);
        var other = new Subject(LayerCases.Make("MatMul widening").Model, others);

        using var set = StatsSet.Open([path], s_model);

        Assert.Contains($"{path}: was measured without 'x'", Assert.Throws<DataException>(() => set.Measured(LinearAlgebra.Create(1), other.Layers, other.Shapes, withRanges: false, Spill.None)).Message);
    }

    /// <summary>Padding is not part of a sample, and neither is where it lies.</summary>
    [Fact]
    public void A_sample_s_hash_is_of_its_content()
    {
        float[] values = TinyModel.Random([5, 3], seed: 1);
        ulong[] Hashes(int? fixedBatch, bool isWhole = false) =>
            SampleHash.Of(new MemorySamples([new("x", values, 3)], isWhole, fixedBatch), [0, 1, 2, 3, 4], CancellationToken.None);

        ulong[] hashes = Hashes(null);

        Assert.Equal(5, hashes.Distinct().Count());
        Assert.Equal(hashes, Hashes(fixedBatch: 4));
        Assert.Equal(hashes, Hashes(fixedBatch: null, isWhole: true));
    }
}
