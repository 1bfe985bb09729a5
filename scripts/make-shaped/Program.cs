// Writes a model with the shape of a well-known one and random weights whose singular values decay, and random samples for it: for
// measuring how long a compression takes and how much memory it needs. What such a model computes means nothing.
//
//   dotnet run -c Release --project scripts/make-shaped -- bert|vit OUT_DIR [--samples 48] [--seed 1] [--layers 12]
//
// bert: BERT-base, 110 M parameters: ids and attention_mask (batch, 128) → last_hidden_state and pooler_output.
// vit: ViT-B/16, 86 M parameters: pixels (batch, 3, 224, 224) → logits (batch, 1000).
// OUT_DIR gets NAME.onnx (fp32, opset 17) and the folder NAME-calib. The same seed gives the same bytes on one machine.

using System.Globalization;
using Google.Protobuf;
using MakeDigits;
using MakeShaped;
using OnnxLowRank.Numerics;
using OnnxLowRank.Onnx;

string? Option(string name) => Array.IndexOf(args, name) is >= 0 and var at && at + 1 < args.Length ? args[at + 1] : null;
int Number(string name, int otherwise) => int.Parse(Option(name) ?? $"{otherwise}", CultureInfo.InvariantCulture);
if (args is not ["bert" or "vit", _, ..])
{
    Console.Error.WriteLine("usage: make-shaped bert|vit OUT_DIR [--samples 48] [--seed 1] [--layers 12]");
    return 2;
}
string kind = args[0], folder = args[1], calibration = Path.Combine(folder, kind + "-calib");
int samples = Number("--samples", 48), seed = Number("--seed", 1), layers = Number("--layers", 12);
Directory.CreateDirectory(calibration);

var sketch = new Sketch(LinearAlgebra.Create(Environment.ProcessorCount), seed);
var random = new Random(seed);
void Write(string name, byte[] array) => File.WriteAllBytes(Path.Combine(calibration, name + ".npy"), array);
if (kind == "bert")
{
    Bert.Draw(sketch, layers);
    int[] shape = [samples, Bert.Tokens];
    Write(Bert.Ids, NpyFile.Of([.. Enumerable.Range(0, samples * Bert.Tokens).Select(_ => (long)random.Next(Bert.Vocabulary))], shape));
    Write(Bert.Mask, NpyFile.Of([.. Enumerable.Repeat(1L, samples * Bert.Tokens)], shape));
}
else
{
    Vit.Draw(sketch, layers);
    var pixels = Gaussian.Random(samples, 3 * Vit.Side * Vit.Side, seed);
    Write(Vit.Pixels, NpyFile.Of(Array.ConvertAll(pixels.Data, value => (float)value), samples, 3, Vit.Side, Vit.Side));
}
string path = Path.Combine(folder, kind + ".onnx");
var model = sketch.Build(kind);
File.WriteAllBytes(path, model.ToByteArray());
Console.WriteLine($"{path}: {ModelFiles.Parameters(OnnxModel.Of(model)):N0} parameters, {new FileInfo(path).Length:N0} bytes; {samples} samples in {calibration}");
return 0;
