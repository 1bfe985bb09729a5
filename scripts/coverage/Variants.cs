using Google.Protobuf;
using MakeDigits;
using OnnxLowRank.Samples;
using OnnxLowRank.Tests;
using OnnxLowRank.Tests.Rewriting;

namespace Coverage;

/// <summary>A small model for every way in which a weight is applied: those of the tests, that are rewritten, and more that may not be.</summary>
static class Variants
{
    public const string Group = "variants";

    /// <summary>Writes each as a model and its samples.</summary>
    public static IEnumerable<Case> Write(string folder)
    {
        var all = LayerCases.Names.Select(name => (Name: name, Case: LayerCases.Make(name))).Concat(MoreVariants.All());
        foreach (var (i, (name, made)) in all.Index())
        {
            string path = Directory.CreateDirectory(Path.Combine(folder, $"{i}")).FullName;
            string model = Path.Combine(path, "model.onnx");
            File.WriteAllBytes(model, made.Model.Proto.ToByteArray());
            yield return new(Group, name, model, Samples: Arrays(Path.Combine(path, "samples"), made.Samples));
        }
    }

    static string Arrays(string folder, MemorySamples samples)
    {
        Directory.CreateDirectory(folder);
        bool isWhole = samples.RunSize(2) == 1;
        using var all = isWhole ? null : samples.Read([.. Enumerable.Range(0, samples.Count)]);
        using var first = samples.Read([0]);
        foreach (var (i, input) in first.Inputs.Index())
        {
            float[] values = isWhole
                ? [.. Enumerable.Range(0, samples.Count).SelectMany(sample => { using var run = samples.Read([sample]); return Floats(run.Inputs[i]); })]
                : Floats(all!.Inputs[i]);
            long[] shape = isWhole ? [samples.Count, .. input.Shape] : [samples.Count, .. input.Shape[1..]];
            File.WriteAllBytes(Path.Combine(folder, $"{input.Input.Name}.npy"), NpyFile.Of(values, Array.ConvertAll(shape, dim => (int)dim)));
        }
        return folder;
    }

    static float[] Floats(SampleBuffer buffer) => System.Runtime.InteropServices.MemoryMarshal.Cast<byte, float>(buffer.Bytes.Span).ToArray();
}
