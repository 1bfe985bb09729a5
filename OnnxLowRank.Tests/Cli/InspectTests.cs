using System.Globalization;
using System.Text.Json;
using System.Text.RegularExpressions;
using OnnxLowRank.Onnx;
using OnnxLowRank.Onnx.Proto;

namespace OnnxLowRank.Tests.Cli;

/// <summary><c>onnx-lowrank inspect</c>, as a user runs it.</summary>
public sealed class InspectTests : IDisposable
{
    readonly Playground _playground = new();

    public void Dispose() => _playground.Dispose();

    CommandResult Run(params string[] options) => CommandLine.Run(_playground.Folder, ["inspect", "in.onnx", .. options]);

    JsonElement Report(params string[] options)
    {
        var result = Run(["--json", "-", .. options]);
        Assert.True(result.Exit == 0, result.ToString());
        return JsonDocument.Parse(result.Output).RootElement;
    }

    static JsonElement Layer(JsonElement report, string name) =>
        report.GetProperty("layers").EnumerateArray().Single(layer => layer.GetProperty("name").GetString() == name);

    [Fact]
    public void Weights_are_looked_at_without_samples()
    {
        var report = Report();

        Assert.Equal(0, report.GetProperty("samples").GetInt32());
        Assert.Equal(16 * 96 + 96 * 4, report.GetProperty("macs").GetDouble());
        var hidden = Layer(report, "hidden");
        Assert.Equal(16 * 96 / (16 * 96 + 96 + 96 * 4 + 4.0), hidden.GetProperty("parameterShare").GetDouble(), 1e-9);
        Assert.Equal((16, 13), (hidden.GetProperty("rank").GetInt32(), hidden.GetProperty("breakEvenRank").GetInt32()));
        Assert.Equal(4, hidden.GetProperty("weight").GetProperty("at99").GetInt32()); // of rank 4, with a little noise
        Assert.InRange(hidden.GetProperty("weight").GetProperty("effective").GetDouble(), 2, 8);
        Assert.Equal(JsonValueKind.Null, hidden.GetProperty("output").ValueKind);
        Assert.Equal("hidden", report.GetProperty("layers")[0].GetProperty("name").GetString()); // gains most
        Assert.True(hidden.GetProperty("gain").GetDouble() > 0.4);
    }

    /// <summary>Samples on a line excite one direction of the first layer's output, however many its weight has.</summary>
    [Fact]
    public void Outputs_are_looked_at_with_samples()
    {
        float[] direction = Playground.Values(Playground.Inputs, seed: 5), along = Playground.Values(Playground.Samples, seed: 6);
        _playground.WriteSamples([.. along.SelectMany(t => direction.Select(value => t * value))], Playground.Samples, Playground.Inputs);

        var report = Report("--calib", "calib");

        Assert.Equal(Playground.Samples, report.GetProperty("samples").GetInt32());
        var output = Layer(report, "hidden").GetProperty("output");
        Assert.Equal((1, 1), (output.GetProperty("at999").GetInt32(), output.GetProperty("at9999").GetInt32()));
        Assert.Equal(1, output.GetProperty("stable").GetDouble(), 1e-6);
        Assert.True(Layer(report, "hidden").GetProperty("weight").GetProperty("at999").GetInt32() > 1);
        Assert.All(Layer(report, "hidden").GetProperty("predicted").EnumerateArray(), item => Assert.InRange(item.GetProperty("error").GetDouble(), 0, 1e-6));
    }

    [Fact]
    public void The_table_has_a_row_per_layer_and_top_cuts_it()
    {
        var (all, one) = (Run(), Run("--top", "1"));

        Assert.Equal((0, 0), (all.Exit, one.Exit));
        Assert.Matches("(?m)^ *hidden +Gemm +96x16 ", all.Output);
        Assert.Matches("(?m)^ *logits +Gemm +4x96 ", all.Output);
        Assert.DoesNotContain("logits", one.Output);
        Assert.Contains("1 of 2 layers are left out", one.Output);
    }

    [Fact]
    public void On_a_narrow_terminal_names_are_whole_and_no_line_is_longer()
    {
        var result = CommandLine.RunOnTerminal(_playground.Folder, "inspect", "in.onnx", "--calib", "calib");
        Assert.SkipWhen(result == null, "no /usr/bin/script, which makes a terminal");

        Assert.True(result.Exit == 0, result.ToString());
        Assert.Matches(@"\e\[Kdecompose +\[#+\.*\]", result.Output);
        string[] lines = result.Output[(result.Output.LastIndexOf("\e[K", StringComparison.Ordinal) + 3)..].Split('\n');
        Assert.All(lines, line => Assert.True(line.TrimEnd().Length <= 80, line));
        Assert.Contains(lines, line => Regex.IsMatch(line, @"^ hidden +Gemm +0\.\d{3} "));
    }

    [Fact]
    public void Progress_is_a_line_per_stage_and_quiet_prints_nothing()
    {
        var (told, quiet) = (Run("--calib", "calib"), Run("--calib", "calib", "-q"));

        Assert.Equal(["calibrate", "decompose"], told.Stages);
        Assert.Equal((0, ""), (quiet.Exit, quiet.Output + quiet.Error));
    }

    [Fact]
    public void What_is_left_alone_is_told_with_its_reason()
    {
        var report = Report("--skip", "logits");

        var node = Assert.Single(report.GetProperty("leftAlone").EnumerateArray());
        Assert.Equal("logits", node.GetProperty("name").GetString());
        Assert.Contains("--skip", node.GetProperty("reason").GetString());
    }

    [Fact]
    public void Open_shapes_leave_multiply_adds_unknown_and_say_so()
    {
        var graph = new GraphProto
        {
            Name = "sequence",
            Input = { Playground.Value("x", TensorProto.Types.DataType.Float, null, null, 16) },
            Output = { Playground.Value("y", TensorProto.Types.DataType.Float, null, null, 40) },
            Initializer = { Playground.Weight("w", 16, 40) },
            Node = { NodeAttributes.Create("MatMul", "product", ["x", "w"], ["y"]) },
        };
        _playground.Save(Playground.Model(graph));

        var report = Report();

        Assert.Equal(JsonValueKind.Null, report.GetProperty("macs").ValueKind);
        Assert.Contains(report.GetProperty("notes").EnumerateArray(), note => note.GetString()!.Contains("'x' [?,?,16]", StringComparison.Ordinal));
        _playground.WriteSamples(Playground.Values(8 * 5 * 16), 8, 5, 16);
        Assert.Equal(5 * 16 * 40, Report("--calib", "calib").GetProperty("macs").GetDouble());
    }

    [Theory]
    [InlineData(2, "--top 0 is not ≥ 1", "--top", "0")]
    [InlineData(2, "--json x.txt: the name must end with .json, or be -", "--json", "x.txt")]
    [InlineData(2, "did you mean --calib?", "--calb", "calib")]
    [InlineData(4, "nowhere", "--calib", "nowhere")]
    public void Bad_options_end_in_one_line(int exit, string message, params string[] options)
    {
        var result = Run(options);

        Assert.True(result.Exit == exit, result.ToString());
        Assert.Contains(message, Assert.Single(result.ErrorLines));
    }

    [Fact]
    public void Help_shows_how_it_is_called()
    {
        var result = CommandLine.Run(_playground.Folder, "inspect", "--help");

        Assert.Equal(0, result.Exit);
        Assert.Matches(@"onnx-lowrank inspect <IN\.onnx> \[options\]", result.Output);
        Assert.Contains("inspect", CommandLine.Run(_playground.Folder, "--help").Output);
    }

    [Fact]
    public void A_broken_model_ends_in_one_line()
    {
        _playground.Write("in.onnx", [1, 2, 3]);

        var result = Run();

        Assert.True(result.Exit == 3, result.ToString());
        Assert.Contains("in.onnx", Assert.Single(result.ErrorLines));
    }

    /// <summary>Against figures that were computed elsewhere.</summary>
    [Fact]
    public void Effective_ranks_of_trained_models_are_the_known_ones()
    {
        string? zoo = Zoo.Folder;
        Assert.SkipWhen(zoo == null, Zoo.WhyNot);
        var rows = Regex.Matches(File.ReadAllText(Path.Combine(zoo, "MODELS.md")), @"^\| `(mnist_mlp_model\d+)` \|(.*)\|$", RegexOptions.Multiline);
        var known = rows.Where(row => row.Groups[2].Value.Contains("layer 1", StringComparison.Ordinal)).ToList();
        Assert.Equal(3, known.Count);
        foreach (var row in known)
        {
            var result = CommandLine.Run(_playground.Folder, "inspect", Path.Combine(zoo, $"{row.Groups[1].Value}.onnx"), "--json", "-");
            Assert.True(result.Exit == 0, result.ToString());
            double[] actual = [.. JsonDocument.Parse(result.Output).RootElement.GetProperty("layers").EnumerateArray()
                .OrderBy(layer => layer.GetProperty("name").GetString(), StringComparer.Ordinal).Select(layer => layer.GetProperty("weight").GetProperty("effective").GetDouble())];
            double[] expected = [.. Regex.Matches(row.Groups[2].Value, @"layer \d+ \**([\d.]+)").Select(match => double.Parse(match.Groups[1].Value, CultureInfo.InvariantCulture))];

            // Written with one digit behind the point.
            Assert.All(expected.Zip(actual), pair => Assert.InRange(pair.Second, pair.First * 0.999 - 0.05, pair.First * 1.001 + 0.05));
        }
    }
}
