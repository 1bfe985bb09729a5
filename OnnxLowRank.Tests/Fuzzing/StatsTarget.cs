using System.Buffers.Binary;
using System.Security.Cryptography;
using System.Text;
using System.Text.RegularExpressions;
using OnnxLowRank.Calibration;
using OnnxLowRank.Samples;
using OnnxLowRank.StatsFiles;
using OnnxLowRank.Storage;
using OnnxLowRank.Tests.Samples;
using DataType = OnnxLowRank.Onnx.Proto.TensorProto.Types.DataType;

namespace OnnxLowRank.Tests.Fuzzing;

/// <summary>A stats file, read to its last sum. Most cases are signed again after they were changed: the checksum would stop them all.</summary>
sealed partial class StatsTarget : FuzzTarget
{
    const string File = "x.stats";
    const int HeaderAt = 16;

    static readonly string[] s_wild = ["-1", "0", "1", "2", "1e300", "-0.5", "2147483647", "4294967296", "9223372036854775807", "1e999", "null", "\"\"", "[]", "{}", "true"];

    public override string Name => "stats";

    public override string[] CommandLine => ["in.onnx", "out.onnx", "--calib", "calib", "--stats", File];

    public override FuzzInput Seed(Random random)
    {
        Tap[] taps = [new("x", 1, 2, 1, random.Next(1, 9), DataType.Float), new("conv", 1, 4, random.Next(1, 4), random.Next(1, 5), DataType.Float, IsLong: true)];
        var tally = new Tally<WideMoments>(new(taps, [("conv", default)], [taps[0]]), tap => new(tap.Groups, tap.Size, Spill.None));
        for (int i = 0; i < taps.Length; i++)
        {
            int size = taps[i].Size, channels = taps[i].Groups * size;
            float[] Numbers(int count) => [.. Enumerable.Range(0, count).Select(_ => random.NextSingle())];
            tally.Moments[i].Add(random.Next(1, 100), Numbers(channels), Numbers(channels * size));
        }
        tally.Highest[0] = random.NextDouble();
        tally.Maxima[0].Add([1, 2, random.NextSingle()]);
        ulong[] samples = [.. Enumerable.Range(0, random.Next(1, 6)).Select(_ => (ulong)random.NextInt64())];
        string model = Convert.ToHexStringLower(SHA256.HashData([1]));
        using var folder = new TempFolder();
        string path = Path.Combine(folder.Path, File);
        StatsWriter.Write(path, StatsHeader.Of(model, new(50, false, 0, 1, 1, 2, 10), samples.Length, tally), samples, tally);
        return new(new(File, System.IO.File.ReadAllBytes(path)));
    }

    public override FuzzInput Mutate(FuzzInput valid, Random random)
    {
        byte[] bytes = random.Next(2) == 0 ? ByteMutator.Mutate(valid.Main.Content, random) : WithWildNumber(valid.Main.Content, random);
        if (random.Next(8) != 0 && bytes.Length >= StatsLayout.Checksum)
        {
            SHA256.HashData(bytes.AsSpan(..^StatsLayout.Checksum), bytes.AsSpan(^StatsLayout.Checksum..));
        }
        return valid.With(bytes);
    }

    /// <summary>One value of the header's JSON is another, and the length of the header is that of the new one.</summary>
    static byte[] WithWildNumber(byte[] file, Random random)
    {
        int length = BinaryPrimitives.ReadInt32LittleEndian(file.AsSpan(12));
        string header = Encoding.UTF8.GetString(file, HeaderAt, length);
        var values = Values().Matches(header);
        var value = values[random.Next(values.Count)].Groups[1];
        byte[] changed = Encoding.UTF8.GetBytes(header[..value.Index] + s_wild[random.Next(s_wild.Length)] + header[(value.Index + value.Length)..]);
        byte[] result = [.. file[..HeaderAt], .. changed, .. file[(HeaderAt + length)..]];
        BinaryPrimitives.WriteInt32LittleEndian(result.AsSpan(12), changed.Length);
        return result;
    }

    [GeneratedRegex(@":(""[^""]*""|true|false|-?[0-9.eE+-]+)")]
    private static partial Regex Values();

    public override void Read(string folder)
    {
        using var file = StatsFile.Open(Path.Combine(folder, File));
        Assert.Equal(file.Header.Samples, file.Samples().Length);
        for (int i = 0; i < file.Header.Values.Count; i++)
        {
            var value = file.Header.Values[i];
            double[] sums = new double[value.Groups * value.Size], products = new double[WideMoments.Triangle(value.Size)];
            file.AddSums(i, sums, new double[sums.Length]);
            for (int g = 0; g < value.Groups; g++)
            {
                file.AddProducts(i, g, products, new double[products.Length]);
            }
        }
        for (int i = 0; i < file.Header.Rows.Count; i++)
        {
            file.AddMaxima(i, new RowMaxima());
        }
    }

    public override bool Refuses(Exception e) => e is DataException;
}
