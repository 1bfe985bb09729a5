using OnnxLowRank.Layers;
using OnnxLowRank.Planning;
using OnnxLowRank.Rewriting;

namespace OnnxLowRank.Tests.Rewriting;

/// <summary>Convolutions whose kernel reads combinations of the input's channels.</summary>
public class TuckerTests
{
    const double Rounding = 2e-5;

    /// <summary>One more quantized value than in the channel scheme.</summary>
    const double Int8Noise = 0.04;

    static readonly string[] s_combinable = [.. Bench.ConvsWhere(layer => layer.BreakEvenInputRank > 0)];

    public static TheoryData<string> Cases => [.. s_combinable];

    static (Bench Bench, LayerPlan.Factorize Pointwise, LayerPlan.Factorize Tucker) Open(string name, int inputRank, int rank, WeightFormat format)
    {
        var (model, samples) = LayerCases.Make(name);
        var bench = new Bench(model, samples);
        return (bench, new(bench.Layer, bench.Layer.Out, format, inputRank), new(bench.Layer, rank, format, inputRank));
    }

    static int Channels(Layer layer) => layer.In / layer.KernelSize;

    [Fact]
    public void There_are_enough_cases() => Assert.True(s_combinable.Length >= 8);

    [Theory, MemberData(nameof(Cases))]
    public void With_all_combinations_the_output_is_the_originals(string name)
    {
        var (model, samples) = LayerCases.Make(name);
        var bench = new Bench(model, samples);
        var layer = bench.Layer;
        string output = layer.Uses[0].Output;
        var original = bench.Run(model, output)[0];

        var pointwise = bench.Rewrite(Dialect.Ort, _ => new LayerPlan.Factorize(layer, layer.Out, WeightFormat.Float32, Channels(layer))).Model;
        var tucker = bench.Rewrite(Dialect.Ort, _ => new LayerPlan.Factorize(layer, layer.Out - 1, WeightFormat.Float32, Channels(layer))).Model;
        var channel = bench.Rewrite(Dialect.Ort, _ => new LayerPlan.Factorize(layer, layer.Out - 1, WeightFormat.Float32)).Model;

        ModelRuns.AssertNear(original, bench.Run(pointwise, output)[0], Rounding);
        ModelRuns.AssertNear(bench.Run(channel, output)[0], bench.Run(tucker, output)[0], Rounding);
    }

    [Theory, MemberData(nameof(Cases))]
    public void Fewer_combinations_lose_about_what_was_predicted_and_more_lose_less(string name)
    {
        var (model, samples) = LayerCases.Make(name);
        var bench = new Bench(model, samples);
        var layer = bench.Layer;
        var use = layer.Uses[0];
        var original = bench.Run(model, use.Output)[0];
        double last = double.PositiveInfinity;
        for (int inputRank = 1; inputRank < Channels(layer); inputRank++)
        {
            var rewritten = bench.Rewrite(Dialect.Ort, _ => new LayerPlan.Factorize(layer, layer.Out, WeightFormat.Float32, inputRank)).Model;
            double lost = bench.Run(rewritten, use.Output)[0].Loss(original);

            Assert.True(lost < last);
            // Kernel positions are taken as uncorrelated, and padding is not seen: a prediction within a factor, not an identity.
            Assert.InRange(lost / bench.Decompose(layer).InputError(inputRank), 0.3, 3);
            last = lost;
        }
    }

    [Theory, MemberData(nameof(Cases))]
    public void In_8_bits_the_output_is_nearly_that_in_floats_and_runs_on_integers(string name)
    {
        foreach (var dialect in new[] { Dialect.Ort, Dialect.Onnx })
        {
            var (bench, pointwise, tucker) = Open(name, 3, 5, WeightFormat.Float32);
            string output = bench.Layer.Uses[0].Output;
            foreach (var (plan, convolutions) in new[] { (pointwise, 2), (tucker, 3) })
            {
                var floats = bench.Rewrite(dialect, _ => plan).Model;
                var integers = bench.Rewrite(dialect, _ => plan with { Format = WeightFormat.Int8 }).Model;

                ModelRuns.AssertNear(bench.Run(floats, output)[0], bench.Run(integers, output)[0], Int8Noise);
                Assert.Equal(convolutions, ModelRuns.Optimized(integers).GetValueOrDefault("QLinearConv"));
            }
        }
    }

    [Fact]
    public void The_elements_of_a_plan_are_those_that_are_written()
    {
        var (bench, pointwise, tucker) = Open("Conv", 3, 5, WeightFormat.Float32);
        foreach (var plan in new[] { pointwise, tucker, new(bench.Layer, 5, WeightFormat.Float32) })
        {
            var rewritten = bench.Rewrite(Dialect.Ort, _ => plan).Model;

            long written = rewritten.Graph.Initializer.Where(tensor => tensor.Dims.Count > 1).Sum(tensor => tensor.Dims.Aggregate(1L, (product, dim) => product * dim));
            Assert.Equal(written, plan.Elements);
        }
        Assert.Equal(("pointwise", "tucker"), (pointwise.Scheme, tucker.Scheme));
    }
}
