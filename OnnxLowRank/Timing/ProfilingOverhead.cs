using System.Diagnostics;
using System.Runtime.InteropServices;
using OnnxLowRank.Onnx;
using OnnxLowRank.Onnx.Proto;
using OnnxLowRank.Runtime;
using OnnxLowRank.Samples;
using static OnnxLowRank.Onnx.Proto.TensorProto.Types;

namespace OnnxLowRank.Timing;

/// <summary>
/// What a profile says too much about each node: for nodes that do next to nothing, the time in the profile less the time that a node
/// more takes when nothing is written down. It is about a microsecond, as much as small layers take for one sample.
/// </summary>
static class ProfilingOverhead
{
    /// <summary>Nodes of the longer of two models.</summary>
    const int Nodes = 65;

    const int Runs = 50;

    /// <summary>Microseconds per node; may be negative.</summary>
    /// <exception cref="IOException">There is no room for a profile.</exception>
    public static double Measure(Device device, int threads, string folder)
    {
        using var run = new SampleRun(1, [new(new("x", DataType.Float, [1]), [1])]);
        MemoryMarshal.Cast<byte, float>(run.Inputs[0].Bytes.Span)[0] = 1;
        using var one = ModelSession.Open(Chain(1), device, threads);
        using var many = ModelSession.Open(Chain(Nodes), device, threads);
        using var profiled = ModelSession.OpenProfiled(Chain(Nodes), device, threads, Path.Combine(folder, "overhead"));
        double ofOne = double.PositiveInfinity, ofMany = double.PositiveInfinity;
        for (int i = 0; i < Runs; i++)
        {
            ofOne = Math.Min(ofOne, Time(one, run));
            ofMany = Math.Min(ofMany, Time(many, run));
            Time(profiled, run);
        }
        var runs = KernelProfile.Read(File.ReadAllBytes(profiled.EndProfiling()));
        double written = Enumerable.Range(0, Nodes).Average(node => runs.Min(nodes => nodes[node].Microseconds));
        return written - (ofMany - ofOne) / (Nodes - 1);
    }

    static double Time(ModelSession session, SampleRun run)
    {
        long start = Stopwatch.GetTimestamp();
        session.Run(run, ["y"]).Dispose();
        return Stopwatch.GetElapsedTime(start).TotalMicroseconds;
    }

    /// <summary>Sigmoids of one number, one after the other.</summary>
    static byte[] Chain(int length)
    {
        static ValueInfoProto Value(string name) => new()
        {
            Name = name,
            Type = new() { TensorType = new() { ElemType = (int)DataType.Float, Shape = new() { Dim = { new TensorShapeProto.Types.Dimension { DimValue = 1 } } } } },
        };
        var graph = new GraphProto { Name = "chain", Input = { Value("x") }, Output = { Value("y") } };
        graph.Node.AddRange(Enumerable.Range(0, length).Select(i =>
            NodeAttributes.Create("Sigmoid", $"node{i}", [i == 0 ? "x" : $"v{i}"], [i == length - 1 ? "y" : $"v{i + 1}"])));
        return OnnxModel.Of(new ModelProto { IrVersion = 7, Graph = graph, OpsetImport = { new OperatorSetIdProto { Version = 13 } } }).ToBytes();
    }
}
