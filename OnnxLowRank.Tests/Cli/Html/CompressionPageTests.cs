using System.Globalization;
using System.Net;
using System.Text.Json;
using System.Text.RegularExpressions;

namespace OnnxLowRank.Tests.Cli.Html;

/// <summary>Reports for browsers, made by the program as a user runs it.</summary>
public sealed partial class CompressionPageTests : IDisposable
{
    const string Hostile = "<script>alert(1)</script>";

    readonly Playground _playground = new();

    public void Dispose() => _playground.Dispose();

    (string Page, JsonElement Json) Reports(int exit, params string[] options)
    {
        var result = _playground.Run(["--report", "r.html", "--report", "r.json", .. options]);

        Assert.True(result.Exit == exit, result.ToString());
        return (File.ReadAllText(_playground.PathOf("r.html")), _playground.Json("r.json"));
    }

    /// <summary>The exact numbers of the headline, by their names in the report.</summary>
    static Dictionary<string, double> Figures(string page) => Figure().Matches(page)
        .ToDictionary(match => match.Groups[1].Value, match => double.Parse(match.Groups[2].Value, CultureInfo.InvariantCulture));

    [GeneratedRegex("""data-field="([\w.]+)"><data value="([^"]+)">""")]
    private static partial Regex Figure();

    static void AssertEqual(JsonElement json, Dictionary<string, double> figures)
    {
        Assert.All(figures, figure =>
        {
            var element = figure.Key.Split('.').Aggregate(json, (parent, name) => parent.GetProperty(name));
            Assert.Equal(element.GetDouble(), figure.Value);
        });
    }

    static readonly string[] s_before = ["before.bytes", "before.parameters", "before.macs"];
    static readonly string[] s_whole = [.. s_before, "before.milliseconds", "after.bytes", "after.parameters", "after.macs", "after.milliseconds", "verified.loss", "verified.low", "verified.high"];

    [Fact]
    public void The_headline_is_the_reports()
    {
        var (page, json) = Reports(0, "--tolerance", "0.2");

        var figures = Figures(page);
        Assert.Equal(s_whole.Append("verified.tolerance").Order(), figures.Keys.Order());
        AssertEqual(json, figures);
    }

    [Fact]
    public void A_browser_shows_the_reports_headline_and_draws_its_charts()
    {
        var (_, json) = Reports(0, "--tolerance", "0.2", "--format", "fp32");
        Assert.Contains(json.GetProperty("layers").EnumerateArray(), layer => layer.GetProperty("action").GetString() == "factorize");

        var (dom, console) = Chromium.Open(_playground.PathOf("r.html"));

        Assert.Empty(console);
        AssertEqual(json, Figures(dom));
        Assert.Contains("data-charts=\"4\"", dom); // plans, bytes, ranks, singular values
        Assert.Contains("data-charts-drawn=\"4\"", dom);
    }

    [Fact]
    public void A_node_with_the_name_of_a_script_shows_as_text()
    {
        var model = Playground.Classifier();
        model.Graph.Node[0].Name = Hostile;
        _playground.Save(model);

        var (page, json) = Reports(0, "--tolerance", "0.2", "--only", "script|logits");

        Assert.Contains(json.GetProperty("layers").EnumerateArray(), layer => layer.GetProperty("name").GetString() == Hostile);
        Assert.DoesNotContain(Hostile, page);
        Assert.Contains(WebUtility.HtmlEncode(Hostile), page);
        var (dom, console) = Chromium.Open(_playground.PathOf("r.html"));
        Assert.Empty(console);
        Assert.DoesNotContain(Hostile, dom);
        Assert.Contains("&lt;script&gt;alert(1)&lt;/<wbr>script&gt;</th>", dom);
    }

    [Fact]
    public void A_report_of_a_failed_search_says_that_nothing_was_written_and_why()
    {
        var (page, json) = Reports(5, "--metric", "relative", "--tolerance", "0");

        Assert.Contains($"Nothing was written: {WebUtility.HtmlEncode(json.GetProperty("notes").EnumerateArray().Last().GetString())}", page);
        var figures = Figures(page);
        Assert.All(s_before, name => Assert.Contains(name, figures.Keys));
        Assert.DoesNotContain("data-field=\"after.", page);
        AssertEqual(json, figures);
    }

    [Fact]
    public void A_best_effort_says_what_was_missed()
    {
        var (page, json) = Reports(5, "--confident", "--tolerance", "0.1", "--method", "none", "--best-effort");

        Assert.Contains("Written as asked, but the tolerance is missed.", page);
        AssertEqual(json, Figures(page));
        Assert.DoesNotContain("Ranks, layer by layer", page);
    }

    [Fact]
    public void A_run_to_a_target_has_no_tolerance()
    {
        var (page, json) = Reports(0, "--target-size", "0.6");

        var figures = Figures(page);
        Assert.Equal(s_whole.Order(), figures.Keys.Order());
        AssertEqual(json, figures);
    }

    [Fact]
    public void A_model_without_layers_is_reported_too()
    {
        var graph = Playground.Classifier().Graph;
        var model = Playground.Model(new()
        {
            Name = "empty",
            Input = { graph.Input },
            Output = { Playground.Value("y", OnnxLowRank.Onnx.Proto.TensorProto.Types.DataType.Float, null, Playground.Inputs) },
            Node = { OnnxLowRank.Onnx.NodeAttributes.Create("Relu", "relu", ["x"], ["y"]) },
        });
        _playground.Save(model);

        var (page, _) = Reports(5);

        Assert.Contains("Nothing was written: no layer can be rewritten", page);
        Assert.Contains("data-charts=\"0\"", page);
    }

    [Fact]
    public void The_page_tells_how_to_do_it_again_and_what_was_left_alone()
    {
        var (page, json) = Reports(0, "--tolerance", "0.2", "--skip", "no such|logit.");

        Assert.Contains("--skip &#39;no such|logit.&#39;", page);
        Assert.Contains("--tolerance 0.2", page);
        foreach (string file in new[] { "source", "result" })
        {
            Assert.Contains(json.GetProperty(file).GetProperty("sha256").GetString()!, page);
        }
        var logits = json.GetProperty("layers").EnumerateArray().Single(layer => layer.GetProperty("name").GetString() == "logits");
        Assert.Contains(WebUtility.HtmlEncode(logits.GetProperty("reason").GetString())!, page[page.IndexOf("Left alone", StringComparison.Ordinal)..]);
    }

    [Fact]
    public void Spectra_fall_from_one_and_say_what_a_rank_keeps()
    {
        var (_, json) = Reports(0, "--tolerance", "0.2", "--format", "fp32");

        var layer = json.GetProperty("layers").EnumerateArray().First(layer => layer.GetProperty("action").GetString() == "factorize");
        var spectrum = json.GetProperty("spectra").EnumerateArray().Single(item => item.GetProperty("layer").GetString() == layer.GetProperty("name").GetString());
        double[] values = [.. spectrum.GetProperty("values").EnumerateArray().Select(value => value.GetDouble())];
        Assert.Equal(1, values[0]);
        Assert.Equal(values.OrderDescending(), values);
        int rank = layer.GetProperty("rank").GetInt32();
        Assert.Equal(rank, spectrum.GetProperty("rank").GetInt32());
        double kept = layer.GetProperty("keptEnergy").GetDouble();
        Assert.Equal(kept, spectrum.GetProperty("keptEnergy").GetDouble(), 1e-12);
        // Beyond the rank that can be cut there is little in a matrix of rank 4: what is listed is nearly all.
        Assert.Equal(values.Take(rank).Sum(value => value * value) / values.Sum(value => value * value), kept, 1e-2);
        Assert.Equal(1 - kept, layer.GetProperty("predictedError").GetDouble(), 1e-9); // floats lose nothing else
    }
}
