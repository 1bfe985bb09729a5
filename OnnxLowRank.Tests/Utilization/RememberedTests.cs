using OnnxLowRank.Calibration;
using OnnxLowRank.Layers;
using OnnxLowRank.Onnx;
using OnnxLowRank.Runtime;
using OnnxLowRank.Tests.Rewriting;
using OnnxLowRank.Utilization;

namespace OnnxLowRank.Tests.Utilization;

/// <summary>What lies before a layer, computed from what lay before an earlier one.</summary>
public class RememberedTests
{
    /// <summary>Kernels sum in another order; a wrong value errs by about 1.</summary>
    const double Rounding = 1e-5;

    const long Plenty = 1 << 30;

    const int Count = 50, Width = 12;

    public static TheoryData<string> Cases => [.. LayerCases.Names];

    static Sampling Feeding(MemorySamples samples) => new(samples, batch: 20, CancellationToken.None);

    /// <summary>Three layers, wide between the second and the third; a shortcut goes around the second, another around all.</summary>
    static OnnxModel Chain(int wide)
    {
        var model = new TinyModel();
        model.Input("x", null, Width);
        model.Node("Tanh", ["x"], "aside");
        model.Node("MatMul", ["x", model.Weight("w1", Width, Width)], "first");
        model.Node("Relu", ["first"], "r");
        model.Node("MatMul", ["r", model.Weight("w2", Width, wide)], "second");
        model.Node("ReduceMean", ["r"], "mean", ("axes", new long[] { 1 }));
        model.Node("Add", ["second", "mean"], "sum");
        model.Node("Relu", ["sum"], "r2");
        model.Node("MatMul", ["r2", model.Weight("w3", wide, Width)], "third");
        model.Node("Add", ["third", "aside"], "y");
        model.Outputs("y");
        return model.Build();
    }

    static Dictionary<string, float[]> All(Remembered remembered, Sampling sampling, MemorySamples samples)
    {
        var all = remembered.Types.Keys.ToDictionary(name => name, _ => new List<float>());
        sampling.ForEach(samples.All, (_, indices) =>
        {
            foreach (var (name, value) in remembered.Of(indices))
            {
                all[name].AddRange(value.GetTensorDataAsSpan<float>());
            }
        });
        return all.ToDictionary(item => item.Key, item => item.Value.ToArray());
    }

    static float[] Outputs(ModelSession session, Remembered before, Sampling sampling, MemorySamples samples, string output)
    {
        var all = new List<float>();
        sampling.ForEach(samples.All, (run, indices) =>
        {
            using var results = session.Run(run, [output], before.Of(indices));
            all.AddRange(results[0].GetTensorDataAsSpan<float>());
        });
        return [.. all];
    }

    [Fact]
    public void From_cut_to_cut_all_live_values_are_what_the_whole_model_makes_them()
    {
        var model = Chain(wide: 30);
        var samples = new MemorySamples([Feed.Random("x", Count, Width)]);
        var bench = new Bench(model, samples);
        var sampling = Feeding(samples);
        using var before = new Remembered(model, Device.Cpu, 1, sampling, samples.All, Plenty);
        var lives = new List<string>();
        foreach (var layer in bench.Found.Layers)
        {
            var cut = new LayerCut(model, layer, ["y"]);

            Assert.True(before.MoveTo(cut));

            Assert.Equal(cut.Live.Order(), before.Types.Keys.Order());
            foreach (var (name, values) in All(before, sampling, samples))
            {
                Assert.InRange(ModelRuns.Distance(ModelRuns.Run(model, samples, name)[0].Values, values), 0, Rounding);
            }
            var rewritten = bench.Factorize(layer, bench.Decompose(layer), rank: 3).Model;
            float[] expected = ModelRuns.Run(rewritten, samples, "y")[0].Values;
            using var session = ModelSession.Open(cut.SuffixOf(rewritten, before.Types), Device.Cpu, 1);
            Assert.InRange(ModelRuns.Distance(expected, Outputs(session, before, sampling, samples, "y")), 0, Rounding);
            lives.Add(string.Join(' ', cut.Live.Order()));
        }
        Assert.Equal(["aside", "aside mean r", "aside r2"], lives);
    }

    /// <summary>Noise is another one whenever it is computed.</summary>
    [Fact]
    public void What_lies_before_the_earlier_cut_does_not_run_again()
    {
        var tiny = new TinyModel();
        tiny.Input("x", null, Width);
        tiny.Node("RandomUniformLike", ["x"], "noise");
        tiny.Node("Add", ["x", "noise"], "noisy");
        tiny.Node("MatMul", ["noisy", tiny.Weight("w1", Width, Width)], "first");
        tiny.Node("Relu", ["first"], "r");
        tiny.Node("MatMul", ["r", tiny.Weight("w2", Width, Width)], "y");
        tiny.Outputs("y");
        var model = tiny.Build();
        var samples = new MemorySamples([Feed.Random("x", Count, Width)]);
        var layers = LayerFinder.Find(model, new()).Layers;
        var sampling = Feeding(samples);
        using var before = new Remembered(model, Device.Cpu, 1, sampling, samples.All, Plenty);

        Assert.True(before.MoveTo(new(model, layers[0], ["y"])));
        float[] noisy = All(before, sampling, samples)["noisy"];
        Assert.True(before.MoveTo(new(model, layers[1], ["y"])));
        float[] r = All(before, sampling, samples)["r"];

        var weight = layers[0].ReadWeight(); // (out, in)
        float[] expected = [.. Enumerable.Range(0, Count * Width).Select(i =>
            (float)Math.Max(0, Enumerable.Range(0, Width).Sum(k => noisy[i / Width * Width + k] * weight[i % Width, k])))];
        Assert.InRange(ModelRuns.Distance(expected, r), 0, Rounding);
    }

    [Fact]
    public void Where_there_is_no_room_nothing_is_remembered_and_the_next_cut_starts_again()
    {
        const int Wide = 400;
        var model = Chain(Wide);
        var samples = new MemorySamples([Feed.Random("x", Count, Width)]);
        var layers = LayerFinder.Find(model, new()).Layers;
        var sampling = Feeding(samples);
        using var before = new Remembered(model, Device.Cpu, 1, sampling, samples.All, limit: sizeof(float) * Count * Wide);

        Assert.True(before.MoveTo(new(model, layers[0], ["y"])));
        Assert.False(before.MoveTo(new(model, layers[2], ["y"])));
        Assert.Empty(before.Types);
        Assert.Empty(before.Of(samples.All));
        Assert.True(before.MoveTo(new(model, layers[1], ["y"])));
        Assert.InRange(ModelRuns.Distance(ModelRuns.Run(model, samples, "r")[0].Values, All(before, sampling, samples)["r"]), 0, Rounding);
    }

    [Theory, MemberData(nameof(Cases))]
    public void A_rewritten_layer_runs_behind_its_cut(string name)
    {
        var (model, samples) = LayerCases.Make(name);
        var bench = new Bench(model, samples);
        string output = model.Graph.Output[0].Name;
        var sampling = new Sampling(samples, batch: 24, CancellationToken.None);
        var cut = new LayerCut(model, bench.Layer, [output]);
        var rewritten = bench.Factorize(Bench.LowRank).Model;
        float[] expected = ModelRuns.Run(rewritten, samples, output)[0].Values;
        using var before = new Remembered(model, Device.Cpu, 1, sampling, samples.All, Plenty);

        Assert.True(before.MoveTo(cut));
        using var session = ModelSession.Open(cut.SuffixOf(rewritten, before.Types), Device.Cpu, 1);

        Assert.InRange(ModelRuns.Distance(expected, Outputs(session, before, sampling, samples, output)), 0, Rounding);
    }
}
