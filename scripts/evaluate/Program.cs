// Judges ONNX models on test data, with nothing but ONNX Runtime: what OnnxLowRank says about its own results can be checked here.
//
//   dotnet run -c Release --project scripts/evaluate -- DATA_DIR MODEL... [--latency] [--threads N] [--seconds S] [--tsv]
//
// DATA_DIR holds one NAME.npy per model input (first axis = samples) and may hold labels.npy (integers, one per sample or token).
// Per model: bytes, parameters, accuracy, mean negative log likelihood in nats, perplexity, and ‖Δy‖/‖y‖ to the first model's outputs.
// --latency: milliseconds of one run at batch 1 and 32, models in turns A B A B, minima, and ratios to the first model.

using System.Globalization;
using System.Runtime.InteropServices;
using Evaluate;
using Microsoft.ML.OnnxRuntime;

if (!OperatingSystem.IsWindows())
{
    _ = Native.setenv("ORT_DISABLE_TELEMETRY", "1", 0); // before ONNX Runtime is first used
}
CultureInfo.DefaultThreadCurrentCulture = CultureInfo.CurrentCulture = CultureInfo.InvariantCulture;

string? Option(string name) => Array.IndexOf(args, name) is >= 0 and var at && at + 1 < args.Length ? args[at + 1] : null;
bool withLatency = args.Contains("--latency"), asTsv = args.Contains("--tsv");
int threads = int.Parse(Option("--threads") ?? "0");
double seconds = double.Parse(Option("--seconds") ?? "2");
string[] files = [.. args.Where((arg, i) => !arg.StartsWith("--", StringComparison.Ordinal) && (i == 0 || args[i - 1] is not ("--threads" or "--seconds")))];
if (files.Length < 2)
{
    Console.Error.WriteLine("usage: evaluate DATA_DIR MODEL... [--latency] [--threads N] [--seconds S] [--tsv]");
    return 2;
}
string folder = files[0];
string[] models = files[1..];
string labelFile = Path.Combine(folder, "labels.npy");
var labels = File.Exists(labelFile) ? NpyArray.Read(labelFile) : null;

// Threads of a session's own would spin on after its turn, and slow the next one down.
using var shared = new OrtThreadingOptions { GlobalIntraOpNumThreads = threads, GlobalInterOpNumThreads = 1 };
var environment = new EnvironmentCreationOptions { threadOptions = shared };
OrtEnv.CreateInstanceWithOptions(ref environment);
using var options = new SessionOptions();
options.DisablePerSessionThreads();
var sessions = models.Select(model => new InferenceSession(model, options)).ToList();

string[] header = ["model", "bytes", "parameters", "accuracy", "nll", "perplexity", "difference"];
int[] batches = withLatency ? [1, 32] : [];
var rows = new List<string[]> { withLatency ? [.. header, "ms1", "ratio1", "ms32", "ratio32"] : header };
var times = batches.Select(batch => Latency.Milliseconds(sessions, folder, batch, TimeSpan.FromSeconds(seconds * models.Length))).ToList();
var reference = new List<float[]>();
for (int i = 0; i < models.Length; i++)
{
    var score = Score.Of(sessions[i], folder, labels, reference, isFirst: i == 0);
    string[] row =
    [
        Path.GetFileName(models[i]), ModelSize.Bytes(models[i]).ToString(), ModelSize.Parameters(models[i]).ToString(),
        Text(score.Accuracy, "0.0000"), Text(score.Nll, "0.00000"), Text(Math.Exp(score.Nll), "0.0000"), Text(score.Difference, "0.00000"),
    ];
    foreach (var measured in times)
    {
        row = [.. row, Text(measured[i], "0.0000"), Text(measured[i] / measured[0], "0.000")];
    }
    rows.Add(row);
}
foreach (var row in rows)
{
    Console.WriteLine(asTsv
        ? string.Join('\t', row)
        : string.Join("  ", row.Select((cell, c) => c == 0 ? cell.PadRight(Width(c)) : cell.PadLeft(Width(c)))));
}
sessions.ForEach(session => session.Dispose());
return 0;

int Width(int column) => rows.Max(row => row[column].Length);

static string Text(double value, string format) => double.IsNaN(value) ? "-" : value.ToString(format);

static class Native
{
    [DllImport("libc", CharSet = CharSet.Ansi, BestFitMapping = false)]
    [DefaultDllImportSearchPaths(DllImportSearchPath.SafeDirectories)]
    public static extern int setenv(string name, string value, int overwrite);
}
