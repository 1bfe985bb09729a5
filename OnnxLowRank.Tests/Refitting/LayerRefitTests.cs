using OnnxLowRank.Layers;
using OnnxLowRank.Numerics;
using OnnxLowRank.Onnx;
using OnnxLowRank.Planning;
using OnnxLowRank.Rewriting;
using OnnxLowRank.Tests.Rewriting;

namespace OnnxLowRank.Tests.Refitting;

/// <summary>A refitted layer makes of x̃ what the layer makes of M·x̃ + c, in whatever way both are rewritten.</summary>
public class LayerRefitTests
{
    static readonly ILinearAlgebra s_algebra = LinearAlgebra.Create(1);

    /// <summary>Single precision beside an M that is not far from 1.</summary>
    const double Rounding = 5e-5;

    /// <summary>What reads x̃ on the grid of x loses at its ends.</summary>
    const double Clipping = 2e-3;

    static readonly string[] s_cases = [.. LayerCases.WithoutAddend.Where(name => !name.StartsWith("Gather", StringComparison.Ordinal) && !name.StartsWith("Deconv", StringComparison.Ordinal) && IsOfOneGroup(name))];

    static bool IsOfOneGroup(string name)
    {
        var (model, samples) = LayerCases.Make(name);
        return new Bench(model, samples).Layer is { Groups: 1, Uses.Count: 1 };
    }

    public static TheoryData<string> Cases => [.. s_cases];

    [Fact]
    public void There_are_enough_cases() => Assert.InRange(s_cases.Length, 30, 1000);

    /// <summary>Ways of which floats are stored, at a rank of each scheme.</summary>
    static IEnumerable<LayerPlan> Ways(Layer layer, WeightFormat format)
    {
        yield return new LayerPlan.Factorize(layer, Bench.LowRank(layer), format);
        if (layer.BreakEvenInputRank > 0)
        {
            yield return new LayerPlan.Factorize(layer, layer.Out, format, InputRank: 3);
            yield return new LayerPlan.Factorize(layer, Bench.LowRank(layer), format, InputRank: 3);
        }
        if (layer.BreakEvenSpatialRank > 0)
        {
            yield return new LayerPlan.Factorize(layer, 4, format, IsSpatial: true);
        }
        if (format != WeightFormat.Float32)
        {
            yield return new LayerPlan.Quantize(layer, format);
        }
    }

    /// <summary>A matrix near 1 and its inverse, and an offset, where padding does not mix with it.</summary>
    static (Matrix Mix, Matrix Inverse, double[] Offset) Some(Layer layer)
    {
        int channels = layer.In / Math.Max(1, layer.KernelSize);
        var mix = Matrix.Identity(channels);
        float[] noise = TinyModel.Random([channels, channels + 1], seed: 17);
        for (int i = 0; i < mix.Data.Length; i++)
        {
            mix.Data[i] += 0.2 * noise[i] / Math.Sqrt(channels);
        }
        bool hasNone = layer.Kind == LayerKind.LeftMatMul && layer.Uses[0].Bias == null;
        bool pads = layer.Kind == LayerKind.Conv && layer.Uses[0].Node.Attribute.Any(attribute => attribute.Name is "pads" or "auto_pad");
        return (mix, s_algebra.Solve(s_algebra.Multiply(mix, mix, transposeLeft: true), mix.Transposed()), [.. noise[^channels..].Select(value => pads || hasNone ? 0 : 0.5 * value)]);
    }

    /// <summary>A model that reads x̃ = M⁻¹·(x − c) where it read x.</summary>
    static OnnxModel Behind(OnnxModel model, Layer layer, Bench bench, Matrix inverse, double[] offset)
    {
        var copy = model.Copy();
        var use = layer.Uses[0];
        int channels = offset.Length;
        float[] constant = Array.ConvertAll(s_algebra.Multiply(inverse, new Matrix(channels, 1, offset)).Data, value => (float)-value);
        int rank = bench.Shapes[use.Input].Length, axis = layer.Kind == LayerKind.Conv ? 1 : layer.Kind == LayerKind.LeftMatMul ? Math.Max(0, rank - 2) : use.TransA ? 0 : rank - 1;
        foreach (var node in copy.Graph.Node)
        {
            for (int i = 0; i < node.Input.Count; i++)
            {
                node.Input[i] = node.Input[i] == use.Input ? "unmixed" : node.Input[i];
            }
        }
        bool isLast = axis == rank - 1;
        copy.Graph.Initializer.Add(TensorData.Floats("inverse", (isLast ? inverse.Transposed() : inverse).ToFloats(), layer.Kind == LayerKind.Conv ? [channels, channels, .. layer.Kernel.Select(_ => 1L)] : [channels, channels]));
        copy.Graph.Initializer.Add(TensorData.Floats("constant", constant, isLast || layer.Kind == LayerKind.Conv ? [channels] : [channels, 1]));
        if (layer.Kind == LayerKind.Conv)
        {
            copy.Graph.Node.Insert(0, NodeAttributes.Create("Conv", "unmix", [use.Input, "inverse", "constant"], ["unmixed"]));
            return copy;
        }
        copy.Graph.Node.Insert(0, NodeAttributes.Create("Add", "unshift", ["product", "constant"], ["unmixed"]));
        copy.Graph.Node.Insert(0, NodeAttributes.Create("MatMul", "unmix", isLast ? [use.Input, "inverse"] : ["inverse", use.Input], ["product"]));
        return copy;
    }

    static (Seen Plain, Seen Refitted) Run(string name, Func<Layer, LayerPlan> way)
    {
        var (model, samples) = LayerCases.Make(name);
        var bench = new Bench(model, samples);
        var layer = bench.Layer;
        var (mix, inverse, offset) = Some(layer);
        var plan = way(layer);
        string output = layer.Uses[0].Output;
        var plain = bench.Run(bench.Rewrite(Dialect.Ort, _ => plan).Model, output)[0];
        // E[x] is 0.5 in every channel: see Feed.Random.
        double[] half = [.. offset.Select(_ => 0.5)], mean = s_algebra.Multiply(inverse, new Matrix(offset.Length, 1, [.. half.Zip(offset, (x, c) => x - c)])).Data;
        var refitted = bench.RewriteBehind(plan, mix, offset, [.. half.Zip(mean, (before, after) => before - after)]).Model;
        return (plain, bench.Run(Behind(refitted, layer, bench, inverse, offset), output)[0]);
    }

    [Theory, MemberData(nameof(Cases))]
    public void In_floats_it_is_the_same(string name)
    {
        var (model, samples) = LayerCases.Make(name);
        int ways = Ways(new Bench(model, samples).Layer, WeightFormat.Float32).Count();
        for (int i = 0; i < ways; i++)
        {
            var (plain, refitted) = Run(name, layer => Ways(layer, WeightFormat.Float32).ElementAt(i));
            ModelRuns.AssertNear(plain, refitted, Rounding);
        }
    }

    public static TheoryData<string> Vectors => [.. s_cases.Where(name => !name.Contains("of a vector", StringComparison.Ordinal))];

    [Theory, MemberData(nameof(Vectors))]
    public void Rounded_it_is_as_near_to_the_original_as_before(string name)
    {
        var (model, samples) = LayerCases.Make(name);
        var bench = new Bench(model, samples);
        var original = bench.Run(model, bench.Layer.Uses[0].Output)[0];
        foreach (var format in new[] { WeightFormat.Int8, WeightFormat.Int4 })
        {
            foreach (var (way, i) in Ways(bench.Layer, format).Select((way, i) => (way, i)))
            {
                if (Analysis.Obstacle(bench.Layer, format, Dialect.Ort, model.Opset).Length > 0 || (way is LayerPlan.Factorize { Slots: > 1 } && format == WeightFormat.Int4))
                {
                    continue; // pairs that are fitted to patches are made where those are measured
                }
                var (plain, refitted) = Run(name, layer => Ways(layer, format).ElementAt(i));

                Assert.True(refitted.Loss(original) < 2 * plain.Loss(original) + Clipping, $"{way with { Layer = null! }}: {refitted.Loss(original):g3} where {plain.Loss(original):g3} was");
            }
        }
    }
}
