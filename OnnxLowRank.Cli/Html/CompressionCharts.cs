namespace OnnxLowRank.Cli.Html;

/// <summary>What a compression's numbers look like.</summary>
static class CompressionCharts
{
    static readonly LayerBars<LayerReport> s_bars = new(layer => layer.Name, layer => layer.BytesBefore, About);

    /// <summary>More curves than that cannot be told apart.</summary>
    const int MostTogether = 5;

    /// <summary>Losses of more than so many tolerances are all the same: far too much.</summary>
    const double MostTolerances = 5;

    /// <summary>Loss against bytes of the plans that were tried; null without any.</summary>
    public static Chart? Probes(CompressionReport report)
    {
        if (report.Probes.Count == 0)
        {
            return null;
        }
        ChartSeries Series(string step, bool accepted, string name) => new(name, SeriesMark.Points,
            [.. report.Probes.Select((probe, i) => (probe, i)).Where(item => item.probe.Step == step && item.probe.Accepted == accepted)
                .Select(item => new ChartPoint(item.probe.Bytes, item.probe.Loss, $"plan {item.i + 1} of {report.Probes.Count}"))]);
        ChartSeries[] series = [
            Series("search", true, "searched, accepted"), Series("search", false, "searched, refused"),
            Series("verify", true, "verified"), Series("verify", false, "failed to verify")];
        double? tolerance = report.Verified?.Tolerance;
        double? most = tolerance > 0 ? MostTolerances * tolerance : null;
        int beyond = report.Probes.Count(probe => probe.Loss > most);
        return new("Plans", $"{report.Probes.Count} plans were built, run and measured: what they lose against what their layers take. "
            + $"Searched plans are measured on other samples than those that are verified.{(beyond > 0 ? $" Those that lose more than {Output.Number(most!.Value)}, of which there are {beyond}, are drawn at that height." : "")}",
            new("bytes of the rewritten layers, as planned", AxisScale.Logarithmic, AxisUnit.Bytes), new($"loss ({report.Options["metric"]})", Most: most),
            [.. series.Where(item => item.Points.Count > 0)])
        {
            References = tolerance is { } limit ? [new("tolerance", limit, IsVertical: false)] : [],
        };
    }

    /// <summary>Bytes of layers before and after.</summary>
    public static Chart Bytes(CompressionReport report) => s_bars.Of(
        report.Layers, "Bytes of layers", "layers", ".", new("bytes", Unit: AxisUnit.Bytes), ("before", layer => layer.BytesBefore), ("after", layer => layer.BytesAfter));

    /// <summary>What of the layers that were cut is left; null where none was.</summary>
    public static Chart? Ranks(CompressionReport report)
    {
        LayerReport[] cut = [.. report.Layers.Where(layer => layer.KeptEnergy != null)];
        return cut.Length == 0 ? null : s_bars.Of(
            cut, "Ranks of layers", "layers that were cut", ": how many of the directions are left, as a share of all, and the share of the output's energy that these carry.",
            new("share"), ("rank / full rank", layer => RankShare(report, layer)), ("kept energy", layer => layer.KeptEnergy!.Value));
    }

    static double RankShare(CompressionReport report, LayerReport layer) =>
        (layer.Rank ?? layer.InputRank) is { } rank && Side(report, layer) is { } spectrum ? rank / (double)spectrum.FullRank : double.NaN;

    /// <summary>Where a layer was cut: at its output, or else at its input.</summary>
    static LayerSpectrum? Side(CompressionReport report, LayerReport layer) =>
        report.Spectra.FirstOrDefault(spectrum => spectrum.Layer == layer.Name && spectrum.Rank != null);

    static string About(LayerReport layer) => ResultTable.Became(layer)
        + (layer.InputRank is { } input ? $", input rank {input}" : "") + (layer.KeptEnergy is { } kept ? $"\nkept energy {Output.Text(kept, "0.0000")}" : "");

    /// <summary>The spectra of the layers that save most together, then of each layer alone; none where nothing can be cut.</summary>
    public static IReadOnlyList<Chart> Spectra(CompressionReport report)
    {
        var saved = report.Layers.ToLookup(layer => layer.Name, layer => layer.BytesBefore - layer.BytesAfter);
        LayerSpectrum[] first = [.. report.Spectra.Where(spectrum => spectrum.Side == "output")
            .OrderByDescending(spectrum => spectrum.Rank != null).ThenByDescending(spectrum => saved[spectrum.Layer].Max()).Take(MostTogether)];
        if (first.Length == 0)
        {
            return [];
        }
        var x = new ChartAxis("direction");
        var y = new ChartAxis("singular value, largest = 1", AxisScale.Logarithmic);
        var together = new Chart("several layers", $"The layers {string.Join(", ", first.Select(item => item.Layer))}: those that save most, cut ones first. The steeper a curve falls, the less is lost by a cut.",
            x, y, [.. first.Select(Curve)]);
        return [together, .. report.Spectra.Select(spectrum => new Chart(
            $"{spectrum.Layer} ({spectrum.Side})", Kept(spectrum), x, y, [Curve(spectrum)])
        {
            References = spectrum.Rank is { } rank ? [new($"rank {rank}", rank, IsVertical: true)] : [],
        })];
    }

    static ChartSeries Curve(LayerSpectrum spectrum) =>
        new(spectrum.Layer, SeriesMark.Line, [.. spectrum.Ranks.Zip(spectrum.Values, (rank, value) => new ChartPoint(rank, value))]);

    static string Kept(LayerSpectrum spectrum) => spectrum.KeptEnergy is { } kept
        ? $"Rank {spectrum.Rank} of {spectrum.FullRank} was kept, with {Output.Text(kept, "0.0000")} of the energy."
        : $"Nothing was cut here; the full rank is {spectrum.FullRank}.";
}
