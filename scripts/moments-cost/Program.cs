// What the moments cost: time of a calibration pass that collects them, in units of a plain forward pass over the same samples.
//
//   dotnet run -c Release --project scripts/moments-cost -- MODEL CALIB [--threads N] [--seconds S]
//
// Prints the ratio, and the seconds of both passes. Passes take turns, A B A B, and the fastest of each counts. Loading the model is part of neither:
// it is timed apart, with a single run of samples, and taken off.

using System.Diagnostics;
using System.Globalization;
using OnnxLowRank;
using OnnxLowRank.Calibration;
using OnnxLowRank.Layers;
using OnnxLowRank.Runtime;

CultureInfo.DefaultThreadCurrentCulture = CultureInfo.CurrentCulture = CultureInfo.InvariantCulture;
string? Option(string name) => Array.IndexOf(args, name) is >= 0 and var at && at + 1 < args.Length ? args[at + 1] : null;
int threads = int.Parse(Option("--threads") ?? $"{Environment.ProcessorCount}");
var budget = TimeSpan.FromSeconds(double.Parse(Option("--seconds") ?? "5"));

using var workspace = Workspace.Open(
    new() { Input = args[0], Output = args[0] + ".none", Calibration = args[1], Threads = threads, Metric = OnnxLowRank.Validation.Metric.Relative }, default);
var sampling = workspace.Sampling;
var layers = LayerFinder.Find(workspace.Model, new()).Layers;
var calibrator = new Calibrator(workspace.Model, layers, workspace.Device, threads);
var shapes = calibrator.Shapes(sampling);
sampling.FitTo(2 * sizeof(float) * shapes.Values.Sum(shape => shape.Aggregate(1L, (product, dim) => product * dim)));
var all = workspace.Shares.Moments;
var one = all[..Math.Min(sampling.RunSize, all.Length)];

double plain = double.PositiveInfinity, withMoments = plain, plainOfOne = plain, withMomentsOfOne = plain;
const int FewestRounds = 3;
long begin = Stopwatch.GetTimestamp();
for (int round = 0; round < FewestRounds || Stopwatch.GetElapsedTime(begin) < budget; round++)
{
    plainOfOne = Math.Min(plainOfOne, Seconds(() => Forward(one)));
    withMomentsOfOne = Math.Min(withMomentsOfOne, Seconds(() => Collect(one)));
    plain = Math.Min(plain, Seconds(() => Forward(all)));
    withMoments = Math.Min(withMoments, Seconds(() => Collect(all)));
}
plain -= plainOfOne;
withMoments -= withMomentsOfOne;
Console.WriteLine($"{withMoments / plain:0.00} {withMoments:0.000} {plain:0.000}");
return 0;

static double Seconds(Action action)
{
    long start = Stopwatch.GetTimestamp();
    action();
    return Stopwatch.GetElapsedTime(start).TotalSeconds;
}

// What --format auto collects, but for ranges.
void Collect(ReadOnlyMemory<int> samples) => calibrator.Collect(sampling, samples, shapes, withRanges: false, workspace.Memory, layers);

void Forward(ReadOnlyMemory<int> samples)
{
    using var session = ModelSession.Open(workspace.Model.ToBytes(), workspace.Device, threads);
    sampling.ForEach(samples, (run, _) =>
    {
        using var results = session.Run(run, session.OutputNames);
    });
}
