using System.Text.Json;

namespace OnnxLowRank.Tests.Cli;

/// <summary><c>onnx-lowrank utilization</c>, as a user runs it.</summary>
public sealed class UtilizationTests : IDisposable
{
    readonly Playground _playground = new();

    public void Dispose() => _playground.Dispose();

    CommandResult Run(params string[] options) => CommandLine.Run(_playground.Folder, ["utilization", "in.onnx", "--calib", "calib", .. options]);

    [Fact]
    public void The_table_has_a_row_per_layer_and_the_mean()
    {
        var result = Run("--delta", "0.05");

        Assert.True(result.Exit == 0, result.ToString());
        Assert.Matches("(?m)^ *hidden +Gemm +[0-9]+ +16 +[0-9]+ +96 ", result.Output);
        Assert.Matches("(?m)^ *logits +Gemm +[0-9]+ +96 +[0-9]+ +4 ", result.Output);
        Assert.Matches(@"mean layer utilization 0\.\d{3}; parameters 0\.\d{3}", result.Output);
        Assert.Contains("unseen samples, loss", result.Output);
        Assert.Empty(result.ErrorLines);
    }

    [Fact]
    public void The_report_is_json_and_a_state_resumes()
    {
        var first = Run("--json", "first.json", "--state", "state.json", "--labels", "labels.npy", "-q");
        var second = Run("--json", "-", "--state", "state.json", "--labels", "labels.npy");

        Assert.True(first.Exit == 0 && second.Exit == 0, $"{first}\n{second}");
        Assert.Empty(first.Output);
        JsonElement one = _playground.Json("first.json"), two = JsonDocument.Parse(second.Output).RootElement;
        Assert.Equal((0, 2), (one.GetProperty("resumed").GetInt32(), two.GetProperty("resumed").GetInt32()));
        Assert.Equal(one.GetProperty("layers").GetRawText(), two.GetProperty("layers").GetRawText());
        Assert.Equal("accuracy", one.GetProperty("metric").GetString());
        Assert.True(two.GetProperty("passes").GetProperty("made").GetDouble() < one.GetProperty("passes").GetProperty("made").GetDouble());
        var layer = one.GetProperty("layers")[0];
        Assert.Equal(("hidden", 16), (layer.GetProperty("name").GetString(), layer.GetProperty("maxRank").GetInt32()));
        Assert.InRange(layer.GetProperty("weightRank").GetInt32(), 4, 6); // of rank 4, with a little noise
        Assert.DoesNotContain(Directory.EnumerateFiles(_playground.Folder), file => file.EndsWith(".tmp", StringComparison.Ordinal));
    }

    [Fact]
    public void The_page_shows_what_the_json_says()
    {
        var result = Run("--json", "used.json", "--report", "used.html", "--delta", "0.05", "-q");

        Assert.True(result.Exit == 0, result.ToString());
        string page = File.ReadAllText(_playground.PathOf("used.html"));
        var report = _playground.Json("used.json");
        string Value(JsonElement number) => $"<data value=\"{number.GetDouble().ToString("R", System.Globalization.CultureInfo.InvariantCulture)}\">";
        Assert.Contains($"data-field=\"before.meanLayerUtilization\">{Value(report.GetProperty("meanLayerUtilization"))}", page);
        Assert.Contains($"data-field=\"after.parameters\">{Value(report.GetProperty("after").GetProperty("parameters"))}", page);
        Assert.All(report.GetProperty("layers").EnumerateArray(), layer => Assert.Contains(Value(layer.GetProperty("utilization")), page));
        Assert.Contains("data-charts=\"1\"", page);
    }

    [Theory]
    [InlineData(2, "--delta 1 is not a fraction ≥ 0 and < 1", "--delta", "1")]
    [InlineData(2, "--delta -0.1 is not", "--delta", "-0.1")]
    [InlineData(2, "--delta '0,1' is not a number", "--delta", "0,1")]
    [InlineData(2, "--state -: a state is a file", "--state", "-")]
    [InlineData(2, "--report -: a page is a file", "--report", "-")]
    [InlineData(2, "--report page.json: the name must end with .html", "--report", "page.json")]
    [InlineData(2, "--state state.txt: the name must end with .json", "--state", "state.txt")]
    [InlineData(2, "--state same.json: is another file of this command", "--state", "same.json", "--json", "same.json")]
    [InlineData(4, "nowhere.npy", "--labels", "nowhere.npy")]
    [InlineData(6, "nowhere/state.json", "--state", "nowhere/state.json")]
    public void Bad_options_end_in_one_line(int exit, string message, params string[] options)
    {
        var before = _playground.Contents();

        var result = Run(options);

        Assert.True(result.Exit == exit, result.ToString());
        Assert.Contains(message, Assert.Single(result.ErrorLines));
        Assert.Equal(before, _playground.Contents());
    }

    [Fact]
    public void Samples_are_required()
    {
        var result = CommandLine.Run(_playground.Folder, "utilization", "in.onnx");

        Assert.True(result.Exit == 2, result.ToString());
        Assert.Contains("--calib", Assert.Single(result.ErrorLines));
    }

    [Fact]
    public void A_state_of_another_model_is_refused()
    {
        Assert.Equal(0, Run("--state", "state.json").Exit);
        _playground.Save(Playground.Classifier("Softmax"));

        var result = Run("--state", "state.json");

        Assert.True(result.Exit == 2, result.ToString());
        Assert.Contains("state.json: is of another model", Assert.Single(result.ErrorLines));
    }

    [Fact]
    public void The_demo_model_is_searched_with_its_convolutions()
    {
        var result = CommandLine.Run(_playground.Folder, "utilization", CommandLine.Digits, "--calib", CommandLine.DigitsCalibration, "--labels", CommandLine.DigitsLabels, "--json", "-");

        Assert.True(result.Exit == 0, result.ToString());
        var report = JsonDocument.Parse(result.Output).RootElement;
        var layers = report.GetProperty("layers").EnumerateArray().ToList();
        Assert.Contains(layers, layer => layer.GetProperty("op").GetString() == "Conv");
        Assert.All(layers, layer => Assert.InRange(layer.GetProperty("utilizedRank").GetInt32(), 1, layer.GetProperty("maxRank").GetInt32()));
        Assert.InRange(report.GetProperty("meanLayerUtilization").GetDouble(), 0.05, 0.9);
        Assert.True(report.GetProperty("after").GetProperty("parameters").GetInt64() < report.GetProperty("before").GetProperty("parameters").GetInt64());
        Assert.InRange(report.GetProperty("verified").GetProperty("estimate").GetDouble(), -0.02, 0.1);
    }
}
