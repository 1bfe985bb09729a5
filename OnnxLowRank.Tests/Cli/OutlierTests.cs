using System.Text.Json;
using Microsoft.ML.OnnxRuntime;

namespace OnnxLowRank.Tests.Cli;

/// <summary>The answer for one sample must not depend on what it is batched with.</summary>
public sealed class OutlierTests : IDisposable
{
    /// <summary>An outlier's size in units of the other samples'.</summary>
    const float Size = 100;

    readonly Playground _playground = new();

    public void Dispose() => _playground.Dispose();

    JsonElement Compress(bool hasOutliers, params string[] options)
    {
        float[] values = Playground.Values(Playground.Samples * Playground.Inputs);
        for (int i = 0; hasOutliers && i < values.Length; i++)
        {
            values[i] *= i / Playground.Inputs % 8 == 0 ? Size : 1;
        }
        _playground.WriteSamples(values, Playground.Samples, Playground.Inputs);
        var result = _playground.Run(["--no-timing", "--tolerance", "0.2", "--report", "report.json", .. options]);
        Assert.True(result.Exit == 0, result.ToString());
        return _playground.Json("report.json");
    }

    static Dictionary<string, int> Kernels(JsonElement report) => report.GetProperty("kernels").EnumerateObject().ToDictionary(item => item.Name, item => item.Value.GetInt32());

    /// <summary>How far an ordinary sample's answer moves when an outlier is in the same batch.</summary>
    double Moved()
    {
        float[] sample = Playground.Values(Playground.Inputs, seed: 9), outlier = [.. sample.Select(value => -Size * value)];
        using var session = new InferenceSession(_playground.Output);
        float[] Logits(params float[][] rows)
        {
            using var input = OrtValue.CreateTensorValueFromMemory([.. rows.SelectMany(row => row)], [rows.Length, Playground.Inputs]);
            using var options = new RunOptions();
            using var outputs = session.Run(options, ["x"], [input], ["y"]);
            return outputs[0].GetTensorDataAsSpan<float>().ToArray();
        }

        float[] alone = Logits(sample);
        return ModelRuns.Distance(alone, Logits(sample, outlier).AsSpan(0, alone.Length));
    }

    [Theory]
    [InlineData("int8")]
    [InlineData("int4")]
    [InlineData("auto")]
    public void With_outliers_no_scale_is_shared_by_a_batch(string format)
    {
        var report = Compress(hasOutliers: true, "--format", format);

        Assert.DoesNotContain("DynamicQuantizeMatMul", Kernels(report).Keys);
        Assert.Contains(report.GetProperty("notes").EnumerateArray(), note => note.GetString()!.EndsWith("far larger than the others: hidden, logits", StringComparison.Ordinal));
        Assert.All(report.GetProperty("layers").EnumerateArray(), layer =>
        {
            Assert.InRange(layer.GetProperty("inputSpread").GetDouble(), Size / 2, 2 * Size);
            Assert.Contains("times the median one: no 8 bits with one scale for all rows", layer.GetProperty("reason").GetString());
            Assert.True(layer.GetProperty("weightOnly").GetBoolean() || layer.GetProperty("action").GetString() == "keep" || format != "int8");
        });
        Assert.InRange(Moved(), 0, 1e-3);
    }

    [Fact]
    public void Without_outliers_nothing_changes()
    {
        var report = Compress(hasOutliers: false, "--format", "int8");

        Assert.True(Kernels(report)["DynamicQuantizeMatMul"] >= 2);
        Assert.All(report.GetProperty("layers").EnumerateArray(), layer => Assert.InRange(layer.GetProperty("inputSpread").GetDouble(), 1, 4));
        Assert.DoesNotContain(report.GetProperty("notes").EnumerateArray(), note => note.GetString()!.Contains("far larger", StringComparison.Ordinal));
        Assert.InRange(Moved(), 0.1, 10); // what the other test excludes is real
    }
}
