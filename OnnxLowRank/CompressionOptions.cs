using System.Text.RegularExpressions;
using OnnxLowRank.Layers;
using OnnxLowRank.Onnx;
using OnnxLowRank.Quantization;
using OnnxLowRank.Rewriting;
using OnnxLowRank.Runtime;
using OnnxLowRank.Validation;

namespace OnnxLowRank;

/// <summary>How weights are factorized.</summary>
public enum Method
{
    /// <summary>From the layers' outputs on calibration samples.</summary>
    Output,

    /// <summary>From the weights alone.</summary>
    Svd,

    /// <summary>From the weights alone, by random projections.</summary>
    Randomized,

    /// <summary>From the weights, projected to the subspaces of input and output that the model's answers need; see <see cref="Utilizer"/>.</summary>
    Utilized,

    /// <summary>Not at all: quantize only.</summary>
    None,
}

/// <summary>Formats that a user may ask for.</summary>
public enum FormatChoice
{
    /// <summary>int8, and int4 where that pays, where it verifies and is not slower; else float32.</summary>
    Auto,

    /// <summary>32-bit floats.</summary>
    Float32,

    /// <summary>8-bit integers.</summary>
    Int8,

    /// <summary>4-bit integers.</summary>
    Int4,

    /// <summary>16-bit floats. On a GPU layers run in them; on the CPU, whose kernels have none, they are only stored in them.</summary>
    Float16,
}

/// <summary>What a plan's cost is.</summary>
public enum Objective
{
    /// <summary>Bytes and time.</summary>
    Balanced,

    /// <summary>Bytes of the file.</summary>
    Size,

    /// <summary>Time of a run; bytes decide between plans that are equally fast.</summary>
    Time,
}

/// <summary>An option that is out of range or contradicts another; the message names it.</summary>
public sealed class OptionException : ArgumentException
{
    /// <summary>Creates an exception without a message; prefer one that names the option.</summary>
    public OptionException()
    {
    }

    /// <summary>Creates an exception that names the option.</summary>
    public OptionException(string message) : base(message)
    {
    }

    /// <summary>Creates an exception that names the option, and carries its cause.</summary>
    public OptionException(string message, Exception innerException) : base(message, innerException)
    {
    }
}

/// <summary>Everything a compression can be told.</summary>
public sealed record CompressionOptions
{
    /// <summary>The model to read. It is never changed.</summary>
    public required string Input { get; init; }

    /// <summary>Where to write. Must not be the input. Empty where nothing is written, as parts of the job do alone.</summary>
    public required string Output { get; init; }

    /// <summary>Samples: a folder with one NAME.npy per input, an .npz, an ONNX test-data folder, or a single .npy.</summary>
    public required string Calibration { get; init; }

    /// <summary>A .npy of integer labels, one per sample or token, or null.</summary>
    public string? Labels { get; init; }

    /// <summary>
    /// Files of <see cref="CalibrationJob"/>: moments are theirs instead of being measured. Samples of <see cref="Calibration"/> that are in them
    /// neither pick nor judge a plan.
    /// </summary>
    public IReadOnlyList<string> Stats { get; init; } = [];

    /// <summary>What is measured; null chooses by labels and outputs.</summary>
    public Metric? Metric { get; init; }

    /// <summary>How much worse the metric may get, in its own units, ≥ 0.</summary>
    public double Tolerance { get; init; } = 0.01;

    /// <summary>What is made small: bytes, time or both.</summary>
    public Objective Objective { get; init; } = Objective.Balanced;

    /// <summary>Instead of a tolerance: the largest size of the written files, to be reached with the least loss.</summary>
    public Target? TargetSize { get; init; }

    /// <summary>Instead of a tolerance: the longest time of one run of one sample, to be reached with the least loss.</summary>
    public Target? TargetTime { get; init; }

    /// <summary>Formats of rewritten weights.</summary>
    public FormatChoice Format { get; init; } = FormatChoice.Auto;

    /// <summary>How weights are factorized.</summary>
    public Method Method { get; init; } = Method.Output;

    /// <summary>With <see cref="Method.Utilized"/>: what each projection of a layer may lose of the metric, in its own units, ≥ 0.</summary>
    public double Delta { get; init; } = 0.001;

    /// <summary>Which operators are emitted.</summary>
    public Dialect Dialect { get; init; } = Dialect.Ort;

    /// <summary>auto, cpu, cuda or cuda:N.</summary>
    public string Device { get; init; } = "auto";

    /// <summary>What the written model will run on: decides how large 8-bit weights may be.</summary>
    public TargetCpu TargetCpu { get; init; } = TargetCpu.Native;

    /// <summary>Layers to consider, by node name; null for all.</summary>
    public Regex? Only { get; init; }

    /// <summary>Layers to leave alone, by node name; null for none.</summary>
    public Regex? Skip { get; init; }

    /// <summary>Whether initializers that are also graph inputs are constants from IR version 4 on.</summary>
    public bool ConstantInputs { get; init; }

    /// <summary>Whether plans go by times measured on this machine, instead of by shapes alone, which gives the same plan on every machine.</summary>
    public bool Timing { get; init; } = true;

    /// <summary>
    /// Whether the same input and options give the same bytes on any number of threads, in every run: one thread, plans by shapes, and no clock decides anything.
    /// </summary>
    public bool Deterministic { get; init; }

    /// <summary>Whether success needs the upper end of the verified interval, not only the estimate, within tolerance.</summary>
    public bool Confident { get; init; }

    /// <summary>Whether the best plan found is written even when it misses the tolerance.</summary>
    public bool BestEffort { get; init; }

    /// <summary>Seed of everything random: how samples are shared out, random projections.</summary>
    public int Seed { get; init; }

    /// <summary>Threads for models and algebra, ≥ 1.</summary>
    public int Threads { get; init; } = Environment.ProcessorCount;

    /// <summary>Samples per run, or null to choose by a memory limit.</summary>
    public int? Batch { get; init; }

    /// <summary>
    /// Bytes that moments of the layers in work may take: more layers are measured in several passes. Models with a quarter of that in weights keep what
    /// is made of them on disk, beside the output. Null for as many as the model's weights take, but at least 256 MiB and at most 1 GiB.
    /// </summary>
    public long? Memory { get; init; }

    /// <summary>Whether success is a question of the loss, not of a target.</summary>
    internal bool HasTolerance => TargetSize == null && TargetTime == null;

    /// <summary>How much of a plan's cost is time; the rest is bytes.</summary>
    internal double TimeShare => Objective switch { Objective.Size => 0, Objective.Time => 0.95, _ => 0.15 };

    /// <summary>The kind of processor that <see cref="TargetCpu"/> means.</summary>
    internal TargetCpu Cpu => TargetCpu == TargetCpu.Native ? Processor.Native : TargetCpu;

    /// <summary>Bits of weights that run on 8-bit kernels.</summary>
    internal int WeightBits => Cpu == TargetCpu.Avx2 ? Int8.UnsaturatedBits : Int8.Bits;

    /// <summary>These options with what others of them imply.</summary>
    internal CompressionOptions Effective => Deterministic ? this with { Timing = false, Threads = 1 } : this;

    /// <summary>Which layers may be rewritten.</summary>
    internal LayerFilter Layers => new(Only, Skip, ConstantInputs);

    /// <summary>Whether layers may run on integers.</summary>
    internal bool WantsIntegers => Format is not (FormatChoice.Float32 or FormatChoice.Float16);

    /// <summary>Whether plans go by <see cref="Stats"/>.</summary>
    internal bool HasStats => Stats.Count > 0;

    /// <summary>Whether factors are fitted to each other on samples, which methods without data are not.</summary>
    internal bool Refits => Method == Method.Output;

    const long SmallestMemory = 1 << 20;

    /// <exception cref="OptionException">A value is out of range; the message names the option.</exception>
    internal void Validate()
    {
        Require(Tolerance >= 0 && double.IsFinite(Tolerance), $"--tolerance {Tolerance} is not a number ≥ 0");
        Require(Delta >= 0 && double.IsFinite(Delta), FormattableString.Invariant($"--delta {Delta} is not a number ≥ 0"));
        Require(TargetSize == null || TargetTime == null, "--target-size and --target-time exclude each other");
        Require(!Deterministic || TargetTime == null, "--deterministic and --target-time exclude each other: a time is measured");
        Require(Threads >= 1, $"--threads {Threads} is not ≥ 1");
        Require(Batch is null or >= 1, $"--batch {Batch} is not ≥ 1");
        RequireMemory(Memory ?? SmallestMemory);
        Require(Metric != Validation.Metric.Accuracy || Labels != null, "--metric accuracy needs --labels");
        Require(Input.Length > 0 && Output.Length > 0, "an empty path names no file");
        Require(!RealPath.AreSame(Input, Output), $"{Output}: the output is the input {Input}, which is never changed");
        Require(Method != Method.None || Format != FormatChoice.Float32, "--method none with --format fp32 leaves nothing to do");
    }

    /// <exception cref="OptionException">It is too little to measure anything in.</exception>
    internal static void RequireMemory(long bytes) => Require(bytes >= SmallestMemory, $"--memory {bytes} is not ≥ {SmallestMemory} bytes");

    /// <exception cref="OptionException">It does not hold.</exception>
    internal static void Require(bool holds, string message)
    {
        if (!holds)
        {
            throw new OptionException(message);
        }
    }
}
