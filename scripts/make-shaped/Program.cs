// Writes a model with the shape of a well-known one and random weights whose singular values decay, and random samples for it: for
// measuring how long a compression takes and how much memory it needs. What such a model computes means nothing.
//
//   dotnet run -c Release --project scripts/make-shaped -- bert|vit|phi|mlp OUT_DIR [--samples 48] [--seed 1] [--layers N] [--width 512] [--type fp32|fp16] [--external]
//
// bert: BERT-base, 110 M parameters: ids and attention_mask (batch, 128) → last_hidden_state and pooler_output; 12 layers.
// vit: ViT-B/16, 86 M parameters: pixels (batch, 3, 224, 224) → logits (batch, 1000); 12 layers.
// phi: Phi-2, 2.8 G parameters: ids (batch, 16) → logits (batch, 16, 51200); 32 layers; weights in a file of their own.
// mlp: a chain of layers of the width given: 64 numbers → 16; 8 layers.
// OUT_DIR gets NAME.onnx (opset 17), with --external NAME.onnx.data, and the folder NAME-calib. The same seed gives the same bytes on one machine.

using System.Globalization;
using Google.Protobuf;
using MakeDigits;
using MakeShaped;
using OnnxLowRank.Numerics;
using OnnxLowRank.Onnx;
using OnnxLowRank.Storage;
using DataType = OnnxLowRank.Onnx.Proto.TensorProto.Types.DataType;
using Sketch = MakeShaped.Sketch;

string? Option(string name) => Array.IndexOf(args, name) is >= 0 and var at && at + 1 < args.Length ? args[at + 1] : null;
int Number(string name, int otherwise) => int.Parse(Option(name) ?? $"{otherwise}", CultureInfo.InvariantCulture);
if (args is not ["bert" or "vit" or "phi" or "mlp", _, ..] || (Option("--type") ?? "fp32") is not ("fp32" or "fp16"))
{
    Console.Error.WriteLine("usage: make-shaped bert|vit|phi|mlp OUT_DIR [--samples 48] [--seed 1] [--layers N] [--width 512] [--type fp32|fp16] [--external]");
    return 2;
}
string kind = args[0], folder = args[1], calibration = Path.Combine(folder, kind + "-calib"), path = Path.Combine(folder, kind + ".onnx");
int samples = Number("--samples", 48), seed = Number("--seed", 1), layers = Number("--layers", kind switch { "phi" => 32, "mlp" => 8, _ => 12 });
bool isExternal = kind == "phi" || args.Contains("--external");
Directory.CreateDirectory(calibration);

var spill = isExternal ? Spill.Beside(path) : Spill.None;
var sketch = new Sketch(LinearAlgebra.Create(Environment.ProcessorCount), seed, Option("--type") == "fp16" ? DataType.Float16 : DataType.Float, spill);
var random = new Random(seed);
void Write(string name, byte[] array) => File.WriteAllBytes(Path.Combine(calibration, name + ".npy"), array);
void WriteNumbers(string name, params int[] shape) =>
    Write(name, NpyFile.Of(Array.ConvertAll(Gaussian.Random(samples, shape.Aggregate((product, size) => product * size), seed).Data, value => (float)value), [samples, .. shape]));
void WriteIds(string name, int tokens, Func<long> next) => Write(name, NpyFile.Of([.. Enumerable.Range(0, samples * tokens).Select(_ => next())], samples, tokens));
switch (kind)
{
    case "bert":
        Bert.Draw(sketch, layers);
        WriteIds(Bert.Ids, Bert.Tokens, () => random.Next(Bert.Vocabulary));
        WriteIds(Bert.Mask, Bert.Tokens, () => 1);
        break;
    case "phi":
        Phi.Draw(sketch, layers);
        WriteIds(Phi.Ids, Phi.Tokens, () => random.Next(Phi.Vocabulary));
        break;
    case "mlp":
        Mlp.Draw(sketch, layers, Number("--width", 512));
        WriteNumbers(Mlp.Numbers, Mlp.Inputs);
        break;
    default:
        Vit.Draw(sketch, layers);
        WriteNumbers(Vit.Pixels, 3, Vit.Side, Vit.Side);
        break;
}
var model = sketch.Build(kind);
long parameters = ModelFiles.Parameters(OnnxModel.Of(model));
string[] WeightsFiles() => [.. (WeightsFile.NamesOf(path) ?? []).Select(name => Path.Combine(Path.GetDirectoryName(Path.GetFullPath(path))!, name))];
Array.ForEach(WeightsFiles(), File.Delete);
if (isExternal)
{
    ExternalData.Save(model, path);
}
File.WriteAllBytes(path, model.ToByteArray());
long bytes = WeightsFiles().Append(path).Sum(file => new FileInfo(file).Length);
Console.WriteLine($"{path}: {parameters:N0} parameters, {bytes:N0} bytes; {samples} samples in {calibration}");
return 0;
