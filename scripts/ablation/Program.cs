// What each part of the method earns: the smallest file within tolerance with the first part alone, then with one more at a time, and at last
// without one of the earlier ones.
//
//   dotnet run -c Release --project scripts/ablation -- MODEL CALIB LABELS OUT_DIR [--tolerance X] [--threads N] [--seed N]
//
// Prints one line per step, fields separated by tabs: name, parameters and bytes in units of the original's, verified loss of accuracy, and the
// file in OUT_DIR; where no plan passed, what the original has, and "-" for the file. Parameters are elements of weights, whatever their bits.
// Plans go by bytes alone, so that no clock has a say.

using System.Globalization;
using Ablation;
using OnnxLowRank;
using OnnxLowRank.Calibration;
using OnnxLowRank.Factorization;
using OnnxLowRank.Layers;
using OnnxLowRank.Numerics;
using OnnxLowRank.Onnx;
using OnnxLowRank.Planning;

CultureInfo.DefaultThreadCurrentCulture = CultureInfo.CurrentCulture = CultureInfo.InvariantCulture;
if (args.Length < 4)
{
    Console.Error.WriteLine("usage: ablation MODEL CALIB LABELS OUT_DIR [--tolerance X] [--threads N] [--seed N]");
    return 2;
}
string? Option(string name) => Array.IndexOf(args, name) is >= 0 and var at && at + 1 < args.Length ? args[at + 1] : null;
var options = new CompressionOptions
{
    Input = args[0],
    Output = Path.Combine(args[3], "none.onnx"), // every step has its own
    Calibration = args[1],
    Labels = args[2],
    Metric = OnnxLowRank.Validation.Metric.Accuracy,
    Tolerance = double.Parse(Option("--tolerance") ?? "0.005"),
    Objective = Objective.Size,
    Device = "cpu",
    Timing = false,
    Threads = int.Parse(Option("--threads") ?? $"{Environment.ProcessorCount}"),
    Seed = int.Parse(Option("--seed") ?? "0"),
};
using var workspace = Workspace.Open(options, default);
var algebra = LinearAlgebra.Create(options.Threads);
var found = LayerFinder.Find(workspace.Model, options.Layers);
found = found with { Layers = [.. found.Layers.Where(layer => !layer.IsTable)] }; // embeddings and other constants have methods of their own
var clock = new StageClock(null);
var analysis = Analysis.Of(workspace, found, options, algebra, clock);
var alone = Analysis.Of(workspace, found, options, algebra, clock, withGradients: false);
var moments = new Calibrator(workspace.Model, found.Layers, workspace.Device, options.Threads)
    .Collect(workspace.Sampling, workspace.Shares.Moments, analysis.Shapes, withRanges: false).Moments;
Analysis With(Func<Layer, Decomposition> decompose) =>
    analysis with { Decompositions = analysis.Decompositions.Keys.ToDictionary(layer => layer, decompose) };
var svd = With(layer => WeakerMethods.PlainSvd(algebra, layer));
var uncentred = With(layer => WeakerMethods.Uncentred(algebra, layer, moments[layer]));
var equal = found.Layers.ToDictionary(layer => layer, _ => new DamageCurve(Scale: 1, Exponent: 1));
IReadOnlyDictionary<Layer, DamageCurve> SensitivityTo(Analysis factors)
{
    using var another = Workspace.Open(options, default); // the original is closed when it has been compared with once
    return Sensitivity.Of(another, factors, Step.RewriterOf(factors, workspace, options), options, clock);
}

var plain = new Step("plain SVD, cut alike")
{
    Analysis = svd,
    Damage = equal,
    CutsAlike = true,
};
var global = plain with { Name = "+ one budget", CutsAlike = false };
var fromData = global with { Name = "+ from data", Analysis = uncentred };
var centred = fromData with { Name = "+ centred, biases corrected", Analysis = alone };
var looking = centred with { Name = "+ by the outputs' gradients", Analysis = analysis };
var sensitive = looking with { Name = "+ sensitivity", Damage = SensitivityTo(analysis) };
var refitted = sensitive with { Name = "+ refit", Refits = true };
var int8 = refitted with { Name = "+ int8", Formats = [WeightFormat.Int8] };
var schemes = int8 with { Name = "+ schemes", HasSchemes = true };
var int4 = schemes with { Name = "+ int4, mixed", Formats = [WeightFormat.Int8, WeightFormat.Int4] };
WeightFormat[] few = [WeightFormat.Int8, WeightFormat.Int6, WeightFormat.Int5, WeightFormat.Int4, WeightFormat.Int3];
var widths = int4 with { Name = "+ 6, 5 and 3 bits", Formats = few };
var all = widths with { Name = "+ weight-only", WeightOnly = few };
Step[] steps =
[
    plain, global, fromData, centred, looking, sensitive, refitted, int8, schemes, int4, widths, all,
    sensitive with { Name = "up to sensitivity, but SVD", Analysis = svd, Damage = SensitivityTo(svd) },
    sensitive with { Name = "up to sensitivity, uncentred", Analysis = uncentred, Damage = SensitivityTo(uncentred) },
    all with { Name = "all but gradients", Analysis = alone, Damage = SensitivityTo(alone) },
    all with { Name = "all but sensitivity", Damage = equal },
    all with { Name = "all but refit", Refits = false },
    all with { Name = "all but schemes", HasSchemes = false },
    all with { Name = "all but ranks", Factorizes = false, Refits = false },
];

double parameters = ModelFiles.Parameters(workspace.Model);
for (int i = 0; i < steps.Length; i++)
{
    string file = Path.Combine(args[3], $"{i + 1}.onnx");
    File.Delete(file);
    var plan = steps[i].Run(workspace, options with { Output = file }, algebra);
    Console.WriteLine(plan == null ? $"{steps[i].Name}\t1.000\t1.000\t0.0000\t-" : string.Join('\t',
        steps[i].Name,
        $"{1 + plan.Allotment.Plans.Sum(item => item.Elements - item.Layer.Elements) / parameters:0.000}",
        $"{(double)plan.Bytes / workspace.SourceBytes:0.000}",
        $"{plan.Loss.Estimate:0.0000}",
        Path.GetFileName(file)));
}
return 0;
