using Google.Protobuf;
using OnnxLowRank.Onnx.Proto;
using OnnxLowRank.Samples;
using OnnxLowRank.Tests.Samples;
using DataType = OnnxLowRank.Onnx.Proto.TensorProto.Types.DataType;

namespace OnnxLowRank.Tests.Fuzzing;

/// <summary>Calibration data for one input x (N, Width) of floats, read to its last sample.</summary>
abstract class SampleTarget : FuzzTarget
{
    /// <summary>Of the files in a case's folder, what <c>--calib</c> names.</summary>
    protected abstract string Path { get; }

    public override string[] CommandLine => ["inspect", "in.onnx", "--calib", Path];

    public override void Read(string folder)
    {
        using var source = SampleSource.Open(System.IO.Path.Combine(folder, Path), [new("x", DataType.Float, [null, Width])]);
        for (int i = 0; i < Math.Min(source.Count, 100); i++)
        {
            source.Read([i]).Dispose();
        }
    }

    public override bool Refuses(Exception e) => e is DataException;
}

sealed class NpyTarget : SampleTarget
{
    public override string Name => "npy";

    protected override string Path => "calib";

    public override FuzzInput Seed(Random random) => new(new("calib/x.npy", NpySeeds.Samples(random)));

    public override FuzzInput Mutate(FuzzInput valid, Random random) => valid.With(NpySeeds.Mutate(valid.Main.Content, random));
}

sealed class NpzTarget : SampleTarget
{
    public override string Name => "npz";

    protected override string Path => "x.npz";

    public override FuzzInput Seed(Random random)
    {
        var level = random.Next(2) == 0 ? System.IO.Compression.CompressionLevel.NoCompression : System.IO.Compression.CompressionLevel.Fastest;
        (string, byte[])[] entries = [("x.npy", NpySeeds.Samples(random)), ("y.npy", NpySeeds.Labels(random)), ("readme.txt", [1, 2, 3])];
        random.Shuffle(entries);
        return new(new(Path, TempFolder.NpzBytes(level, entries)));
    }

    public override FuzzInput Mutate(FuzzInput valid, Random random)
    {
        byte[] zip = valid.Main.Content;
        return valid.With(random.Next(4) switch
        {
            0 => TempFolder.NpzBytes(("x.npy", NpySeeds.Mutate(NpySeeds.Samples(random), random))),
            1 => ByteMutator.Mutate(zip, random),
            _ => ZipMutator.Mutate(zip, random),
        });
    }
}

/// <summary>A test-data set with one tensor.</summary>
sealed class TensorTarget : SampleTarget
{
    public override string Name => "tensor";

    protected override string Path => "sets";

    public override FuzzInput Seed(Random random)
    {
        long rows = random.Next(1, 10);
        int count = (int)rows * Width;
        var tensor = new TensorProto { Name = random.Next(2) == 0 ? "x" : "other", Dims = { rows, Width } };
        switch (random.Next(3))
        {
            case 0:
                tensor.DataType = (int)DataType.Double;
                tensor.DoubleData.AddRange(Enumerable.Range(0, count).Select(_ => random.NextDouble()));
                break;
            case 1:
                tensor.DataType = (int)DataType.Float;
                tensor.FloatData.AddRange(Enumerable.Range(0, count).Select(_ => random.NextSingle()));
                break;
            default:
                tensor.DataType = (int)DataType.Float;
                tensor.RawData = ByteString.CopyFrom(new byte[4 * count]);
                break;
        }
        return new(new("sets/test_data_set_0/input_0.pb", tensor.ToByteArray()));
    }

    public override FuzzInput Mutate(FuzzInput valid, Random random) => valid.With(random.Next(3) == 0
        ? ByteMutator.Mutate(valid.Main.Content, random)
        : WireMutator.Mutate(valid.Main.Content, TensorProto.Descriptor, random));
}

sealed class LabelsTarget : FuzzTarget
{
    public override string Name => "labels";

    public override string[] CommandLine => ["compare", "in.onnx", "in.onnx", "--calib", "calib", "--labels", "labels.npy"];

    public override FuzzInput Seed(Random random) => new(new("labels.npy", NpySeeds.Labels(random)));

    public override FuzzInput Mutate(FuzzInput valid, Random random) => valid.With(NpySeeds.Mutate(valid.Main.Content, random));

    public override void Read(string folder)
    {
        var labels = Labels.Read(System.IO.Path.Combine(folder, "labels.npy"));
        for (int i = 0; i < labels.Count; i++)
        {
            Assert.Equal(labels.PerSample, labels.Of(i).Length);
        }
    }

    public override bool Refuses(Exception e) => e is DataException;
}
