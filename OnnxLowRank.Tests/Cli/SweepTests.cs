using System.Globalization;
using System.Text.Json;
using OnnxLowRank.Onnx;

namespace OnnxLowRank.Tests.Cli;

/// <summary><c>onnx-lowrank sweep</c>, as a user runs it on a model whose weights are of rank 4 with a little noise.</summary>
public sealed class SweepTests : IDisposable
{
    const int Rank = 4;

    readonly Playground _playground = new();

    public void Dispose() => _playground.Dispose();

    CommandResult Run(params string[] options) => CommandLine.Run(_playground.Folder, ["sweep", "in.onnx", "--calib", "calib", .. options]);

    JsonElement Report(params string[] options)
    {
        var result = Run(["--json", "-", .. options]);
        Assert.True(result.Exit == 0, result.ToString());
        return JsonDocument.Parse(result.Output).RootElement;
    }

    static List<(string Series, double Setting, double Loss, long Bytes, int Repeat)> Points(JsonElement report) =>
        [.. report.GetProperty("points").EnumerateArray().Select(point => (
            point.GetProperty("series").GetString()!, point.GetProperty("setting").GetDouble(), point.GetProperty("loss").GetDouble(),
            point.GetProperty("bytes").GetInt64(), point.GetProperty("repeat").GetInt32()))];

    [Fact]
    public void A_layer_of_low_rank_is_good_enough_from_that_rank_on()
    {
        var report = Report("--ranks", "1..6", "--layer", "hidden", "--methods", "svd,randomized,output", "--repeats", "2", "--metric", "relative", "--tolerance", "0.05");

        var points = Points(report);
        Assert.Equal(4 * 6, points.Count); // svd, randomized twice, output
        Assert.All(points, point => Assert.True(point.Setting >= Rank ? point.Loss < 0.05 : point.Loss > 0.05, point.ToString()));
        Assert.All(report.GetProperty("goodEnough").EnumerateArray(), good => Assert.Equal(Rank, good.GetProperty("rank").GetInt32()));
        var model = report.GetProperty("models")[0];
        Assert.Equal(("hidden", 16), (model.GetProperty("layer").GetString(), model.GetProperty("rank").GetInt32()));
        Assert.InRange(model.GetProperty("effectiveRank").GetDouble(), 2, 8);
    }

    [Fact]
    public void A_random_method_is_drawn_anew_and_again_the_same()
    {
        var model = new TinyModel();
        model.Input("x", null, Playground.Inputs);
        model.Node("MatMul", ["x", model.Weight("w", Playground.Inputs, 96)], "y"); // all directions matter alike
        model.Outputs("y");
        _playground.Save(model.Build().Proto);
        string[] options = ["--ranks", "1,2", "--layer", "y_node", "--methods", "randomized", "--repeats", "2", "--metric", "relative"];

        var points = Points(Report(options));

        Assert.NotEqual(points.Single(point => point is { Setting: 2, Repeat: 0 }).Loss, points.Single(point => point is { Setting: 2, Repeat: 1 }).Loss);
        Assert.Equal(points, Points(Report(options)));
    }

    [Fact]
    public void The_more_error_layers_may_have_the_smaller_the_model_and_both_ways_at_once_are_never_larger()
    {
        var points = Points(Report("--errors", "0.0005,0.05,0.2,0.6", "--metric", "relative"));

        foreach (var series in points.GroupBy(point => point.Series))
        {
            Assert.Equal(series.Select(point => point.Bytes).OrderDescending(), series.OrderBy(point => point.Setting).Select(point => point.Bytes));
        }
        foreach (var setting in points.GroupBy(point => point.Setting))
        {
            long Of(string name) => setting.Single(point => point.Series == name).Bytes;
            const long Overhead = 400; // that planned bytes only estimate
            Assert.True(Of("output + quantization") <= Math.Min(Of("output"), Of("quantization")) + Overhead);
        }
        var exact = points.Single(point => point is { Series: "output", Setting: 0.0005 });
        Assert.Equal((0.0, new FileInfo(_playground.Input).Length), (exact.Loss, exact.Bytes)); // no rank is that good: the layers stay
    }

    [Fact]
    public void Whole_compressions_are_written_and_are_what_the_report_says()
    {
        var report = Report("--tolerances", "0.02,0.2", "--metric", "relative", "--out", "found", "--no-timing");

        var points = report.GetProperty("points").EnumerateArray().ToList();
        Assert.Equal(["low rank", "low rank", "dense int8", "dense int4"], points.Select(point => point.GetProperty("series").GetString()));
        foreach (var point in points)
        {
            string file = _playground.PathOf(point.GetProperty("file").GetString()!);
            Assert.Equal(new FileInfo(file).Length, point.GetProperty("bytes").GetInt64());
            OnnxModel.Load(file);
        }
        Assert.All(points.Take(2), point => Assert.True(point.GetProperty("loss").GetDouble() <= point.GetProperty("setting").GetDouble()));
        Assert.All(points.Take(2), point => Assert.True(point.GetProperty("bytes").GetInt64() < points[2].GetProperty("bytes").GetInt64(), "int8 alone is within both tolerances"));
        string[] lines = File.ReadAllLines(_playground.PathOf("found/sweep.csv"));
        Assert.Equal(1 + points.Count, lines.Length);
        int bytes = Array.IndexOf(lines[0].Split(','), "bytes");
        Assert.Equal(points.Select(point => point.GetProperty("bytes").GetInt64()), lines.Skip(1).Select(line => long.Parse(line.Split(',')[bytes], CultureInfo.InvariantCulture)));
        Assert.Equal(points.Count, _playground.Json("found/sweep.json").GetProperty("points").GetArrayLength());
    }

    /// <summary>Names come from files: they are shown, never run. The page's script draws its charts, as tests of the other report see in a browser.</summary>
    [Fact]
    public void The_page_shows_all_points_and_the_names_of_models_as_text()
    {
        const string Name = "a<script>b";
        File.Copy(_playground.Input, _playground.PathOf($"{Name}.onnx"));

        var result = CommandLine.Run(
            _playground.Folder, ["sweep", $"{Name}.onnx", "--calib", "calib", "--labels", "labels.npy", "--ranks", "1,2,4", "--layer", "hidden", "--out", "found", "-q"]);

        Assert.True(result.Exit == 0, result.ToString());
        string page = File.ReadAllText(_playground.PathOf("found/sweep.html"));
        Assert.DoesNotContain(Name, page);
        Assert.Contains("<h1>a&lt;script&gt;b</h1>", page);
        Assert.Contains("data-charts=\"2\"", page); // accuracy, and the likelihood of the labels
        var points = _playground.Json("found/sweep.json").GetProperty("points").EnumerateArray().ToList();
        Assert.Equal(3, points.Count);
        Assert.All(points, point => Assert.Contains($"<data value=\"{point.GetProperty("loss").GetDouble().ToString("R", CultureInfo.InvariantCulture)}\">", page));
        Assert.All(points, point => Assert.True(point.GetProperty("nll").GetDouble() > 0));
    }

    [Fact]
    public void Sizes_are_kept_to()
    {
        var report = Report("--sizes", "0.3,0.6", "--metric", "relative", "--out", "found", "--no-timing");

        Assert.All(report.GetProperty("points").EnumerateArray().Take(2), point => Assert.True(point.GetProperty("size").GetDouble() <= point.GetProperty("setting").GetDouble()));
    }

    [Theory]
    [InlineData("--ranks needs --layer", "--ranks", "1,2")]
    [InlineData("--layer 'nosuch' matches no", "--ranks", "1,2", "--layer", "nosuch")]
    [InlineData("matches 2 layers of in.onnx", "--ranks", "1,2", "--layer", ".")]
    [InlineData("--tolerances and --errors exclude each other", "--tolerances", "0.1", "--errors", "0.1")]
    [InlineData("--tolerances needs --out", "--tolerances", "0.1")]
    [InlineData("is not a list such as", "--ranks", "1,,2", "--layer", "hidden")]
    [InlineData("is not a list such as", "--ranks", "5..1", "--layer", "hidden")]
    [InlineData("values must be whole numbers", "--ranks", "1.5", "--layer", "hidden")]
    [InlineData("values must be > 0", "--errors", "0")]
    [InlineData("fractions below 1", "--sizes", "2", "--out", "found")]
    [InlineData("'none' is not one of", "--methods", "none", "--errors", "0.1")]
    [InlineData("--errors takes one of --methods", "--methods", "svd,output", "--errors", "0.1")]
    public void What_makes_no_sense_is_refused_in_one_line(string message, params string[] options)
    {
        var before = _playground.Contents();

        var result = Run(options);

        Assert.Equal(2, result.Exit);
        Assert.Contains(message, result.Error);
        Assert.Single(result.ErrorLines);
        Assert.Equal(before, _playground.Contents());
    }
}
