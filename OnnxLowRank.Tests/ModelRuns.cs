using Microsoft.ML.OnnxRuntime;
using Microsoft.ML.OnnxRuntime.Tensors;
using OnnxLowRank.Calibration;
using OnnxLowRank.Onnx;
using OnnxLowRank.Onnx.Proto;
using OnnxLowRank.Runtime;
using OnnxLowRank.Tests.Samples;

namespace OnnxLowRank.Tests;

/// <summary>What a value of a model was when samples ran: its elements over all runs, and its shape in the first.</summary>
readonly record struct Seen(float[] Values, long[] Shape)
{
    /// <summary>The vectors along an axis, one after the other: (vectors, size).</summary>
    public float[][] Vectors(int axis)
    {
        int size = (int)Shape[axis], inner = (int)Shape[(axis + 1)..].Aggregate(1L, (product, dim) => product * dim);
        var vectors = new List<float[]>();
        for (int outer = 0; outer < Values.Length / (size * inner); outer++)
        {
            for (int i = 0; i < inner; i++)
            {
                var vector = new float[size];
                for (int k = 0; k < size; k++)
                {
                    vector[k] = Values[(outer * size + k) * inner + i];
                }
                vectors.Add(vector);
            }
        }
        return [.. vectors];
    }

    /// <summary>What is lost of an original's energy, each of its channels (axis 1) about its mean.</summary>
    public double Loss(Seen original)
    {
        float[][] vectors = original.Vectors(1);
        double energy = Enumerable.Range(0, vectors[0].Length).Sum(channel =>
        {
            double mean = vectors.Average(vector => (double)vector[channel]);
            return vectors.Sum(vector => Math.Pow(vector[channel] - mean, 2));
        });
        return Values.Zip(original.Values, (value, expected) => Math.Pow((double)value - expected, 2)).Sum() / energy;
    }
}

/// <summary>Models run on samples, through ONNX Runtime at the optimization level that users have.</summary>
static class ModelRuns
{
    /// <summary>Any values of the model, whether it returns them or not.</summary>
    public static Seen[] Run(OnnxModel model, MemorySamples samples, params string[] values)
    {
        var probe = model.Copy();
        probe.Graph.Output.AddRange(values.Except(probe.Graph.Output.Select(output => output.Name))
            .Select(name => new ValueInfoProto { Name = name }));
        using var session = ModelSession.Open(probe.ToBytes(), Device.Cpu, threads: 1);
        var seen = new Seen[values.Length];
        new Sampling(samples, batch: null, CancellationToken.None).ForEach(samples.All, (run, _) =>
        {
            using var results = session.Run(run, values);
            for (int i = 0; i < values.Length; i++)
            {
                seen[i] = new([.. seen[i].Values ?? [], .. Floats(results[i])], seen[i].Shape ?? results[i].GetTensorTypeAndShape().Shape);
            }
        });
        return seen;
    }

    static float[] Floats(OrtValue value) => value.GetTensorTypeAndShape().ElementDataType switch
    {
        TensorElementType.Float16 => Array.ConvertAll(value.GetTensorDataAsSpan<Float16>().ToArray(), number => (float)number),
        TensorElementType.Double => Array.ConvertAll(value.GetTensorDataAsSpan<double>().ToArray(), number => (float)number),
        _ => value.GetTensorDataAsSpan<float>().ToArray(),
    };

    /// <summary>How often each operator stands in the graph that ONNX Runtime makes of a model; its own operators have their domain's name in front.</summary>
    public static Dictionary<string, int> Optimized(OnnxModel model) => Operators(OptimizedGraph(model));

    /// <summary>The graph that ONNX Runtime makes of a model when it loads it.</summary>
    public static GraphProto OptimizedGraph(OnnxModel model)
    {
        using var folder = new TempFolder();
        string path = folder.File("model.onnx", model.ToBytes()), optimized = Path.Combine(folder.Path, "optimized.onnx");
        using (ModelSession.Open(path, Device.Cpu, threads: 1, optimized))
        {
        }
        return ModelProto.Parser.ParseFrom(File.ReadAllBytes(optimized)).Graph;
    }

    public static Dictionary<string, int> Operators(GraphProto graph) =>
        graph.Node.GroupBy(node => node.OpType).ToDictionary(group => group.Key, group => group.Count());

    /// <summary>‖actual − expected‖ / ‖expected‖.</summary>
    public static double Distance(ReadOnlySpan<float> expected, ReadOnlySpan<float> actual)
    {
        Assert.Equal(expected.Length, actual.Length);
        double difference = 0, norm = 0;
        for (int i = 0; i < expected.Length; i++)
        {
            difference += Math.Pow((double)actual[i] - expected[i], 2);
            norm += (double)expected[i] * expected[i];
        }
        return Math.Sqrt(difference / norm);
    }

    /// <summary>The relative distance is at most this, and is a number.</summary>
    public static void AssertNear(Seen expected, Seen actual, double tolerance, string what = "output")
    {
        Assert.Equal(expected.Shape, actual.Shape);
        double distance = Distance(expected.Values, actual.Values);
        Assert.True(distance <= tolerance, $"{what}: relative distance {distance:g3} is above {tolerance:g3}");
    }
}
