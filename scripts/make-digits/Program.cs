using System.Diagnostics;
using System.Security.Cryptography;
using System.Text;
using MakeDigits;

const uint TrainSeed = 1, HeldOutSeed = 2, CalibSeed = 3, TestSeed = 4, WeightSeed = 5;
const int TrainCount = 40_000, HeldOutCount = 10_000, CalibCount = 1_000, TestCount = 500, Epochs = 8;
const double SmallestAccuracy = 0.97;
const string Usage = """
    usage: make-digits [DIRECTORY]           train the model and write it and its data (default: models)
           make-digits --check [DIRECTORY]   redraw the data and measure the model that is there
           make-digits --sheet FILE.pgm      a picture of 240 digits, to look at
    """;

try
{
    switch (args)
    {
        case ["--sheet", var file]:
            WriteSheet(file);
            return 0;
        case ["--check", .. { Length: <= 1 } rest]:
            return Check(rest is [var there] ? there : "models");
        case [] or [not ['-', ..]]:
            return Make(args is [var target] ? target : "models");
        default:
            Console.Error.WriteLine(Usage);
            return 2;
    }
}
catch (Exception e) when (e is IOException or UnauthorizedAccessException or InvalidDataException)
{
    Console.Error.WriteLine($"make-digits: {e.Message}");
    return 1;
}

static int Make(string directory)
{
    var clock = Stopwatch.StartNew();
    var train = DigitSet.Draw(TrainSeed, TrainCount);
    Console.WriteLine($"drew {train.Count} training digits in {clock.Elapsed.TotalSeconds:F0} s");

    var network = Trainer.Train(train, Epochs, WeightSeed, (epoch, accuracy) =>
        Console.WriteLine($"epoch {epoch}/{Epochs}: {accuracy:P2} right, {clock.Elapsed.TotalSeconds:F0} s"));
    Directory.CreateDirectory(directory);
    ModelFile.Write(ModelPath(directory), network);
    foreach (var (path, bytes) in DataFiles(directory))
    {
        Directory.CreateDirectory(Path.GetDirectoryName(path)!);
        File.WriteAllBytes(path, bytes);
    }

    double heldOut = network.Accuracy(DigitSet.Draw(HeldOutSeed, HeldOutCount));
    Console.WriteLine($"accuracy: training {network.Accuracy(train):P2} of {train.Count}, held out {heldOut:P2} of {HeldOutCount}");
    foreach (string path in DataFiles(directory).Select(file => file.Path).Prepend(ModelPath(directory)))
    {
        byte[] bytes = File.ReadAllBytes(path);
        Console.WriteLine($"{bytes.Length,9} bytes  {Convert.ToHexStringLower(SHA256.HashData(bytes))}  {path}");
    }
    return heldOut >= SmallestAccuracy ? 0 : 1;
}

static int Check(string directory)
{
    bool good = true;
    foreach (var (path, bytes) in DataFiles(directory))
    {
        bool same = File.Exists(path) && File.ReadAllBytes(path).AsSpan().SequenceEqual(bytes);
        Console.WriteLine($"{path}: {(same ? "as drawn again" : "differs from what is drawn now")}");
        good &= same;
    }
    double accuracy = ModelFile.Read(ModelPath(directory)).Accuracy(DigitSet.Draw(HeldOutSeed, HeldOutCount));
    Console.WriteLine($"{ModelPath(directory)}: {accuracy:P2} of {HeldOutCount} held-out digits, at least {SmallestAccuracy:P0} wanted");
    return good && accuracy >= SmallestAccuracy ? 0 : 1;
}

static string ModelPath(string directory) => Path.Combine(directory, "digits-cnn.onnx");

static IEnumerable<(string Path, byte[] Bytes)> DataFiles(string directory)
{
    foreach (var (folder, set) in new[] { ("digits-calib", DigitSet.Draw(CalibSeed, CalibCount)), ("digits-test", DigitSet.Draw(TestSeed, TestCount)) })
    {
        yield return (Path.Combine(directory, folder, "image.npy"), NpyFile.Of(set.Pixels, set.Count, 1, Painter.Side, Painter.Side));
        yield return (Path.Combine(directory, folder, "labels.npy"), NpyFile.Of(set.Labels, set.Count));
    }
}

static void WriteSheet(string file)
{
    const int Across = 20, Down = 12;
    var set = DigitSet.Draw(HeldOutSeed, Across * Down);
    var pixels = new byte[set.Pixels.Length];
    for (int i = 0; i < pixels.Length; i++)
    {
        var (picture, row, col) = (i / DigitSet.PictureSize, i / Painter.Side % Painter.Side, i % Painter.Side);
        pixels[(picture / Across * Painter.Side + row) * Across * Painter.Side + picture % Across * Painter.Side + col] = (byte)(set.Pixels[i] * 255 + 0.5f);
    }
    File.WriteAllBytes(file, [.. Encoding.ASCII.GetBytes($"P5 {Across * Painter.Side} {Down * Painter.Side} 255\n"), .. pixels]);
    Console.WriteLine(string.Join('\n', set.Labels.Chunk(Across).Select(line => string.Join(' ', line))));
}
