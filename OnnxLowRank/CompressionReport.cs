using Microsoft.ML.OnnxRuntime;
using OnnxLowRank.Numerics;
using OnnxLowRank.Onnx;
using OnnxLowRank.Planning;
using OnnxLowRank.Runtime;

namespace OnnxLowRank;

/// <summary>How a compression ended.</summary>
public enum Outcome
{
    /// <summary>Written, loaded again and within tolerance on samples that no decision had seen.</summary>
    Written,

    /// <summary>No plan was both smaller than the original and within tolerance; nothing was written.</summary>
    NothingFound,

    /// <summary>The best plan found was written although it misses the tolerance, as asked.</summary>
    BestEffort,
}

/// <summary>Name and version of the program.</summary>
public sealed record ToolInfo(string Name, string Version);

/// <summary>A file: path, SHA-256 in hexadecimal, and bytes including external data.</summary>
public sealed record FileFacts(string Path, string Sha256, long Bytes)
{
    /// <param name="model">What was read from the file.</param>
    internal static FileFacts Of(string path, OnnxModel model) => new(path, ModelFiles.Sha256(path), ModelFiles.Bytes(path, model));
}

/// <summary>What ran the models and the algebra.</summary>
public sealed record RuntimeInfo(string OnnxRuntime, string Device, string LinearAlgebra, int Threads)
{
    internal static RuntimeInfo Of(Device device, ILinearAlgebra algebra, int threads) => new(OrtEnv.Instance().GetVersionString(), device.Name, algebra.Name, threads);
}

/// <summary>Wall-clock seconds by stage.</summary>
/// <param name="Time">Timing layers, when the search wants to know.</param>
public sealed record StageSeconds(double Total, double Calibrate, double Decompose, double Time, double Search, double Verify);

/// <summary>Size and speed of a model.</summary>
/// <param name="Bytes">Of the file, external data included.</param>
/// <param name="Parameters">Elements of all constants; of the rewritten model as many fewer as its layers' factors have than their weights, in however few bits they are stored.</param>
/// <param name="Macs">Multiply-adds per sample in the layers found.</param>
/// <param name="Milliseconds">One run of one sample, minimum of interleaved runs; null when not measured.</param>
public sealed record ModelCost(long Bytes, long Parameters, double Macs, double? Milliseconds);

/// <summary>The loss of the written file on samples that no decision had seen.</summary>
/// <param name="Tolerance">Null where a target was given instead.</param>
/// <param name="Looks">How many plans were tried on these samples; the interval is widened for them.</param>
public sealed record VerifiedLoss(
    string Metric, int Samples, double Original, double Compressed, double Loss, double Low, double High, double? Tolerance, int Looks);

/// <summary>What was done to one layer, and why.</summary>
/// <param name="Action">keep, quantize or factorize.</param>
/// <param name="Shape">Shape of the weight as stored.</param>
public sealed record LayerReport(
    string Name, string Op, long[] Shape, string Action, int? Rank, int? InputRank, string? Format, string? Scheme, long BytesBefore, long BytesAfter,
    double? PredictedError, string? Reason)
{
    /// <summary>Whether weights alone are in few bits: floats are made of them when the model is loaded.</summary>
    public bool WeightOnly { get; init; }

    /// <summary>Rank of what is added to a weight in 4 bits when the model is loaded; null for nothing.</summary>
    public int? Correction { get; init; }

    /// <summary>Share of the output's energy that the ranks keep, before anything is rounded; null where none was cut.</summary>
    public double? KeptEnergy { get; init; }

    /// <summary>The largest row maximum of a MatMul's or Gemm's input in units of the median one; null where 8 bits are not allowed.</summary>
    public double? InputSpread { get; init; }

    /// <summary>Operators that ONNX Runtime makes of the layer, in the order in which they run; null where it was not timed.</summary>
    public string? Kernel { get; init; }

    /// <summary>What the layer took in a run of one sample; null where it was not timed, as for layers that are kept.</summary>
    public double? MicrosecondsBefore { get; init; }

    /// <summary>What it takes now.</summary>
    public double? MicrosecondsAfter { get; init; }

    /// <summary>What the layer took per sample in a run of up to 32; the same as for one where the model's batch is fixed.</summary>
    public double? BatchMicrosecondsBefore { get; init; }

    /// <summary>What it takes now.</summary>
    public double? BatchMicrosecondsAfter { get; init; }
}

/// <summary>Everything a compression did; the JSON report is this record.</summary>
/// <param name="Options">The options as text, by their names on the command line.</param>
/// <param name="Result">The written file, or null.</param>
/// <param name="Passes">Forward work in units of one pass over all samples.</param>
/// <param name="PeakMemoryBytes">Largest working set of the process so far.</param>
/// <param name="Kernels">Operators of the graph that ONNX Runtime made of the written model, counted by type.</param>
/// <param name="Notes">What a careful user wants to know.</param>
public sealed record CompressionReport(
    Outcome Outcome, ToolInfo Tool, FileFacts Source, FileFacts? Result, IReadOnlyDictionary<string, string> Options, RuntimeInfo Runtime,
    StageSeconds Seconds, double Passes, long PeakMemoryBytes, ModelCost Before, ModelCost? After, VerifiedLoss? Verified,
    IReadOnlyList<Probe> Probes, IReadOnlyList<LayerReport> Layers, IReadOnlyDictionary<string, int> Kernels, IReadOnlyList<string> Notes)
{
    /// <summary>Of the layers that some rank makes smaller, whether they were cut or not.</summary>
    public IReadOnlyList<LayerSpectrum> Spectra { get; init; } = [];
}
