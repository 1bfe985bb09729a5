using System.Text.Json.Nodes;
using OnnxLowRank.Numerics;
using OnnxLowRank.Onnx;
using OnnxLowRank.Onnx.Proto;
using OnnxLowRank.Tests.Samples;

namespace OnnxLowRank.Tests;

/// <summary>A model of which it is known what it uses: inputs in five dimensions of sixteen, of which three decide the class.</summary>
public sealed class UtilizerTests : IDisposable
{
    const int Count = 800, Inputs = 16, Hidden = 24, Classes = 6;

    /// <summary>Spread of the input along its five directions: those that decide are the least.</summary>
    static readonly double[] s_spread = [1, 1, 1, 2, 2];

    /// <summary>What the first layer makes of them: little of the other two.</summary>
    static readonly double[] s_gain = [4, 4, 4, 0.05, 0.05];

    readonly TempFolder _folder = new();

    readonly UtilizationOptions _options;

    public UtilizerTests()
    {
        var algebra = LinearAlgebra.Create(1);
        Matrix from = algebra.Orthonormalize(Gaussian.Random(Inputs, Inputs, seed: 1)), to = algebra.Orthonormalize(Gaussian.Random(Hidden, 5, seed: 2));
        var tiny = new TinyModel();
        tiny.Input("x", null, Inputs);
        tiny.Node("MatMul", ["x", tiny.Floats("w1", First(algebra, from, to), Inputs, Hidden)], "h");
        tiny.Node("Add", ["h", tiny.Weight("b1", Hidden)], "biased");
        tiny.Node("MatMul", ["biased", tiny.Floats("w2", Second(algebra, to), Hidden, Classes)], "y");
        tiny.Outputs("y");
        _folder.File("model.onnx", tiny.Build().ToBytes());
        _folder.Npy("x.npy", [Count, Inputs], Samples(algebra, from));
        _options = new() { Input = PathOf("model.onnx"), Calibration = PathOf("x.npy"), Delta = 0.02, Device = "cpu", Threads = 1 };
    }

    public void Dispose() => _folder.Dispose();

    string PathOf(string name) => Path.Combine(_folder.Path, name);

    /// <summary>Wᵀ (in, out): what <see cref="s_gain"/> says on the five directions, and large anywhere else, where no input is.</summary>
    static float[] First(ILinearAlgebra algebra, Matrix from, Matrix to)
    {
        var image = Gaussian.Random(Hidden, Inputs, seed: 3);
        for (int o = 0; o < Hidden; o++)
        {
            for (int i = 0; i < 5; i++)
            {
                image[o, i] = to[o, i] * s_gain[i];
            }
        }
        return Floats(algebra.Multiply(from, image, transposeRight: true));
    }

    /// <summary>Wᵀ (hidden, classes), which reads only the first three directions of the hidden layer.</summary>
    static float[] Second(ILinearAlgebra algebra, Matrix to) => Floats(algebra.Multiply(to.LeftCols(3), Gaussian.Random(3, Classes, seed: 4)));

    static float[] Samples(ILinearAlgebra algebra, Matrix from)
    {
        var along = Gaussian.Random(Count, 5, seed: 6);
        for (int i = 0; i < along.Data.Length; i++)
        {
            along.Data[i] *= s_spread[i % 5];
        }
        return Floats(algebra.Multiply(along, from.LeftCols(5), transposeRight: true));
    }

    static float[] Floats(Matrix matrix) => Array.ConvertAll(matrix.Data, value => (float)value);

    static UtilizationReport Run(UtilizationOptions options) => Utilizer.Run(options, cancellation: TestContext.Current.CancellationToken);

    [Fact]
    public void Known_subspaces_are_found()
    {
        var report = Run(_options);

        var (first, second) = (report.Layers[0], report.Layers[1]);
        Assert.Equal((16, 5, 24, 3), (first.Inputs, first.InputDimension, first.Outputs, first.OutputDimension));
        Assert.Equal((16, 14, 3, 3.0 / 16), (first.MaxRank, first.WeightRank, first.UtilizedRank, first.Utilization));
        // The hidden layer's mean takes one more dimension.
        Assert.Equal((24, 4, 6, 3), (second.Inputs, second.InputDimension, second.Outputs, second.OutputDimension));
        Assert.Equal((6, 3, 3, 0.5), (second.MaxRank, second.WeightRank, second.UtilizedRank, second.Utilization));
        Assert.Equal((3.0 / 16 + 0.5) / 2, report.MeanLayerUtilization!.Value, 1e-12);
        Assert.Equal((16 * 24 + 24 + 24 * 6, 3 * 40 + 24 + 3 * 30), (report.Before.Parameters, report.After.Parameters));
        Assert.Equal((16 * 24 + 24 * 6, 3 * 40 + 3 * 30), (report.Before.Macs, report.After.Macs));
        Assert.Equal((400, 200, 200), (report.Samples.Moments, report.Samples.Search, report.Samples.Verification));
        Assert.Equal("agreement", report.Metric);
        Assert.InRange(report.Verified.Estimate, 0, 0.05);
        Assert.Empty(report.LeftAlone);
    }

    [Fact]
    public void Probes_run_only_what_is_behind_the_layer_and_stop_early()
    {
        var report = Run(_options);

        var (first, second) = (report.Layers[0].Passes, report.Layers[1].Passes);
        Assert.Equal(first.WithoutCache, first.Made, 1e-12); // everything is behind the first layer
        double behind = 144.0 / (144 + 384), prefix = 384.0 / (144 + 384) * 0.25;
        Assert.Equal(second.WithoutCache * behind + prefix, second.Made, 1e-12);
        Assert.True(first.WithoutCache < first.WithoutEither);
        Assert.Equal(report.Layers.Sum(layer => layer.Probes) * 0.25, report.Layers.Sum(layer => layer.Passes.WithoutEither), 1e-12);
        Assert.True(report.Layers[0].Probes is > 5 and <= 9);
    }

    /// <summary>Half of what decides the class may be lost when half of the answers may change.</summary>
    [Fact]
    public void A_larger_delta_needs_fewer_dimensions()
    {
        var report = Run(_options with { Delta = 0.5 });

        Assert.True(report.Layers[1].InputDimension < 4);
        Assert.True(report.MeanLayerUtilization < Run(_options).MeanLayerUtilization);
    }

    [Fact]
    public void With_labels_accuracy_decides()
    {
        // One class for all samples: the first layer's bias does not matter, and no projection makes the model right less often than never.
        _folder.Npy("labels.npy", [Count], [.. Enumerable.Repeat(-100L, Count / 2), .. Enumerable.Repeat(0L, Count / 2)]);

        var report = Run(_options with { Labels = PathOf("labels.npy"), Delta = 0.99 });

        Assert.Equal("accuracy", report.Metric);
        Assert.All(report.Layers, layer => Assert.Equal((1, 1, 1), (layer.InputDimension, layer.OutputDimension, layer.UtilizedRank)));
    }

    [Fact]
    public void Layers_can_be_left_out()
    {
        var report = Run(_options with { Only = new("^h_node$") });

        Assert.Equal("h_node", Assert.Single(report.Layers).Name);
        Assert.Contains("--only", Assert.Single(report.LeftAlone).Reason);
        Assert.Equal(384 + 144, report.Before.Macs); // what it runs is not less for that
    }

    /// <summary>Everything but what time and work it took.</summary>
    static string Essence(UtilizationReport report) => string.Join('\n', report.Layers.Select(layer => layer with { Seconds = 0, Shape = [] }).Cast<object>().Append(report.Verified).Append(report.After));

    sealed class CancelAt(double fraction, CancellationTokenSource source) : IProgress<StageProgress>
    {
        public void Report(StageProgress value)
        {
            if (value.Stage == "utilize" && value.Fraction > fraction)
            {
                source.Cancel();
            }
        }
    }

    [Fact]
    public void An_interrupted_search_goes_on_where_it_was()
    {
        var whole = Run(_options);
        var withState = _options with { State = PathOf("state.json") };
        using var source = new CancellationTokenSource();

        Assert.Throws<OperationCanceledException>(() => Utilizer.Run(withState, new CancelAt(0.8, source), source.Token));
        Assert.Single(JsonNode.Parse(File.ReadAllText(withState.State))!["layers"]!.AsArray());
        var rest = Run(withState);
        var nothing = Run(withState);

        Assert.Equal((0, 1, 2), (whole.Resumed, rest.Resumed, nothing.Resumed));
        Assert.Equal(Essence(whole), Essence(rest));
        Assert.Equal(Essence(whole), Essence(nothing));
        Assert.True(rest.Passes.Made < whole.Passes.Made && nothing.Passes.Made < rest.Passes.Made);
        Assert.Equal(whole.Passes.Made, rest.Passes.Made + rest.Layers[0].Passes.Made, 1e-9);
    }

    [Theory]
    [InlineData("model", "another model")]
    [InlineData("data", "other samples or labels")]
    [InlineData("delta", "other options: delta 0.02")]
    [InlineData("version", "format 7")]
    [InlineData("layers", "does not fit the model's layers")]
    [InlineData("text", "is not a state")]
    [InlineData("null", "is not a state")]
    public void A_state_of_another_job_is_refused(string difference, string message)
    {
        string path = PathOf("state.json");
        var options = _options with { State = path };
        Run(options);
        var state = JsonNode.Parse(File.ReadAllText(path))!;
        switch (difference)
        {
            case "model":
                var model = OnnxModel.Load(options.Input);
                model.Proto.ProducerName = "another";
                File.WriteAllBytes(options.Input, model.ToBytes());
                break;
            case "data":
                _folder.Npy("x.npy", [Count, Inputs], TinyModel.Random([Count, Inputs], seed: 1));
                break;
            case "delta":
                options = options with { Delta = 0.03 };
                break;
            case "version":
                state["version"] = 7;
                File.WriteAllText(path, state.ToJsonString());
                break;
            case "layers":
                state["layers"]![0]!["inputDimension"] = 17;
                File.WriteAllText(path, state.ToJsonString());
                break;
            default:
                File.WriteAllText(path, difference == "null" ? "null" : "{\"version\": 1");
                break;
        }
        string before = File.ReadAllText(path);

        var error = Assert.Throws<OptionException>(() => Run(options));

        Assert.Contains(message, error.Message);
        Assert.Contains(path, error.Message);
        Assert.Equal(before, File.ReadAllText(path));
    }

    [Fact]
    public void One_number_per_sample_is_refused()
    {
        var tiny = new TinyModel();
        tiny.Input("x", null, Inputs);
        tiny.Node("MatMul", ["x", tiny.Weight("w", Inputs, 24)], "h");
        tiny.Node("MatMul", ["h", tiny.Weight("v", 24, 1)], "y");
        tiny.Graph.Output.Add(TinyModel.Value("y", TensorProto.Types.DataType.Float, null, 1));
        _folder.File("model.onnx", tiny.Build().ToBytes());

        Assert.Contains("one number per sample", Assert.Throws<ModelException>(() => Run(_options)).Message);
    }
}
