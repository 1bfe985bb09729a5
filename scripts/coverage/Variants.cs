using Google.Protobuf;
using MakeDigits;
using OnnxLowRank.Onnx;
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
            yield return new(Group, name, model, OneSet(path, made.Samples), Arrays(Path.Combine(path, "samples"), made.Samples));
        }
    }

    /// <summary>The last sample as test data, to compare models on.</summary>
    static string OneSet(string folder, MemorySamples samples)
    {
        string set = Directory.CreateDirectory(Path.Combine(folder, "test_data_set_0")).FullName;
        using var run = samples.Read([samples.Count - 1]);
        foreach (var (i, input) in run.Inputs.Index())
        {
            File.WriteAllBytes(Path.Combine(set, $"input_{i}.pb"), TensorData.Floats(input.Input.Name, Floats(input), input.Shape).ToByteArray());
        }
        return folder;
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
            File.WriteAllBytes(Path.Combine(folder, $"{input.Input.Name.Replace('/', '_').Replace(':', '_')}.npy"), NpyFile.Of(values, Array.ConvertAll(shape, dim => (int)dim)));
        }
        return folder;
    }

    static float[] Floats(SampleBuffer buffer) => System.Runtime.InteropServices.MemoryMarshal.Cast<byte, float>(buffer.Bytes.Span).ToArray();
}
