using System.Diagnostics;
using Google.Protobuf;
using OnnxLowRank.Onnx;
using OnnxLowRank.Onnx.Proto;
using static OnnxLowRank.Tests.Cli.Playground;
using DataType = OnnxLowRank.Onnx.Proto.TensorProto.Types.DataType;

namespace OnnxLowRank.Tests.Cli;

/// <summary>
/// What can be wrong with a command line, a model, its data or the machine. Every case ends with the code of its kind and one line
/// that names the culprit; nothing is written and nothing is left behind.
/// </summary>
public class BadInputTests
{
    const int Usage = 2, Model = 3, Data = 4, NotMet = 5, Machine = 6;

    /// <summary>Longer lines are not read.</summary>
    const int LongestLine = 400;

    /// <param name="Says">What the line must contain: the name of the culprit first.</param>
    /// <param name="Prepare">Breaks something in the folder; returns the arguments, or null for the usual ones.</param>
    sealed record BadInput(int Exit, string[] Says, Func<Playground, string[]?> Prepare)
    {
        public Dictionary<string, string?> Environment { get; init; } = [];
    }

    static readonly Dictionary<string, BadInput> s_cases = new()
    {
        // The command line
        ["no arguments"] = new(Usage, [], _ => []),
        ["unknown option"] = new(Usage, ["--toleranc", "--tolerance"], _ => [.. Usual, "--toleranc", "0.1"]),
        ["unknown option, nothing like it"] = new(Usage, ["--frobnicate"], _ => [.. Usual, "--frobnicate"]),
        ["option without its value"] = new(Usage, ["--labels"], _ => [.. Usual, "--labels"]),
        ["no calibration"] = new(Usage, ["--calib"], _ => ["in.onnx", "out.onnx"]),
        ["no output"] = new(Usage, ["OUT.onnx"], _ => ["in.onnx", "--calib", "calib"]),
        ["too many files"] = new(Usage, ["more.onnx"], _ => [.. Usual, "more.onnx"]),
        ["tolerance is no number"] = new(Usage, ["--tolerance", "1e"], _ => [.. Usual, "--tolerance", "1e"]),
        ["tolerance with a decimal comma"] = new(Usage, ["--tolerance", "0,01"], _ => [.. Usual, "--tolerance", "0,01"]),
        ["negative tolerance"] = new(Usage, ["--tolerance", "-0.1"], _ => [.. Usual, "--tolerance", "-0.1"]),
        ["tolerance NaN"] = new(Usage, ["--tolerance"], _ => [.. Usual, "--tolerance", "NaN"]),
        ["target size is no size"] = new(Usage, ["--target-size", "5 potatoes"], _ => [.. Usual, "--target-size", "5 potatoes"]),
        ["target time is a size"] = new(Usage, ["--target-time", "5MB"], _ => [.. Usual, "--target-time", "5MB"]),
        ["two targets"] = new(Usage, ["--target-size", "--target-time"], _ => [.. Usual, "--target-size", "0.5", "--target-time", "0.5"]),
        ["tolerance and target"] = new(Usage, ["--tolerance", "target"], _ => [.. Usual, "--target-size", "0.5", "--tolerance", "0.1"]),
        ["unknown objective"] = new(Usage, ["--objective", "beauty", "size"], _ => [.. Usual, "--objective", "beauty"]),
        ["target too small"] = new(NotMet, ["target 10", "bytes"], _ => [.. Usual, "--target-size", "10B"]),
        ["threads is no number"] = new(Usage, ["--threads", "many"], _ => [.. Usual, "--threads", "many"]),
        ["no threads"] = new(Usage, ["--threads", "0"], _ => [.. Usual, "--threads", "0"]),
        ["a memory that is no size"] = new(Usage, ["--memory", "0.5"], _ => [.. Usual, "--memory", "0.5"]),
        ["too little memory"] = new(Usage, ["--memory", "1000"], _ => [.. Usual, "--memory", "1KB"]),
        ["no batch"] = new(Usage, ["--batch", "0"], _ => [.. Usual, "--batch", "0"]),
        ["bad regex"] = new(Usage, ["--only"], _ => [.. Usual, "--only", "("]),
        ["unknown metric"] = new(Usage, ["--metric", "bleu", "accuracy"], _ => [.. Usual, "--metric", "bleu"]),
        ["unknown format"] = new(Usage, ["--format", "fp8", "int8"], _ => [.. Usual, "--format", "fp8"]),
        ["unknown method"] = new(Usage, ["--method", "magic"], _ => [.. Usual, "--method", "magic"]),
        ["unknown device"] = new(Usage, ["tpu"], _ => [.. Usual, "--device", "tpu"]),
        ["nothing to do"] = new(Usage, ["--method none", "--format fp32"], _ => [.. Usual, "--method", "none", "--format", "fp32"]),
        ["accuracy without labels"] = new(Usage, ["--labels"], _ => [.. Usual, "--metric", "accuracy"]),
        ["report of unknown kind"] = new(Usage, ["x.txt", ".json"], _ => [.. Usual, "--report", "x.txt"]),
        ["report is the output"] = new(Usage, ["out.json"], _ => ["in.onnx", "out.json", "--calib", "calib", "--report", "./out.json"]),
        ["report is a link to the labels"] = new(Usage, ["y.json"], playground =>
        {
            File.CreateSymbolicLink(playground.PathOf("y.json"), "labels.npy");
            return [.. Usual, "--labels", "labels.npy", "--report", "y.json"];
        }),
        ["deterministic to a time"] = new(Usage, ["--deterministic", "--target-time"], _ => [.. Usual, "--deterministic", "--target-time", "0.5"]),
        ["output is the input"] = new(Usage, ["in.onnx"], _ => ["in.onnx", "in.onnx", "--calib", "calib"]),
        ["output is the input by another path"] = new(Usage, ["in.onnx"], _ => ["in.onnx", "./calib/../in.onnx", "--calib", "calib"]),
        ["output is a link to the input"] = new(Usage, ["link.onnx"], playground =>
        {
            File.CreateSymbolicLink(playground.PathOf("link.onnx"), "in.onnx");
            return ["in.onnx", "link.onnx", "--calib", "calib"];
        }),
        ["output is the input through a linked folder"] = new(Usage, ["in.onnx"], playground =>
        {
            Directory.CreateSymbolicLink(playground.PathOf("here"), ".");
            return ["in.onnx", "here/in.onnx", "--calib", "calib"];
        }),
        ["output's weights are the input's weights"] = new(Usage, ["out.onnx.0123456789abcdef.data", "input model"], playground => WithWeightsIn(playground, "out.onnx.0123456789abcdef.data")),
        ["output is the input's weights"] = new(Usage, ["out.onnx", "input model"], playground => WithWeightsIn(playground, "out.onnx")),
        ["input's weights are a link to the output's weights"] = new(Usage, ["out.onnx.0123456789abcdef.data", "input model"], playground =>
        {
            WithWeightsIn(playground, "w.bin");
            File.Move(playground.PathOf("w.bin"), playground.PathOf("out.onnx.0123456789abcdef.data"));
            Directory.CreateSymbolicLink(playground.PathOf("here"), ".");
            File.CreateSymbolicLink(playground.PathOf("w.bin"), "here/out.onnx.0123456789abcdef.data");
            return null;
        }),
        ["output's weights are the input's weights by another path"] = new(Usage, ["out.onnx.0123456789abcdef.data", "input model"], playground =>
        {
            WithWeightsIn(playground, "out.onnx.0123456789abcdef.data");
            return ["in.onnx", "./calib/../out.onnx", "--calib", "calib"];
        }),
        ["output's weights are the input"] = new(Usage, ["out.onnx.0123456789abcdef.data", "input model"], playground =>
        {
            WithWeightsIn(playground, "w.bin");
            File.Move(playground.Input, playground.PathOf("out.onnx.0123456789abcdef.data"));
            return ["out.onnx.0123456789abcdef.data", "out.onnx", "--calib", "calib"];
        }),
        ["output is the labels"] = new(Usage, ["labels.npy", "labels"], _ => ["in.onnx", "labels.npy", "--calib", "calib", "--labels", "./labels.npy"]),
        ["output's weights are the labels"] = new(Usage, ["out.onnx.0123456789abcdef.data", "labels"], playground =>
        {
            WithWeightsIn(playground, "w.bin");
            File.Move(playground.PathOf("labels.npy"), playground.PathOf("out.onnx.0123456789abcdef.data"));
            return [.. Usual, "--labels", "out.onnx.0123456789abcdef.data"];
        }),
        ["output is a sample file"] = new(Usage, ["calib/x.npy", "calibration samples"], _ => ["in.onnx", "calib/x.npy", "--calib", "calib"]),
        ["output is the only sample file"] = new(Usage, ["x.npy", "calibration samples"], _ => ["in.onnx", "calib/x.npy", "--calib", "calib/x.npy"]),
        ["output is a link to a sample file"] = new(Usage, ["out.onnx", "x.npy", "calibration samples"], playground =>
        {
            File.CreateSymbolicLink(playground.PathOf("out.onnx"), "calib/x.npy");
            return null;
        }),
        ["output is the archive of samples"] = new(Usage, ["calib.npz", "calibration samples"], playground =>
        {
            playground.Npz("calib.npz", ("x.npy", File.ReadAllBytes(playground.PathOf("calib/x.npy"))));
            return ["in.onnx", "calib.npz", "--calib", "calib.npz"];
        }),
        ["output is a tensor of test data"] = new(Usage, ["input_0.pb", "calibration samples"], playground =>
        {
            var sample = TensorData.Floats("x", Values(Inputs), 1, Inputs);
            playground.Write("sets/test_data_set_0/input_0.pb", sample.ToByteArray());
            return ["in.onnx", "sets/test_data_set_0/input_0.pb", "--calib", "sets"];
        }),

        // The model
        ["model missing"] = new(Model, ["nowhere.onnx"], _ => ["nowhere.onnx", "out.onnx", "--calib", "calib"]),
        ["model is a folder"] = new(Model, ["calib"], _ => ["calib", "out.onnx", "--calib", "calib"]),
        ["model empty"] = new(Model, ["in.onnx"], playground => Wrote(playground, "in.onnx", [])),
        ["model is not protobuf"] = new(Model, ["in.onnx"], playground => Wrote(playground, "in.onnx", "this is text, not a model\n"u8.ToArray())),
        ["model is random bytes"] = new(Model, ["in.onnx"], playground => Wrote(playground, "in.onnx", Enumerable.Range(0, 5000).Select(i => (byte)(i * i * 31 >> 4)).ToArray())),
        ["model truncated"] = new(Model, ["in.onnx"], playground => Wrote(playground, "in.onnx", File.ReadAllBytes(playground.Input)[..^1000])),
        ["model truncated in its head"] = new(Model, ["in.onnx"], playground => Wrote(playground, "in.onnx", File.ReadAllBytes(playground.Input)[..2])),
        ["graph without nodes"] = new(Model, ["in.onnx"], playground => Changed(playground, model => model.Graph.Node.Clear())),
        ["cyclic graph"] = new(Model, ["in.onnx", "cycle"], playground => Changed(playground, model => model.Graph.Node[0].Input[0] = "r")),
        ["node reads what nothing defines"] = new(Model, ["in.onnx", "relu", "ghost"], playground => Changed(playground, model => model.Graph.Node[1].Input[0] = "ghost")),
        ["value defined twice"] = new(Model, ["in.onnx", "relu"], playground => Changed(playground, model => model.Graph.Node[1].Output[0] = "h")),
        ["output that nothing defines"] = new(Model, ["in.onnx", "'z'"], playground => Changed(playground, model => model.Graph.Output[0].Name = "z")),
        ["wrong initializer dims"] = new(Model, ["in.onnx", "w1"], playground => Changed(playground, model => model.Graph.Initializer[0].Dims[0]++)),
        ["negative initializer dims"] = new(Model, ["in.onnx", "w1"], playground => Changed(playground, model => model.Graph.Initializer[0].Dims[0] *= -1)),
        ["weight that does not fit its input"] = new(Model, ["hidden"], playground => Changed(playground, model => model.Graph.Initializer[0] = Weight("w1", scale: 1, 96, 17))),
        ["unknown operator"] = new(Model, ["Frobnicate"], playground => Changed(playground, model => model.Graph.Node[1].OpType = "Frobnicate")),
        ["unknown operator domain"] = new(Model, ["org.example"], playground => Changed(playground, model => model.Graph.Node[1].Domain = "org.example")),
        ["no opset import"] = new(Model, ["opset"], playground => Changed(playground, model => model.OpsetImport.Clear())),
        ["opset of the future"] = new(Model, ["9999"], playground => Changed(playground, model => model.OpsetImport[0].Version = 9999)),
        ["external data outside the folder"] = new(Model, ["in.onnx", "w1", "../secret"], playground => Changed(playground, model => External(model, "../secret"))),
        ["external data at an absolute path"] = new(Model, ["in.onnx", "w1", "/etc/passwd"], playground => Changed(playground, model => External(model, "/etc/passwd"))),
        ["external data through a link"] = new(Model, ["in.onnx", "w1", "link.bin", "outside"], playground =>
        {
            File.CreateSymbolicLink(playground.PathOf("link.bin"), "/etc/passwd");
            return Changed(playground, model => External(model, "link.bin"));
        }),
        ["external data through a link to a link"] = new(Model, ["in.onnx", "w1", "link.bin", "outside"], playground =>
        {
            Directory.CreateSymbolicLink(playground.PathOf("there"), "/etc");
            File.CreateSymbolicLink(playground.PathOf("link.bin"), "there/passwd");
            return Changed(playground, model => External(model, "link.bin"));
        }),
        ["external data missing"] = new(Model, ["in.onnx", "w1", "gone.bin"], playground => Changed(playground, model => External(model, "gone.bin"))),
        ["activations overflow"] = new(Model, ["in.onnx", "'r'"], playground =>
        {
            playground.WriteSamples([.. Values(Playground.Samples * Inputs).Select(value => value * 1e10f)], Playground.Samples, Inputs);
            return Changed(playground, model => model.Graph.Initializer[0] = Weight("w1", scale: 1e30f, 96, Inputs));
        }),
        ["squares of activations overflow"] = new(Model, ["in.onnx", "'x'"], playground =>
        {
            playground.WriteSamples([.. Values(Playground.Samples * Inputs).Select(value => value * 1e38f)], Playground.Samples, Inputs);
            return null;
        }),
        ["node without its weight"] = new(Model, ["in.onnx", "hidden", "lacks an input"], playground => Changed(playground, model =>
        {
            model.Graph.Node[0].Input.Clear();
            model.Graph.Node[0].Input.Add("x");
        })),
        ["node without an output"] = new(Model, ["in.onnx", "Relu", "no output"], playground => Changed(playground, model => model.Graph.Node.Add(NodeAttributes.Create("Relu", "lost", ["h"], [])))),
        ["initializer twice"] = new(Model, ["in.onnx", "w1", "twice"], playground => Changed(playground, model => model.Graph.Initializer.Add(model.Graph.Initializer[0].Clone()))),
        ["function that calls itself"] = new(Model, ["in.onnx", "'f'", "circles"], playground => Changed(playground, model =>
            model.Functions.Add(new FunctionProto { Name = "f", Domain = "org.example", Node = { NodeAttributes.Create("f", "", ["a"], ["b"], "org.example") } }))),
        ["run that fails"] = new(Model, ["in.onnx", "failed while running", "unfold"], playground => Changed(playground, model =>
        {
            model.Graph.Initializer.Add(TensorData.Int64s("sevenths", [-1, 7]));
            model.Graph.Node.Add(NodeAttributes.Create("Reshape", "unfold", ["y", "sevenths"], ["z"]));
            model.Graph.Output[0] = Value("z", DataType.Float, null, 7);
        })),
        ["weights not finite"] = new(NotMet, ["no layer", "hidden", "NaN"], playground => Changed(playground, model =>
        {
            model.Graph.Initializer[0] = Weight("w1", scale: float.NaN, 96, Inputs);
            model.Graph.Initializer[2] = Weight("w2", scale: float.PositiveInfinity, 4, 96);
        })),
        ["names that steer the terminal"] = new(Model, ["in.onnx", "�[31mghost�"], playground => Changed(playground, model => model.Graph.Node[1].Input[0] = "\e[31mghost\a")),
        ["no float output"] = new(Model, ["float"], playground => Changed(playground, model =>
        {
            model.Graph.Node.Add(NodeAttributes.Create("ArgMax", "last", ["y"], ["best"]));
            model.Graph.Output[0] = Value("best", DataType.Int64, null, null);
        })),

        // The data
        ["calibration missing"] = new(Data, ["nowhere"], _ => ["in.onnx", "out.onnx", "--calib", "nowhere"]),
        ["calibration folder empty"] = new(Data, ["empty", "x"], playground =>
        {
            Directory.CreateDirectory(playground.PathOf("empty"));
            return ["in.onnx", "out.onnx", "--calib", "empty"];
        }),
        ["calibration input missing"] = new(Data, ["calib", "x"], playground => Renamed(playground, "calib/x.npy", "calib/other.npy")),
        ["calibration is neither"] = new(Data, ["in.onnx"], _ => ["in.onnx", "out.onnx", "--calib", "in.onnx"]),
        ["samples truncated"] = new(Data, ["x.npy"], playground => Wrote(playground, "calib/x.npy", File.ReadAllBytes(playground.PathOf("calib/x.npy"))[..^7])),
        ["samples not .npy"] = new(Data, ["x.npy"], playground => Wrote(playground, "calib/x.npy", "not an array"u8.ToArray())),
        ["samples of wrong type"] = new(Data, ["x.npy", "int64"], playground => Array(playground, "calib/x.npy", new long[64 * 16], 64, 16)),
        ["samples of wrong shape"] = new(Data, ["x.npy", "64x17"], playground => Array(playground, "calib/x.npy", new float[64 * 17], 64, 17)),
        ["samples of wrong rank"] = new(Data, ["x.npy"], playground => Array(playground, "calib/x.npy", new float[64], 64)),
        ["no samples"] = new(Data, ["x.npy"], playground => Array(playground, "calib/x.npy", Values(0), 0, 16)),
        ["too few samples"] = new(Data, ["3"], playground => Array(playground, "calib/x.npy", new float[3 * 16], 3, 16)),
        ["NaN"] = new(Data, ["x.npy", "NaN"], playground => NotFinite(playground, float.NaN)),
        ["infinity"] = new(Data, ["x.npy"], playground => NotFinite(playground, float.PositiveInfinity)),
        ["labels missing"] = new(Data, ["nowhere.npy"], _ => [.. Usual, "--labels", "nowhere.npy"]),
        ["wrong count of labels"] = new(Data, ["labels.npy", "63", "64"], playground => Labelled(playground, new long[63], 63)),
        ["labels of wrong type"] = new(Data, ["labels.npy", "float32"], playground => Labelled(playground, new float[64], 64)),
        ["label beyond the classes"] = new(Data, ["label", "4"], playground => Labelled(playground, Enumerable.Repeat(4L, 64).ToArray(), 64)),
        ["labels per token for one output"] = new(Data, ["label"], playground => Labelled(playground, new long[64 * 5], 64, 5)),
        ["perplexity without tokens"] = new(Model, ["perplexity", "'y'"], _ => [.. Usual, "--metric", "perplexity"]),

        // Nothing to gain
        ["no layer to rewrite"] = new(NotMet, ["no layer", "MatMul, Gemm, Conv"], playground => Changed(playground, model =>
        {
            model.Graph.Node.Clear();
            model.Graph.Node.Add(NodeAttributes.Create("Relu", "relu", ["x"], ["y"]));
            model.Graph.Initializer.Clear();
            model.Graph.Output[0] = Value("y", DataType.Float, null, Inputs);
        })),
        ["every layer skipped"] = new(NotMet, ["no layer", "hidden", "--skip"], _ => [.. Usual, "--skip", "."]),
        ["tolerance impossible"] = new(NotMet, ["tolerance"], _ => [.. Usual, "--metric", "relative", "--tolerance", "0"]),

        // The machine
        ["output folder missing"] = new(Machine, ["nowhere"], _ => ["in.onnx", "nowhere/out.onnx", "--calib", "calib"]),
        ["output is a folder"] = new(Machine, ["calib"], _ => ["in.onnx", "calib", "--calib", "calib"]),
        ["output below a file"] = new(Machine, ["labels.npy"], _ => ["in.onnx", "labels.npy/out.onnx", "--calib", "calib"]),
        ["output folder not writable"] = new(Machine, ["/proc/out.onnx"], _ => OperatingSystem.IsLinux()
            ? ["in.onnx", "/proc/out.onnx", "--calib", "calib"]
            : throw Xunit.Sdk.SkipException.ForSkip("only Linux has a folder that not even root can write to")),
        ["OPENBLAS_LIB names no library"] = new(Machine, ["OPENBLAS_LIB", "nowhere.so"], _ => null) { Environment = new() { ["OPENBLAS_LIB"] = "nowhere.so" } },
        ["report folder missing"] = new(Machine, ["nowhere/r.json"], _ => [.. Usual, "--report", "nowhere/r.json"]),
        ["report is a folder"] = new(Machine, ["r.json"], playground =>
        {
            Directory.CreateDirectory(playground.PathOf("r.json"));
            return [.. Usual, "--report", "r.json"];
        }),
        ["cuda without CUDA"] = new(Machine, ["cuda", "CUDA"], _ => HasCuda
            ? throw Xunit.Sdk.SkipException.ForSkip("CUDA is here")
            : [.. Usual, "--device", "cuda"]),
        ["ONNX Runtime missing"] = new(Machine, ["gone.so"], _ => null) { Environment = new() { ["ONNXRUNTIME_LIB"] = "gone.so" } },
        ["ONNX Runtime is something else"] = new(Machine, ["in.onnx"], _ => null) { Environment = new() { ["ONNXRUNTIME_LIB"] = "in.onnx" } },
        ["no folder for temporary files"] = new(Machine, ["nowhere"], playground =>
        {
            playground.Npz("calib.npz", ("x.npy", File.ReadAllBytes(playground.PathOf("calib/x.npy"))));
            return ["in.onnx", "out.onnx", "--calib", "calib.npz"];
        })
        { Environment = new() { ["TMPDIR"] = "/nowhere" } },
    };

    static string[] Usual => ["in.onnx", "out.onnx", "--calib", "calib"];

    static bool HasCuda => File.Exists(Path.Combine(AppContext.BaseDirectory, "libonnxruntime_providers_cuda.so"));

    public static TheoryData<string> Cases => [.. s_cases.Keys];

    [Theory]
    [MemberData(nameof(Cases))]
    public void Ends_with_its_code_and_one_line_and_changes_nothing(string name)
    {
        var bad = s_cases[name];
        using var playground = new Playground();
        string[] arguments = bad.Prepare(playground) ?? Usual;
        string temporary = Directory.CreateDirectory(playground.PathOf("tmp")).FullName;
        var before = playground.Contents();

        var environment = new Dictionary<string, string?>(bad.Environment);
        environment.TryAdd("TMPDIR", temporary);
        var result = CommandLine.RunWith(environment, playground.Folder, arguments);

        AssertOneLine(result, bad.Exit, bad.Says);
        Assert.Equal(before, playground.Contents());
    }

    [Theory]
    [InlineData("disk/out.onnx", "report.json", "out.onnx: cannot be written")]
    [InlineData("out.onnx", "disk/report.json", "disk/report.json: cannot be written")] // a model without its report is not written either
    public void A_full_disk_leaves_the_older_output_alone(string output, string report, string says)
    {
        using var playground = new Playground();
        string disk = Directory.CreateDirectory(playground.PathOf("disk")).FullName;
        Assert.SkipUnless(OperatingSystem.IsLinux(), "mounts a small tmpfs, which is Linux's");
        Assert.SkipUnless(Shell("mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", disk), "mounting a small tmpfs is not permitted here");
        try
        {
            File.WriteAllBytes(Path.Combine(disk, "filler"), new byte[64 << 10]);
            File.WriteAllBytes(playground.PathOf(output), []);
            var before = playground.Contents();

            var result = CommandLine.Run(playground.Folder, "in.onnx", output, "--calib", "calib", "--tolerance", "0.5", "--report", report);

            AssertOneLine(result, Machine, [says, "No space left"]);
            Assert.Equal(before, playground.Contents());
        }
        finally
        {
            Shell("umount", disk);
        }
    }

    [Fact]
    public void Verbose_adds_the_trace_after_the_line()
    {
        using var playground = new Playground();

        var result = CommandLine.Run(playground.Folder, "nowhere.onnx", "out.onnx", "--calib", "calib", "-v");

        Assert.Equal(Model, result.Exit);
        Assert.StartsWith("onnx-lowrank: nowhere.onnx", result.ErrorLines[0]);
        Assert.Contains(result.ErrorLines, line => line.TrimStart().StartsWith("at ", StringComparison.Ordinal));
    }

    static void AssertOneLine(CommandResult result, int exit, string[] says)
    {
        Assert.True(result.Exit == exit, $"expected exit {exit}: {result}");
        string line = Assert.Single(result.ErrorLines);
        Assert.StartsWith("onnx-lowrank: ", line);
        Assert.All(says, text => Assert.Contains(text, line, StringComparison.Ordinal));
        Assert.True(line.Length <= LongestLine, $"{line.Length} characters: {line}");
        Assert.DoesNotContain("   at ", line);
    }

    static bool Shell(string program, params string[] arguments)
    {
        try
        {
            using var process = Process.Start(new ProcessStartInfo(program, arguments) { RedirectStandardError = true })!;
            process.WaitForExit();
            return process.ExitCode == 0;
        }
        catch (System.ComponentModel.Win32Exception)
        {
            return false;
        }
    }

    static string[]? Wrote(Playground playground, string name, byte[] content)
    {
        playground.Write(name, content);
        return null;
    }

    static string[]? Changed(Playground playground, Action<ModelProto> change)
    {
        var model = Classifier();
        change(model);
        playground.Save(model);
        return null;
    }

    /// <summary>Moves the large weight of the input model to a file beside it.</summary>
    static string[]? WithWeightsIn(Playground playground, string name) => Changed(playground, model =>
    {
        playground.Write(name, model.Graph.Initializer[0].RawData.ToByteArray());
        External(model, name);
    });

    static string[]? Renamed(Playground playground, string from, string to)
    {
        File.Move(playground.PathOf(from), playground.PathOf(to));
        return null;
    }

    static string[]? Array<T>(Playground playground, string name, T[] values, params long[] shape) where T : unmanaged
    {
        playground.Npy(name, shape, values);
        return null;
    }

    static string[] Labelled<T>(Playground playground, T[] values, params long[] shape) where T : unmanaged
    {
        playground.Npy("labels.npy", shape, values);
        return [.. Usual, "--labels", "labels.npy"];
    }

    static string[]? NotFinite(Playground playground, float value)
    {
        float[] values = Values(Playground.Samples * Inputs);
        values[777] = value;
        playground.WriteSamples(values, Playground.Samples, Inputs);
        return null;
    }

    static void External(ModelProto model, string location)
    {
        var weight = model.Graph.Initializer[0];
        weight.ClearRawData();
        weight.DataLocation = TensorProto.Types.DataLocation.External;
        weight.ExternalData.Add(new StringStringEntryProto { Key = "location", Value = location });
    }
}
